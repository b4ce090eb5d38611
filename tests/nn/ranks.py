"""What several processes do in test_parallel.py: ``python -m nn.parallel -n 2 tests/nn/ranks.py NAME``.

Each function runs on every process and fails in at least one of them if something is wrong.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn.parallel import Communicator, DataParallel, ShardSampler, convert_sync_batchnorm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(131, 5))
Y = RNG.integers(0, 3, 131)
WEIGHT = RNG.uniform(0, 1, 131) * (np.arange(131) % 7 > 0)
ALONE = Communicator(None, 1)


def network(dtype=np.float64, *, sync=True, dropout=0.3, norm="batch"):
    made = nn.MLP([5, 8, 3], norm=norm, dropout=dropout, rng=0, dtype=dtype)
    return convert_sync_batchnorm(made) if sync else made


def fitted(comm, model=None, *, data=(X, Y), sync=True, **options):
    settings = {"optimizer": {"name": "adamw", "lr": 1e-2, "weight_decay": 0.01}, "metrics": ["accuracy"], "rng": 3}
    trained = nn.Model(network(sync=sync), **settings | (model or {}))
    history = trained.fit(*data, parallel=comm, **{"epochs": 5, "batch_size": 32} | options)
    return trained, history


def differences(a, b):
    """The largest difference of weights and statistics of two models, and of their histories."""
    states = [each.network.state_dict() for each in (a, b)]
    weights = max(np.abs(np.asarray(states[0][name]) - np.asarray(states[1][name])).max() for name in states[0])
    columns = [name for name in a.history if name != "seconds"]
    rows = max(np.abs(np.subtract(a.history[name], b.history[name])).max() for name in columns)
    return max(weights, rows)


def agree(comm, model):
    comm.require_equal(model.network.state_dict().values(), "weights and statistics")


# --- equal to one process --------------------------------------------------------------------------------


def in_parts(size=1):
    """Sum gradients in parts of so many bytes, by default of a parameter each."""
    patch = pytest.MonkeyPatch()
    patch.setattr(nn.parallel.gradients, "PART", size)
    return contextlib.closing(types.SimpleNamespace(close=patch.undo))


def fit_equals_one_process(comm):
    """Over 20 steps and more: dropout, batch norm, weights of samples, validation, clipping, a schedule, averages.

    Gradients are summed at once, and in parts.
    """
    variants = [
        {"validation_split": 0.2, "sample_weight": WEIGHT},
        {"accumulate": 3, "batch_size": 16, "compile": True, "model": {"clip_norm": 0.5}},
        {"drop_last": True, "model": {"ema": 0.9, "schedule": "plateau", "schedule_every": "step"}},
    ]
    for variant, size in zip(variants, (1 << 20, 1, 1), strict=True):
        with in_parts(size):
            several, _ = fitted(comm, **variant)
        agree(comm, several)
        if comm.rank == 0:
            one, _ = fitted(ALONE, **variant)
            found = differences(several, one)
            assert found < 1e-12, (variant, found)


def float32_equals_one_process(comm):
    data = (X[:66].astype(np.float32), Y[:66])
    models = []
    for each in (comm, ALONE):
        model = nn.Model(network(np.float32), optimizer={"name": "sgd", "lr": 0.1}, rng=3)
        model.fit(*data, epochs=1, batch_size=66, parallel=each)
        models.append(model)
    assert differences(*models) < 1e-6


def loops_equal_one_process(comm):
    rows = 130  # the last batch has ten rows

    def trained(comm, compiled):
        net = DataParallel(network(), comm)
        optimizer = nn.AdamW(net.parameters(), lr=1e-2)

        def step(x, y, count):
            optimizer.zero_grad()
            loss = net.backward(nn.functional.cross_entropy(net(x), y), count)
            optimizer.step()
            return loss

        step = tg.compile(step) if compiled else step
        sampler = ShardSampler(rows, comm, batch_size=30, rng=1)
        losses = [step(X[own], Y[own], len(own)).item() for _ in range(4) for own in sampler]
        return losses, [p.data for p in net.parameters()]

    one, expected = trained(ALONE, False)
    for compiled in (False, True):
        several, parameters = trained(comm, compiled)
        np.testing.assert_allclose(several, one, rtol=1e-12)
        for a, b in zip(parameters, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
        comm.require_equal(parameters, "parameters")


class _Watched(Communicator):
    """Notes the shapes of the sums that begin while backward goes on."""

    def __init__(self, comm):
        super().__init__(comm._world, comm.timeout)
        self.shapes = []

    def begun(self, sent, total):
        self.shapes.append(sent.shape)
        return super().begun(sent, total)


def sums_begin_while_backward_goes_on(comm):
    comm = _Watched(comm)
    begun = []  # how many sums had, when backward came to the first layer

    def note():
        begun.append(len(comm.shapes))
        return 0.0

    for compiled in (False, True):
        net = DataParallel(nn.Sequential(nn.Linear(5, 4, rng=0), nn.Linear(4, 3, rng=0)), comm)

        def step(x, y, net=net):
            net.zero_grad()
            hidden = net.network[0](x)
            hidden.register_hook(lambda g: g + tg.host(note))
            return net.backward(nn.functional.cross_entropy(net.network[1](hidden), y), len(y))

        step = tg.compile(step) if compiled else step
        for _ in range(3):
            begun.clear()
            comm.shapes.clear()
            with in_parts():
                step(X[comm.rank :: comm.size].astype(np.float32), Y[comm.rank :: comm.size])
            assert comm.shapes == [(3,), (12,), (4,), (21,)]  # the last with the loss
            assert begun == [2]

    net = nn.MLP([5, 4, 3], rng=0)
    biases = [p for p in net.parameters() if p.ndim == 1]
    weights = [p for p in net.parameters() if p.ndim > 1]
    groups = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    comm.shapes.clear()
    with in_parts():
        nn.Model(net, optimizer=nn.AdamW(groups), rng=0).fit(X, Y, epochs=1, batch_size=131, parallel=comm)
    assert comm.shapes == [(3,), (12,), (4,), (21,)]  # by layer, not by group


def repaired_gradients_are_summed_late(comm):
    """In one process, zero meets the slope of sqrt at 0: what backward repairs at its end is not sent before."""
    comm = _Watched(comm)
    x = np.array([0.0 if comm.rank == comm.size - 1 else 4.0, 1.0])
    for compiled in (False, True):
        weights = [tg.Tensor(np.ones(2), requires_grad=True) for _ in range(3)]
        single = tg.Tensor(np.ones(3, np.float32), requires_grad=True)  # another dtype, and only rank 0 uses it

        def step(x, weights=weights, single=single):
            for w in (*weights, single):
                w.grad = None
            a = tg.sqrt(weights[0] * x) * np.array([0.0, 1.0]) * weights[1] * weights[2]
            loss = a.sum() if comm.rank else a.sum() + single.sum()
            return nn.parallel.gradients.reduce_gradients([single, *weights], comm, loss.backward, a.sum())[0]

        step = tg.compile(step) if compiled else step
        for _ in range(2):
            comm.shapes.clear()
            with in_parts(), warnings.catch_warnings(action="ignore"):  # it runs uncompiled, and says so
                assert step(x) == comm.size
            assert comm.shapes == [(2,), (2,), (3,)]
            np.testing.assert_array_equal(single.grad, np.ones(3, np.float32))
            for w, slope in zip(weights, (0.5, 1.0, 1.0), strict=True):
                np.testing.assert_allclose(w.grad, [0.0, slope * comm.size])


def a_failed_backward_ends_sums(comm):
    """The processes may be at different sums afterwards, so the next backward is refused."""
    comm = _Watched(comm)

    def fail(g):
        raise OverflowError("a mistake")

    weights = [tg.Tensor(np.ones(2), requires_grad=True) for _ in range(3)]
    weights[0].register_hook(fail)
    for error, message in [(OverflowError, "a mistake"), (RuntimeError, r"ended the last backward\(\)")]:
        product = weights[0] * weights[1] * weights[2]
        with in_parts(), pytest.raises(error, match=message):
            nn.parallel.gradients.reduce_gradients(weights, comm, product.sum().backward)


def lbfgs_equals_one_process(comm):
    options = {"epochs": 4, "batch_size": 131}
    plain = {"optimizer": "lbfgs", "metrics": []}
    with in_parts():
        several, one = (fitted(each, plain, **options)[0] for each in (comm, ALONE))
    agree(comm, several)
    assert differences(several, one) < 1e-9  # a line search enlarges rounding


def penalties_count_once(comm):
    def trained(comm):
        net = nn.Sequential(nn.Linear(5, 3, l2=0.1, rng=0, dtype=np.float64))
        model = nn.Model(net, optimizer={"name": "sgd", "lr": 0.1}, rng=0)
        model.fit(X, Y, epochs=2, parallel=comm)
        return model

    assert differences(trained(comm), trained(ALONE)) < 1e-12


# --- parts that are not alike ----------------------------------------------------------------------------


def unsynced_batch_norm_differs(comm):
    """Each process normalises with its own rows; at the end of an epoch all have the mean of the statistics."""
    several, _ = fitted(comm, sync=False, validation_split=0.2)
    one, _ = fitted(ALONE, sync=False, validation_split=0.2)
    agree(comm, several)
    assert differences(several, one) > 1e-4


def ignored_labels(comm):
    """In some updates, nothing counts in one of the processes, or in all."""
    y = Y.copy()
    y[: 131 - 20] = -1
    loss = {"name": "cross_entropy", "ignore_index": -1}
    options = {"batch_size": 4, "data": (X, y), "epochs": 2}
    several, one = (fitted(each, {"loss": loss}, **options)[0] for each in (comm, ALONE))
    agree(comm, several)
    assert differences(several, one) < 1e-12


def streams_of_unequal_length(comm):
    """The last process has a batch more than the others, and the rows of all make up an epoch."""
    parts = np.array_split(np.arange(130), 13)
    own = [parts[i] for i in range(comm.rank, 13, comm.size)]
    model = nn.Model(network(dropout=0.0), optimizer={"name": "sgd", "lr": 0.1}, rng=3)
    history = model.fit([(X[rows], Y[rows]) for rows in own], epochs=3, parallel=comm)
    agree(comm, model)

    updates = [np.concatenate(parts[i : i + comm.size]) for i in range(0, 13, comm.size)]
    one = nn.Model(network(dropout=0.0), optimizer={"name": "sgd", "lr": 0.1}, rng=3)
    one.fit([(X[rows], Y[rows]) for rows in updates], epochs=3, parallel=ALONE)
    assert differences(model, one) < 1e-12
    assert len(history) == 3


def different_seeds(comm):
    """The model of rank 0 is the one that is trained."""
    model = nn.Model(nn.MLP([5, 8, 3], dropout=0.5, rng=comm.rank, dtype=np.float64), rng=comm.rank)
    model.fit(X, Y, epochs=2, validation_split=0.2, parallel=comm)
    agree(comm, model)
    assert len(set(comm.gather(model.history["val_loss"][-1]))) == 1
    assert len(set(comm.gather(float(model.rng.random())))) == 1


def diverging_parameters_are_found(comm):
    class Nudge(nn.Callback):
        def on_step_end(self, fit):
            if comm.rank == comm.size - 1:
                next(iter(fit.model.network.parameters())).data[0] += 1e-9

    with pytest.raises(RuntimeError, match=f"parameters of rank {comm.size - 1} differ from those of rank 0"):
        fitted(comm, callbacks=[Nudge()], epochs=1)


# --- the communicator ------------------------------------------------------------------------------------


def sums_and_messages(comm):
    ranks = range(comm.size)
    for dtype in ("f2", "f4", "f8", "c8", "c16", "i4", "u1", "?"):
        given = np.array([[1, 0, 1]]).astype(dtype)
        total = comm.all_sum(given)
        assert total.dtype == given.dtype
        assert total.shape == (1, 3)
        np.testing.assert_array_equal(total, given * comm.size if dtype != "?" else given)
    assert comm.all_sum(np.array(comm.rank)).shape == ()
    strided = comm.all_sum(np.arange(12.0).reshape(3, 4).T[::2])
    np.testing.assert_array_equal(strided, np.arange(12.0).reshape(3, 4).T[::2] * comm.size)
    assert comm.all_sum(np.zeros((0, 2))).shape == (0, 2)
    assert comm.gather({"rank": comm.rank, "text": "x" * comm.rank}) == [{"rank": r, "text": "x" * r} for r in ranks]
    assert comm.broadcast(comm.rank + 5) == 5
    x = tg.Tensor(np.array([1.0 + comm.rank, 2.0]), requires_grad=True)
    total = nn.parallel.gradients.summed(x, comm=comm)
    (g,) = tg.grad(lambda t: (nn.parallel.gradients.summed(t, comm=comm) ** 3).sum(), argnums=(0,))(x)
    # Each process has this loss, so the gradient of their sum is as many times as large.
    np.testing.assert_allclose(g.data, 3 * total.data**2 * comm.size)
    second = tg.grad(lambda t: tg.grad(lambda u: (nn.parallel.gradients.summed(u, comm=comm) ** 3).sum())(t).sum())(x)
    np.testing.assert_allclose(second.data, 6 * total.data * comm.size**2)


def shards_partition_an_epoch(comm):
    sampler = ShardSampler(1001, comm, batch_size=64, rng=None)
    for _ in range(2):
        batches = list(sampler)
        everything = comm.gather(batches)
        for parts in zip(*everything, strict=True):
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
        taken = np.concatenate([rows for part in everything for rows in part])
        assert sorted(taken) == list(range(1001))
    assert len(batches) == len(sampler) == 16


def estimators_train_together(comm):
    features, labels = X.astype(np.float32), np.array(["a", "b", "c"])[Y]
    options = {"hidden_dims": (8,), "epochs": 5, "random_state": 0}
    with comm:
        several = nn.FNNClassifier(**options).fit(features, labels)
    one = nn.FNNClassifier(**options).fit(features, labels)
    np.testing.assert_allclose(several.predict_proba(features), one.predict_proba(features), atol=1e-4)
    assert len(set(comm.gather(several.predict_proba(features).tobytes()))) == 1


class _Memory(nn.Callback):
    """The most memory of the process itself, in bytes: pages of a mapped file are the system's to drop."""

    peak = 0

    def on_step_end(self, fit):
        self.peak = max(self.peak, self.now())

    @staticmethod
    def now():
        status = Path("/proc/self/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def files_larger_than_a_batch(comm):
    """Each process reads its own rows of a file, a batch at a time."""
    folder = Path(comm.broadcast(tempfile.mkdtemp() if comm.rank == 0 else None))
    wide = (16384, 1024)  # 64 MB
    if comm.rank == 0:
        np.save(folder / "X.npy", X)
        large = np.lib.format.open_memmap(folder / "wide.npy", "w+", np.float32, wide)
        for start in range(0, len(large), 2048):
            large[start : start + 2048] = RNG.random((2048, wide[1]), np.float32)
        large.flush()
        del large
    comm.barrier()
    mapped = np.load(folder / "X.npy", mmap_mode="r")
    several, _ = fitted(comm, data=(mapped, Y), epochs=1)
    if comm.rank == 0:
        assert differences(several, fitted(ALONE, epochs=1)[0]) < 1e-12

    model = nn.Model(nn.MLP([wide[1], 8, 3], rng=0), optimizer="sgd", rng=0)
    memory, before = _Memory(), _Memory.now()
    large = np.load(folder / "wide.npy", mmap_mode="r")
    model.fit(large, np.arange(len(large)) % 3, epochs=1, batch_size=512, parallel=comm, callbacks=[memory])
    assert memory.peak - before < large.nbytes / 4
    comm.barrier()
    if comm.rank == 0:
        shutil.rmtree(folder)


# --- ends ------------------------------------------------------------------------------------------------


def stopped_by_one(comm):
    """Ctrl-C at one process, and a callback that ends the run in another: all end after the same step."""

    class Stop(nn.Callback):
        steps = 0

        def on_step_end(self, fit):
            self.steps += 1
            if self.steps == 7 and comm.rank == comm.size - 1:
                os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    model, history = fitted(comm, callbacks=[Stop()], on_interrupt="return")
    agree(comm, model)
    assert history.stopped == "Ctrl-C"
    assert len(history) == 2
    with pytest.raises(KeyboardInterrupt, match="stopped after epoch 2 of 5"):
        fitted(comm, callbacks=[Stop()])

    class Enough(nn.Callback):
        def on_epoch_end(self, fit):
            if fit.epoch == 3 and comm.rank == comm.size - 1:
                fit.stopped = "enough"

    _, history = fitted(comm, callbacks=[Enough()])
    assert history.stopped == "enough"
    assert len(history) == 3


class _Die(nn.Callback):
    """Kills a process after some steps."""

    def __init__(self, rank, steps, comm):
        self._left = steps if comm.rank == rank else -1

    def on_step_end(self, fit):
        self._left -= 1
        if self._left == 0:
            print(f"at {time.time()}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


def _checkpointed(comm, folder, *callbacks):
    kept = [nn.Checkpoint(folder / "run.npz", resume=True), nn.CSVLog(folder / "log.csv")]
    return fitted(comm, callbacks=[*kept, *callbacks], epochs=6)


def killed(comm):
    """Rank 1 is killed in the third epoch."""
    _checkpointed(comm, Path(sys.argv[2]), _Die(1, 12, comm))


def a_killed_run_resumes(comm):
    """What :func:`killed` has left goes on, as if nothing had happened."""
    folder = Path(sys.argv[2])
    assert 0 < len((folder / "log.csv").read_text().splitlines()) - 1 < 6
    comm.barrier()
    model, history = _checkpointed(comm, folder)
    uninterrupted, _ = fitted(comm, epochs=6)
    agree(comm, model)
    assert differences(model, uninterrupted) < 1e-12
    assert len(history) == 6
    if comm.rank == 0:
        assert len((folder / "log.csv").read_text().splitlines()) == 7


def elastic(comm):
    """One of three is killed, and the two others do the step again: the weights are those of one process."""
    assert comm.elastic
    assert comm.size == 3
    victim, end = int(sys.argv[2]), sys.argv[3]
    with pytest.raises(ValueError, match="LBFGS cannot be elastic"):
        fitted(comm, {"optimizer": "lbfgs"})

    def trained(comm, **options):
        net = network()
        net.hidden_penalty = nn.Linear(5, 1, l2=0.1, rng=0, dtype=np.float64)  # rank 0 adds it, and may be lost
        model = nn.Model(net, optimizer={"name": "adamw", "lr": 1e-2}, metrics=["accuracy"], rng=3)
        history = model.fit(X, Y, epochs=5, batch_size=32, validation_split=0.2, parallel=comm, **options)
        return model, history

    model, history = trained(comm, callbacks=[_Die(victim, 7, comm)], compile=end == "well")
    assert comm.size == 2
    one, expected = trained(ALONE)
    agree(comm, model)
    for name, value in one.network.state_dict().items():
        np.testing.assert_allclose(model.network.state_dict()[name], value, rtol=0, atol=1e-12)
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-12)
    if end == "fail":
        sys.exit(5)


def hangs(comm):
    """The ways in which programs of several processes hang."""
    how = sys.argv[2]
    for _ in range(3):
        comm.all_sum(np.ones(1000))
    comm.timeout = 1.0
    if comm.rank == 1:
        print(f"at {time.time()}", flush=True)
        if how == "raise":
            raise ValueError("a mistake")
        if how == "exit":
            sys.exit(0)
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "stop":
        weights = [tg.Tensor(np.ones(1000), requires_grad=True) for _ in range(2)]
        with in_parts():
            nn.parallel.gradients.reduce_gradients(weights, comm, (weights[0] * weights[1]).sum().backward)
    comm.all_sum(np.ones(1000))


EVERY = [
    fit_equals_one_process,
    float32_equals_one_process,
    loops_equal_one_process,
    lbfgs_equals_one_process,
    penalties_count_once,
    sums_begin_while_backward_goes_on,
    repaired_gradients_are_summed_late,
    a_failed_backward_ends_sums,
    unsynced_batch_norm_differs,
    ignored_labels,
    streams_of_unequal_length,
    different_seeds,
    diverging_parameters_are_found,
    sums_and_messages,
    shards_partition_an_epoch,
    estimators_train_together,
    files_larger_than_a_batch,
    stopped_by_one,
]


def every(comm):
    """All that need no process of their own, each of which says that it is done."""
    for function in EVERY + [a_killed_run_resumes] * (len(sys.argv) > 2):
        function(comm)
        print(f"{function.__name__}: done", flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](nn.parallel.init(timeout=60))
