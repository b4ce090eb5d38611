"""Gradients of several batches make up one update."""

import numpy as np
import pytest

import nn
from nn._training.data import _updates

from .fits import Recorder, data


def trained(rows, *, batch_size, accumulate, compile=False, loss="cross_entropy", norm=None, weight=None, **options):
    X, y = data(rows)
    X = X.astype(np.float64)
    network = nn.MLP([4, 8, 3], activation="tanh", norm=norm, l2=0.01, dtype=np.float64, rng=0)
    optimizer = {"name": "sgd", "lr": 0.5, "momentum": 0.9}
    model = nn.Model(network, loss=loss, optimizer=optimizer, metrics=["accuracy"], rng=0, **options)
    steps = Recorder()
    sizes = {"batch_size": batch_size, "accumulate": accumulate}
    history = model.fit(X, y, epochs=3, compile=compile, sample_weight=weight, callbacks=[steps], **sizes)
    return model, history, steps.steps


def assert_close(one, other):
    for (name, x), y in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=name)


WEIGHTED = nn.CrossEntropyLoss(weight=[0.2, 1.0, 3.0])
IGNORING = nn.CrossEntropyLoss(ignore_index=1)


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", WEIGHTED, IGNORING], ids=["plain", "class weights", "ignored"])
@pytest.mark.parametrize(
    ("rows", "updates"),
    [(64, 2), (50, 2), (70, 3), (65, 3), (9, 1)],  # full batches; smaller ones; three updates; batches of two rows
)
def test_it_equals_large_batches(rows, updates, loss, compile):
    small, history, steps = trained(rows, batch_size=8, accumulate=4, loss=loss, compile=compile)
    large, expected, _ = trained(rows, batch_size=32, accumulate=1, loss=loss)
    assert steps == 3 * updates
    assert_close(small, large)
    for name in ("loss", "accuracy", "grad_norm"):
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-9)


@pytest.mark.parametrize("options", [{"clip_norm": 0.05}, {"clip_value": 0.01}, {"ema": 0.9}])
def test_it_equals_large_batches_with_every_part_of_an_update(options):
    small, _, _ = trained(70, batch_size=8, accumulate=4, **options)
    large, _, _ = trained(70, batch_size=32, accumulate=1, **options)
    assert_close(small, large)


def test_it_equals_large_batches_with_sample_weights():
    weight = np.random.default_rng(1).uniform(size=70)
    small, _, _ = trained(70, batch_size=8, accumulate=4, weight=weight)
    large, _, _ = trained(70, batch_size=32, accumulate=1, weight=weight)
    assert_close(small, large)


def test_a_batch_whose_labels_are_all_ignored_does_not_count():
    X, y = data(32)
    y[:8] = 1
    loss = nn.CrossEntropyLoss(ignore_index=1)
    losses = []
    for sizes in ({"batch_size": 8, "accumulate": 4}, {"batch_size": 32}):
        model = nn.Model(nn.MLP([4, 3], rng=0), loss=loss, rng=0)
        losses += [*model.fit(X, y, epochs=2, shuffle=False, **sizes)["loss"]]
    np.testing.assert_allclose(losses[:2], losses[2:], rtol=1e-5)


@pytest.mark.parametrize(("rows", "updates"), [(7, 2), (5, 1), (13, 3)])
def test_it_equals_large_batches_where_a_row_is_alone(rows, updates):
    small, _, steps = trained(rows, batch_size=2, accumulate=3)
    large, _, _ = trained(rows, batch_size=6, accumulate=1)
    assert steps == 3 * updates
    assert_close(small, large)


def test_the_schedule_steps_with_each_update():
    schedule = {"name": "step", "step_size": 1, "gamma": 0.5}
    model, _, _ = trained(70, batch_size=8, accumulate=4, schedule=schedule, schedule_every="step")
    assert model.schedule.last_epoch == 9


def test_lbfgs_searches_over_the_whole_group():
    pytest.importorskip("scipy")
    X, y = data(60)
    losses = []
    for sizes in ({"batch_size": 20, "accumulate": 3}, {"batch_size": 60}):
        network = nn.MLP([4, 3], dtype=np.float64, rng=0)
        losses.append(nn.Model(network, optimizer="lbfgs", rng=0).fit(X, y, epochs=2, **sizes)["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_a_stream_is_grouped_too():
    X, y = data(64)

    def batches():
        for rows in np.split(np.arange(64), 8):
            yield X[rows], y[rows]

    stream, rows = (nn.Model(nn.MLP([4, 3], rng=0), rng=0) for _ in range(2))
    steps = Recorder()
    stream.fit(batches, epochs=2, accumulate=4, callbacks=[steps])
    rows.fit(X, y, epochs=2, batch_size=8, accumulate=4, shuffle=False)
    assert steps.steps == 4
    assert_close(stream, rows)


@pytest.mark.parametrize("accumulate", [0, -1, 1.5, True])
def test_refusals(accumulate):
    X, y = data(8)
    with pytest.raises(ValueError, match="fit: accumulate must be an integer of at least 1"):
        nn.Model(nn.MLP([4, 3], rng=0)).fit(X, y, accumulate=accumulate)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("together", [1, 2, 3])
def test_where_batches_and_updates_end(size, together):
    for count in range(1, 40):
        updates = list(_updates(count, size, False, together))
        batches = [np.diff(edges) for edges in updates]
        assert [edges[0] for edges in updates] == [0, *(edges[-1] for edges in updates[:-1])]
        assert updates[-1][-1] == count
        rows = [sum(sizes) for sizes in batches]
        assert max(rows) - min(rows) <= 1
        # As few updates as possible. Of an odd number of rows in twos, three are together or one is alone.
        odd = size == 2 and count % 2 == 1 and count > 1
        three = odd and together == 1
        assert len(updates) == -(-count // (size * together)) - three
        for sizes in batches:
            assert max(sizes) - min(sizes) <= 1
            assert max(sizes) <= size + three
            # As many batches as were asked for, unless one of them would have a single row.
            assert len(sizes) <= together
            assert len(sizes) == together or sum(sizes) < 2 * (len(sizes) + 1)
            assert min(sizes) > 1 or size == 1 or count == 1 or (size == 2 and sum(sizes) % 2 == 1)


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        (7, {"batch_size": 2, "accumulate": 3}, [[2, 2], [2, 1]]),
        (10, {"batch_size": 4, "accumulate": 3}, [[4, 3, 3]]),
        (13, {"batch_size": 4, "accumulate": 3}, [[3, 2, 2], [2, 2, 2]]),
        (15, {"batch_size": 2, "accumulate": 3, "drop_last": True}, [[2, 2, 2], [2, 2, 2], [2]]),
        (5, {"batch_size": 1, "accumulate": 3}, [[1, 1, 1], [1, 1]]),
    ],
)
def test_the_batches_that_a_network_gets(rows, options, expected):
    X, y = data(rows)
    network, sizes, updates = nn.MLP([4, 3], rng=0), [], []

    class Ends(nn.Callback):
        def on_step_end(self, fit):
            updates.append(sizes.copy())
            sizes.clear()

    def note(module, inputs, output):
        if module.training:
            sizes.append(len(output))

    network.register_forward_hook(note)
    nn.Model(network, optimizer="sgd", rng=0).fit(X, y, epochs=1, callbacks=[Ends()], **options)
    assert updates == expected
