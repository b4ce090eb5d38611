"""Kinds of data: sparse matrices, several inputs, several labels, loaders, streams without end."""

import itertools

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .fits import Recorder, assert_same, data, made

# --- sparse -----------------------------------------------------------------------------------------------


def sparse(rows=40, seed=0):
    X, y = data(rows, seed=seed)
    X[np.abs(X) < 0.7] = 0
    return X, y


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_a_sparse_matrix_is_taken_like_the_dense_one(form, kind):
    scipy = pytest.importorskip("scipy.sparse")
    X, y = sparse()
    given = getattr(scipy, f"{form}_{kind}")(X)
    models = [made(metrics=["accuracy"]), made(metrics=["accuracy"])]
    for model, inputs in zip(models, (X, given), strict=True):
        model.fit(inputs, y, epochs=2, batch_size=16, validation_data=(inputs, y))
        model.fit(inputs, y, epochs=1, validation_split=0.25)
    assert_same(*models)
    assert models[0].history["val_accuracy"] == models[1].history["val_accuracy"]
    np.testing.assert_array_equal(models[0].predict(X), models[1].predict(given))
    assert models[0].evaluate(X, y) == models[1].evaluate(given, y)
    assert models[0].evaluate([(X, y)]) == models[1].evaluate([(given, y)])


def test_a_sparse_matrix_is_never_made_dense_as_a_whole(monkeypatch):
    scipy = pytest.importorskip("scipy.sparse")
    X, y = sparse(64)
    seen, plain = [], scipy.csr_array.toarray
    monkeypatch.setattr(
        scipy.csr_array, "toarray", lambda self, *args, **kw: (seen.append(self.shape[0]), plain(self, *args, **kw))[1]
    )
    model = made()
    given = scipy.csr_array(X.astype(np.float64))
    model.fit(given, y, epochs=2, batch_size=16, validation_split=0.25)
    model.predict(given, batch_size=10)
    assert max(seen) == 16
    assert given.dtype == np.float64  # the caller's own


def test_sparse_integers_and_targets():
    scipy = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    X, Y = rng.integers(0, 3, (20, 4)), rng.integers(0, 2, (20, 3))
    models = [made(loss="bce_with_logits", metrics=["f1"]) for _ in range(2)]
    models[0].fit(X, Y, epochs=2)
    models[1].fit(scipy.csr_array(X), scipy.csc_array(Y), epochs=2)
    assert_same(*models)
    assert models[0].history["f1"] == models[1].history["f1"]


# --- several labels ---------------------------------------------------------------------------------------


def test_several_labels_per_row():
    peers = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    Y = (X @ rng.normal(size=(4, 3)) > 0).astype(int)
    names = ["accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "log_loss"]
    model = made(loss="bce_with_logits", metrics=names)
    history = model.fit(X, Y, epochs=3, batch_size=16, validation_split=0.25)
    assert np.isfinite([history[f"val_{name}"] for name in names]).all()
    logits = model.predict(X)
    got = model.evaluate(X, Y)
    want = {
        "loss": nn.functional.binary_cross_entropy_with_logits(logits, Y).item(),
        "log_loss": nn.functional.binary_cross_entropy_with_logits(logits, Y).item(),
        "accuracy": peers.accuracy_score(Y, logits > 0),
        "precision": peers.precision_score(Y, logits > 0, average="macro", zero_division=0),
        "recall": peers.recall_score(Y, logits > 0, average="macro", zero_division=0),
        "f1": peers.f1_score(Y, logits > 0, average="macro", zero_division=0),
        "roc_auc": peers.roc_auc_score(Y, logits),
        "average_precision": peers.average_precision_score(Y, logits),
    }
    assert got == pytest.approx(want, rel=1e-5)


# --- several inputs ---------------------------------------------------------------------------------------


class Two(nn.Module):
    """A layer for each of two inputs; the second may be left out."""

    def __init__(self, rng=0):
        super().__init__()
        self.one = nn.Linear(4, 3, rng=rng)
        self.two = nn.Linear(2, 3, rng=rng)
        self.seen = []

    def forward(self, a, b):
        self.seen.append((np.shape(a), np.shape(b)))
        return self.one(a) + self.two(b)


def two(**options):
    return nn.Model(Two(), optimizer={"name": "adam", "lr": 0.01}, metrics=["accuracy"], rng=0, **options)


def three(rows=40):
    X, y = data(rows)
    return X, np.random.default_rng(1).normal(size=(rows, 2)), y


@pytest.mark.parametrize("compile", [False, True])
def test_a_dict_is_passed_by_name_and_a_tuple_by_position(compile):
    A, B, y = three()
    models = [two() for _ in range(4)]
    forms = [{"a": A, "b": B}, {"b": B.tolist(), "a": tg.Tensor(A)}, (A, B), (A, np.asfortranarray(B))]
    for model, X in zip(models, forms, strict=True):
        run = {"epochs": 2, "batch_size": 16, "validation_data": (X, y), "compile": compile}
        model.fit(X, y, **run)
        model.fit(X, y, epochs=1, validation_split=0.25, sample_weight=np.linspace(0.5, 1, 40), compile=compile)
    plain = two()
    plain.fit([({"a": A, "b": B}, y)], epochs=1)  # it is another run, and takes them all the same
    for model, X in zip(models[1:], forms[1:], strict=True):
        assert_same(models[0], model)
        np.testing.assert_allclose(model.predict(X), models[0].predict(forms[0]), rtol=1e-5, atol=1e-6)
        assert model.evaluate(X, y) == pytest.approx(models[0].evaluate(forms[0], y), rel=1e-5)
    assert models[0].predict({"a": A, "b": B}).shape == (40, 3)
    assert {shapes for shapes in models[0].network.seen if shapes[0][0] == 16} <= {((16, 4), (16, 2))}


def test_a_step_on_several_inputs_is_the_one_that_one_would_write():
    A, B, y = three()
    model, network = two(), Two()
    model.fit({"a": A, "b": B}, y, epochs=1, batch_size=40, shuffle=False)
    optimizer = nn.Adam(network.parameters(), lr=0.01)
    nn.functional.cross_entropy(network(A, B.astype(np.float32)), y).backward()
    optimizer.step()
    assert_same(model.network, network)


def test_batches_of_several_inputs():
    A, B, y = three()
    parts = [slice(0, 20), slice(20, 40)]
    forms = [
        [({"a": A[part], "b": B[part]}, y[part]) for part in parts],
        [((A[part], B[part]), y[part]) for part in parts],
        [([A[part], B[part]], y[part]) for part in parts],
    ]
    models = [two() for _ in forms]
    for model, batches in zip(models, forms, strict=True):
        model.fit(batches, epochs=2, validation_data=batches)
        assert_same(models[0], model)
        assert model.evaluate(batches)["loss"] == pytest.approx(model.evaluate((A, B), y)["loss"], rel=1e-6)


def test_sparse_and_several_and_on_disk(tmp_path):
    scipy = pytest.importorskip("scipy.sparse")
    A, B, y = three()
    A[np.abs(A) < 0.7] = 0
    np.save(tmp_path / "B.npy", B)
    models = [two(), two()]
    models[0].fit((A, B), y, epochs=2, validation_split=0.25)
    models[1].fit((scipy.csr_array(A), np.load(tmp_path / "B.npy", mmap_mode="r")), y, epochs=2, validation_split=0.25)
    assert_same(*models)


def test_a_list_or_a_tuple_of_rows_is_one_array():
    X, y = data(20)
    models = [made(), made(), made(), made()]
    forms = [X, X.tolist(), list(X), tuple(map(tuple, X.tolist()))]
    for model, given in zip(models, forms, strict=True):
        model.fit(given, y, epochs=1)
        assert_same(models[0], model)


@pytest.mark.parametrize(
    ("X", "error", "text"),
    [
        ({}, ValueError, "X is an empty dict"),
        ({0: np.zeros((8, 4))}, TypeError, "X is a dict by 0, expected the names of arguments"),
        ({"a": np.zeros((8, 4)), "b": np.zeros((7, 2))}, tg.ShapeError, r"X\['a'\] \(8, 4\), X\['b'\] \(7, 2\), y"),
        ((np.zeros((8, 4)), np.zeros((7, 2))), tg.ShapeError, r"X\[0\] \(8, 4\), X\[1\] \(7, 2\)"),
        ({"a": np.zeros((8, 4)), "b": 3.0}, tg.ShapeError, r"X\['b'\] is a single number"),
        ([np.zeros((8, 4)), np.zeros((8, 2))], tg.ShapeError, "rows that differ in shape; for several inputs, write a"),
        ({"a": np.zeros((8, 4)), "c": np.zeros((8, 2))}, TypeError, "unexpected keyword argument 'c'"),
        ((np.zeros((8, 4)),) * 3, TypeError, "positional arguments"),
        (None, TypeError, "X is None"),
        ({"a": np.full((8, 4), "x"), "b": np.zeros((8, 2))}, tg.DTypeError, "X has dtype <U1, expected real numbers"),
        ({"a": np.full((8, 4), "x", object), "b": np.zeros((8, 2))}, tg.DTypeError, "not all of it are numbers"),
        ({"a": np.full((8, 4), 1e300), "b": np.zeros((8, 2))}, ValueError, r"1e\+300, too large for float32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(X, error, text):
    model = two()
    before = model.state_dict()
    with pytest.raises(error, match=text):
        model.fit(X, np.zeros(8, int))
    np.testing.assert_equal(model.state_dict(), before)


@pytest.mark.parametrize("X", [{"a": np.zeros((8, 4))}, (np.zeros((8, 4)), np.zeros(8, int)), np.zeros((8, 4))])
def test_without_targets_it_says_how_to_write_them(X):
    with pytest.raises(TypeError, match=r"fit: y is missing; write fit\(X, y\)"):
        two().fit(X)
    with pytest.raises(TypeError, match=r"y is missing; write validation_data=\(X, y\)"):
        two().fit(*three()[::2], validation_data=(X, None))


# --- batches ----------------------------------------------------------------------------------------------


class Loader:
    """Batches that can be run through again, like a loader's."""

    def __init__(self, X, y, size):
        self.X, self.y, self.size, self.passes = X, y, size, 0

    def __iter__(self):
        self.passes += 1
        for i in range(0, len(self.X), self.size):
            yield self.X[i : i + self.size], self.y[i : i + self.size]


class OwnIterator(Loader):
    """A loader that is its own iterator and starts anew when it is asked for one."""

    def __iter__(self):
        self.passes += 1
        self.at = 0
        return self

    def __next__(self):
        if self.at >= len(self.X):
            raise StopIteration
        self.at += self.size
        return self.X[self.at - self.size : self.at], self.y[self.at - self.size : self.at]


@pytest.mark.parametrize("kind", [Loader, OwnIterator])
def test_a_loader_is_training_and_validation_data(kind):
    X, y = data(32)
    plain, model = made(metrics=["accuracy"]), made(metrics=["accuracy"])
    held = kind(X[:12], y[:12], 5)
    expected = plain.fit(X, y, epochs=3, batch_size=8, shuffle=False, validation_data=(X[:12], y[:12]))
    training = kind(X, y, 8)
    history = model.fit(training, epochs=3, validation_data=held)
    assert_same(plain, model)
    assert history["val_accuracy"] == expected["val_accuracy"]
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-6)
    assert training.passes == held.passes == 3


@pytest.mark.parametrize("form", [list, tuple, lambda batches: lambda: iter(batches), Loader])
def test_validation_data_in_batches(form):
    X, y = data(32)
    batches = [(X[:20], y[:20]), (X[20:], y[20:])]
    given = Loader(X, y, 20) if form is Loader else form(batches)
    plain, model = made(), made()
    expected = plain.fit(X, y, epochs=2, validation_data=(X, y))
    history = model.fit(X, y, epochs=2, validation_data=given)
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-6)


def test_validation_data_as_a_list_of_two_arrays():
    X, y = data(32)
    models = [made(), made(), made()]
    forms = [(X, y), [X, y], [X.tolist(), y.tolist()]]
    histories = [m.fit(X, y, epochs=1, validation_data=form) for m, form in zip(models, forms, strict=True)]
    assert histories[0]["val_loss"] == histories[1]["val_loss"] == histories[2]["val_loss"]


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (lambda X, y: ((X, y) for _ in range(3)), TypeError, "is a generator, which runs only once, and is needed in"),
        (lambda X, y: iter([(X, y)]), TypeError, "is a list_iterator, which runs only once"),
        (lambda X, y: {"X": X, "y": y}, TypeError, r"validation_data must be \(X, y\) or .*, got dict"),
        (lambda X, y: 3, TypeError, "got int"),
        (lambda X, y: [], TypeError, "got 0 values"),
        (lambda X, y: [(X,), (X, y)], TypeError, "validation_data: a batch must be .* got 1 values"),
        (lambda X, y: [(X, None)], TypeError, "y of a batch is None"),
        (lambda X, y: lambda: iter([]), ValueError, "validation_data: the stream of batches is empty"),
        (lambda X, y: (X[:, :3], y), tg.ShapeError, "3"),
        (lambda X, y: [(X[:, :3], y)], tg.ShapeError, "3"),
    ],
)
def test_validation_data_that_is_none_is_refused_before_the_first_step(given, error, text):
    X, y = data(16)
    model = made()
    before = model.state_dict()
    with pytest.raises(error, match=text):
        model.fit(X, y, epochs=2, validation_data=given(X, y))
    np.testing.assert_equal(model.state_dict(), before)
    assert len(model.history) == 0


def test_a_generator_serves_for_the_validation_of_one_epoch():
    X, y = data(16)
    assert len(made().fit(X, y, epochs=1, validation_data=((X, y) for _ in range(2)))["val_loss"]) == 1


@pytest.mark.peer
def test_batches_of_a_loader_of_pytorch():
    torch = pytest.importorskip("torch")
    A, B, y = three()
    pairs = torch.utils.data.TensorDataset(torch.tensor(A), torch.tensor(B), torch.tensor(y))
    nested = [((a, b), label) for a, b, label in pairs]
    model, plain = two(), two()
    loader = torch.utils.data.DataLoader(nested, batch_size=10)
    model.fit(loader, epochs=2, validation_data=loader)
    plain.fit((A, B), y, epochs=2, batch_size=10, shuffle=False, validation_data=((A, B), y))
    assert_same(model, plain)
    np.testing.assert_allclose(model.history["val_loss"], plain.history["val_loss"], rtol=1e-6)


# --- steps per epoch --------------------------------------------------------------------------------------


def endless(X, y, size=8):
    for i in itertools.count():
        rows = np.arange(i * size, (i + 1) * size) % len(X)
        yield X[rows], y[rows]


def test_an_endless_generator_is_cut_into_epochs():
    X, y = data(48)
    models = [made() for _ in range(5)]
    models[0].fit(X, y, epochs=6, batch_size=8, shuffle=False)
    steps = Recorder()
    history = models[1].fit(endless(X, y), epochs=9, steps_per_epoch=4, callbacks=[steps])
    assert (steps.steps, len(history)) == (36, 9)
    models[2].fit(lambda: endless(X, y), epochs=4, steps_per_epoch=9)
    models[3].fit(
        itertools.cycle([(X[i : i + 8], y[i : i + 8]) for i in range(0, 48, 8)]), epochs=3, steps_per_epoch=12
    )
    models[4].fit(Loader(X, y, 8), epochs=4, steps_per_epoch=9)  # it starts again at its end
    for model in models[1:]:
        assert_same(models[0], model)


def test_a_generator_goes_on_in_the_next_fit_where_it_ended():
    X, y = data(48)
    model, plain = made(), made()
    batches = endless(X, y)
    for _ in range(2):
        model.fit(batches, epochs=1, steps_per_epoch=3)
    plain.fit(X, y, epochs=1, batch_size=8, shuffle=False)
    assert_same(model, plain)


@pytest.mark.parametrize(
    ("X", "arguments", "text"),
    [
        (lambda X, y: endless(X[:16], y), {"epochs": 2}, "a generator runs only once, so give the function that makes"),
        (lambda X, y: itertools.cycle([(X, y)]), {"epochs": 1}, "the stream of batches never ends; say how many make"),
        (lambda X, y: X, {"y": data(16)[1], "steps_per_epoch": 3}, "steps_per_epoch is for streams of batches"),
        (lambda X, y: [(X, y)], {"steps_per_epoch": 0}, "steps_per_epoch must be an integer of at least 1, got 0"),
        (lambda X, y: [(X, y)], {"steps_per_epoch": 2.5}, "steps_per_epoch must be an integer"),
        (lambda X, y: iter([(X, y)] * 5), {"epochs": 2, "steps_per_epoch": 3}, "ended after 2 of 3 steps of an epoch"),
        (lambda X, y: lambda: iter([]), {"steps_per_epoch": 3}, "the stream of batches is empty"),
    ],
)
def test_streams_and_steps_that_do_not_fit(X, arguments, text):
    with pytest.raises(ValueError, match=text):
        made().fit(X(*data(16)), **arguments)


# --- sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, 0, 2.5, True, None, "8"])
def test_batch_sizes_that_are_none_are_refused(size):
    X, y = data(8)
    model = made()
    for name, call in (
        ("predict", lambda: model.predict(X, batch_size=size)),
        ("evaluate", lambda: model.evaluate(X, y, batch_size=size)),
        ("fit", lambda: model.fit(X, y, batch_size=size)),
    ):
        with pytest.raises(ValueError, match=f"{name}: batch_size must be an integer of at least 1, got {size!r}"):
            call()
    assert model.predict(X, batch_size=np.int64(3)).shape == (8, 3)
