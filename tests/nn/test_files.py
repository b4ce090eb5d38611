"""nn.save and nn.load: what comes back."""

import inspect
import math
import os
import pathlib
import re

import numpy as np
import pytest

import nn
import tensorgrad as tg

FORMATS = [".npz", ".safetensors"]


@pytest.fixture(params=FORMATS)
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return str(tmp_path / f"model{request.param}")


class Net(nn.Module):
    """A class that no file can rebuild."""

    def __init__(self, rng=0):
        super().__init__()
        self.body = nn.MLP([4, 6, 3], norm="batch", dropout=0.3, rng=rng)
        self.squash = math.tanh  # not data, either

    def forward(self, x):
        return self.body(x)


def train(model, optimizer, steps=4):
    rng = np.random.default_rng(5)
    for _ in range(steps):
        x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.integers(0, 3, 8)
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def bits(tree):
    """Everything in a state_dict, so that == compares bit by bit."""
    if isinstance(tree, dict):
        return {key: bits(value) for key, value in tree.items()}
    return (tree.dtype.str, tree.shape, tree.tobytes()) if isinstance(tree, np.ndarray) else tree


def require_equal(pair, other):
    for one, two in zip(pair, other, strict=True):
        assert bits(one.state_dict()) == bits(two.state_dict())


# --- rebuilding ---------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda params: nn.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda params: nn.Adam(params, lr=0.02, betas=(0.8, 0.99)),
    "adamw in groups": lambda params: nn.AdamW(
        [{"params": params[::2], "lr": 0.05}, {"params": params[1::2], "weight_decay": 0.0}]
    ),
}


@pytest.mark.promise("H7")
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("given", ["nothing", "the model", "both"])
def test_training_goes_on_bit_for_bit(path, make, given):
    def pair(seed):
        model = nn.MLP([4, 8, 8, 3], norm="batch", dropout=0.2, rng=seed)
        return model, make(list(model.parameters()))

    model, optimizer = pair(0)
    train(model, optimizer)
    nn.save(path, model, optimizer)
    others = {"nothing": [], "the model": pair(1)[:1], "both": pair(1)}[given]
    loaded = nn.load(path, *others)
    assert all(a is b for a, b in zip(loaded, others, strict=False))
    assert loaded.extra is None
    require_equal((model, optimizer), loaded[:2])
    assert repr(loaded.model) == repr(model)
    train(model, optimizer)
    before = bits(loaded.model.state_dict())
    train(loaded.model, loaded.optimizer)
    assert bits(loaded.model.state_dict()) != before
    require_equal((model, optimizer), loaded[:2])


def test_all_attributes_come_back(path):
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.LeakyReLU(0.3), nn.Dropout(0.1, rng=1), nn.BatchNorm(2))
    values = [None, True, 3, -(2**70), "té\0xt", 0.1, -0.0, math.inf, (1, (2, [3])), {"a": {1: (2,)}, (1, 2): None}]
    values += [np.dtype("f2"), np.float32(0.1), np.int8(-3), np.bool_(True), np.complex128(1j), [], {}, ()]
    model.notes = values
    model[1].eval()
    model[0].W.requires_grad = False
    model[0].b.name = "mine"
    nn.save(path, model)
    loaded = nn.load(path).model
    assert repr(loaded.notes) == repr(values)
    assert [type(value) for value in loaded.notes] == [type(value) for value in values]
    assert [m.training for m in loaded.modules()] == [m.training for m in model.modules()]
    assert [p.requires_grad for p in loaded.parameters()] == [False, True, True, True]
    assert [p.name for p in loaded.parameters()] == ["0.W", "mine", "3.gamma", "3.beta"]
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert loaded[1].negative_slope == 0.3
    assert loaded(np.ones((3, 2), np.float32)).node.scope.path == "3"


def test_what_is_shared_stays_shared(path):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Dropout(0.5, rng=rng), nn.Dropout(0.5, rng=rng))
    model.tied = nn.Linear(3, 3, rng=1)
    model.tied.W = model[0].W
    model.again = model[0]
    model.itself = [model[1]]
    nn.save(path, model, extra={"rng": rng, "layer": model[0].W})
    loaded, _, extra = nn.load(path)
    assert loaded[1].rng is loaded[2].rng is extra["rng"]
    assert loaded.tied.W is loaded[0].W is extra["layer"]
    assert loaded.again is loaded[0]
    assert loaded.itself[0] is loaded[1]
    assert len(list(loaded.parameters())) == len(list(model.parameters()))


def test_a_parameter_that_is_replaced_later_is_still_noticed(path):
    model = nn.MLP([4, 3], rng=0)
    nn.save(path, model, nn.SGD(model.parameters()))
    loaded, optimizer, _ = nn.load(path)
    loaded.layers[0].b = nn.Parameter(np.zeros(3, np.float32))
    with pytest.raises(tg.GraphError, match="replaced"):
        optimizer.step()


@pytest.mark.parametrize("kind", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
@pytest.mark.parametrize("given", [False, True])
def test_generators_go_on(path, kind, given):
    def model(seed):
        return nn.Sequential(nn.Dropout(0.5, rng=np.random.Generator(getattr(np.random, kind)(seed))))

    saved = model(3)
    rng = saved[0].rng
    rng.integers(0, 10, 3, dtype=np.int32)  # half a 64-bit number is left over
    rng.spawn(2)
    nn.save(path, saved)
    other = nn.load(path, *[model(4)] * given).model[0].rng
    assert other.integers(0, 2**31, 9, dtype=np.int32).tolist() == rng.integers(0, 2**31, 9, dtype=np.int32).tolist()
    if not given:
        assert [g.random() for g in other.spawn(2)] == [g.random() for g in rng.spawn(2)]


def test_attributes_of_an_optimizer(path):
    model = nn.MLP([4, 3], rng=0)
    optimizer = nn.SGD(model.parameters(), lr=0.5)
    optimizer.noted = (1, 2)
    optimizer.param_groups[0]["initial_lr"] = 0.25
    nn.save(path, model, optimizer)
    for loaded in (nn.load(path), nn.load(path, nn.MLP([4, 3]), None)):
        assert loaded.optimizer.noted == (1, 2)
        assert loaded.optimizer.param_groups[0]["initial_lr"] == 0.25
        assert loaded.optimizer.param_groups[0]["params"][0] is next(loaded.model.parameters())
    other = nn.MLP([4, 3])
    given = nn.SGD(other.parameters(), lr=0.1)
    given.param_groups[0]["later"] = "an option that the file does not know"
    nn.load(path, other, given)
    assert given.param_groups[0]["later"].startswith("an option")
    assert given.noted == (1, 2)
    assert given.param_groups[0]["initial_lr"] == 0.25
    assert given.lr == 0.5


def test_saving_changes_nothing(path):
    model = nn.MLP([4, 6, 3], norm="batch", dropout=0.5, rng=0)
    optimizer = nn.Adam(model.parameters())
    train(model, optimizer)
    model.state_dict()  # gives the parameters their names
    memory = np.zeros((6, 8), np.float32)
    model.layers[0].W.data = memory[1:5, 1:7]  # a view with gaps
    arrays = [p.data for p in model.parameters()]
    before = bits(model.state_dict()), bits(optimizer.state_dict()), repr(vars(model.layers[3])), memory.tobytes()
    drawn = model.layers[3].rng.bit_generator.state
    nn.save(path, model, optimizer, {"a": [1]})
    assert before == (
        bits(model.state_dict()),
        bits(optimizer.state_dict()),
        repr(vars(model.layers[3])),
        memory.tobytes(),
    )
    assert model.layers[3].rng.bit_generator.state == drawn
    assert all(p.data is array for p, array in zip(model.parameters(), arrays, strict=True))


def test_the_same_model_gives_the_same_npz(tmp_path):
    for name in ("a.npz", "b.npz"):
        nn.save(tmp_path / name, nn.MLP([4, 6, 3], norm="batch", dropout=0.5, rng=0))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


class Record:
    """Stands for schedules, histories and the like: plain attributes, and the optimiser that it changes."""

    def __init__(self, model, optimizer, rows):
        self.model = model  # a cycle
        self.optimizer = optimizer
        self.rows = rows


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("given", [False, True])
def test_records_and_what_they_refer_to(path, monkeypatch, kept, given):
    monkeypatch.setattr(nn, "Record", Record, raising=False)  # public in nn

    def whole(seed, rows):
        model = nn.MLP([4, 3], rng=seed)
        model.optimizer = nn.SGD(model.parameters(), momentum=0.9)
        model.records = [Record(model, model.optimizer, rows)]
        return model

    model = whole(0, {"loss": [1.0, 0.5]})
    train(model, model.optimizer)
    if not kept:
        model.records[0].rows = len
    nn.save(path, model, extra={"record": model.records[0]} if kept else None)
    other = whole(1, {})
    if not given and not kept:
        with pytest.raises(tg.CheckpointError, match=r"records\.0\.rows: len is a function"):
            nn.load(path)
        return
    loaded, _, extra = nn.load(path, *[other] * given)
    (record,) = loaded.records
    assert record is (other.records[0] if given else record)
    assert record.rows == ({"loss": [1.0, 0.5]} if kept else {})
    assert record.model is loaded
    assert record.optimizer is loaded.optimizer
    assert extra is None or extra["record"] is record
    require_equal((model, model.optimizer), (loaded, loaded.optimizer))


def test_a_record_refers_to_a_model_of_an_own_class(path, monkeypatch):
    monkeypatch.setattr(nn, "Record", Record, raising=False)
    model, other = nn.Sequential(Net()), nn.Sequential(Net())
    model.record = Record(model[0], model[0].body, 3)
    other.record = Record(None, None, 0)
    nn.save(path, model)
    nn.load(path, other)
    assert vars(other.record) == {"model": other[0], "optimizer": other[0].body, "rows": 3}


# --- other programs -----------------------------------------------------------------------------------------


def test_numpy_opens_the_npz(tmp_path):
    model = nn.MLP([4, 6, 3], rng=0)
    nn.save(tmp_path / "m.npz", model)
    with np.load(tmp_path / "m.npz") as file:
        assert file.zip.testzip() is None
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(file[name], array)
        assert file["header.json"].startswith(b'{"format":"tensorgrad.nn"')


def test_the_package_opens_the_safetensors(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    model = nn.MLP([4, 6, 3], rng=0)
    model.layers[0].W.data = model.layers[0].W.data.copy(order="F")
    nn.save(tmp_path / "m.safetensors", model)
    arrays = package.load_file(tmp_path / "m.safetensors")
    assert {name: array.tolist() for name, array in arrays.items()} == {
        name: array.tolist() for name, array in model.state_dict().items()
    }


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_files_of_the_package_are_loaded(tmp_path, metadata):
    package = pytest.importorskip("safetensors.numpy")
    file = tmp_path / "m.safetensors"
    model, other = nn.MLP([4, 6, 3], norm="batch", rng=0), nn.MLP([4, 6, 3], norm="batch", rng=1)
    package.save_file(model.state_dict(), file, metadata)
    loaded = nn.load(file, other)
    assert loaded == (other, None, None)
    require_equal([model], [other])
    with pytest.raises(tg.CheckpointError, match=r"tensors and nothing else; write nn\.load\(path, model="):
        nn.load(file)
    package.save_file({"layers.0.W": np.zeros((4, 5), np.float32), "x": np.zeros(1)}, file, metadata)
    with pytest.raises(tg.CheckpointError, match=r"missing: layers\.3\.b") as error:
        nn.load(file, other)
    assert "unexpected: x" in str(error.value)
    assert "layers.0.W: shape (4, 5), expected (4, 6)" in str(error.value)
    require_equal([model], [other])


# --- numbers (L7) -------------------------------------------------------------------------------------------

_NAN = np.array([0x7FF80000DEADBEEF, 0xFFF0000000000001, 0x8000000000000000, 1], np.uint64).view(np.float64)
ARRAYS = {
    "F order": np.arange(6.0).reshape(2, 3).copy(order="F"),
    "strided": np.arange(24.0).reshape(4, 6)[1::2, ::3],
    "reversed": np.arange(6.0).reshape(2, 3)[::-1, ::-1],
    "transposed": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(1, 2, 0),
    "repeated": np.broadcast_to(np.float32(2), (3, 2)),
    "big-endian": np.array([1.5, -2.5], ">f4"),
    "big-endian integers": np.array([[1, 2], [3, 400]], ">i8"),
    "signalling NaN, big-endian": _NAN.byteswap().view(">f8"),
    "NaN, -0.0, denormal": _NAN,
    "0-d": np.array(3.5),
    "empty": np.zeros((0, 3), np.float32),
    "empty and long": np.zeros((5, 0, 2)),
    "read-only": np.frombuffer(b"abcd", np.uint8),
    "bool": np.array([True, False]),
    **{f"{kind}{size}": np.array([[0, 1, 100], [3, 4, 5]], f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)},
    **{f"f{size}": np.array([[0.1, -0.0, np.inf]], f"f{size}") for size in (2, 4, 8)},
}


@pytest.mark.promise("L7")
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_numbers_come_back_bit_by_bit(path, array):
    native = array.astype(array.dtype.newbyteorder("=")) if array.dtype.byteorder == ">" else array
    swapped = array.dtype.byteorder == ">"
    expected = (array.byteswap().view(array.dtype.newbyteorder("=")) if swapped else native).tobytes()
    model = nn.Module()
    model.register_buffer("x", tg.from_numpy(array))
    model.list = [array]
    given = nn.Module()
    given.register_buffer("x", np.ones(array.shape, native.dtype))
    nn.save(path, model)
    rebuilt = nn.load(path).model
    for found in (rebuilt.x.data, rebuilt.list[0], nn.load(path, given).model.x.data):
        assert found.shape == array.shape
        assert found.dtype == native.dtype
        assert found.dtype.isnative
        assert found.tobytes() == expected


@pytest.mark.promise("L7")
def test_the_layout_in_memory_comes_back(path):
    model = nn.Module()
    model.W = nn.Parameter(np.arange(6.0).reshape(2, 3).copy(order="F"))
    model.K = nn.Parameter(np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0))
    nn.save(path, model)
    loaded = nn.load(path).model
    assert loaded.W.data.strides == model.W.data.strides == (8, 16)
    assert loaded.K.data.strides == model.K.data.strides == (32, 8, 96)


@pytest.mark.promise("L7")
@pytest.mark.parametrize("name", ["c8", "c16", ">c8"])
def test_complex_numbers_are_for_npz(tmp_path, name):
    model = nn.Module()
    model.register_buffer("x", tg.from_numpy(np.array([1 + 2j, complex(-0.0, np.nan)], name)))
    nn.save(tmp_path / "m.npz", model)
    native = np.dtype(name).newbyteorder("=")
    assert nn.load(tmp_path / "m.npz").model.x.data.tobytes() == model.x.data.astype(native).tobytes()
    pytest.importorskip("safetensors")
    with pytest.raises(tg.DTypeError, match=r"'x' is of .*complex.*save as \.npz"):
        nn.save(tmp_path / "m.safetensors", model)
    assert os.listdir(tmp_path) == ["m.npz"]


# --- names (L8) ---------------------------------------------------------------------------------------------

NAMES = [
    "a/b",
    "../../up",
    "/etc/passwd",
    "C:\\x",
    "nul\0",
    "naïve ☃",
    "header.json",
    "header",
    "#3",
    "",
    ".",
    "a" * 500,
]
NAMES += ["__class__", "optimizer.0.m", "extra.x", "con", "A", "a", "\n", '"}', "object", "unsaved"]


@pytest.mark.promise("L8")
def test_names_are_data(path):
    before = set(pathlib.Path(path).parent.rglob("*"))
    model = nn.Module()
    model.parts = {name: nn.Parameter(np.full(2, float(i))) for i, name in enumerate(NAMES)}
    nn.save(path, model, nn.SGD(model.parameters()), {"x": np.ones(1)})
    assert set(pathlib.Path(path).parent.rglob("*")) - before == {pathlib.Path(path)}
    other = nn.Module()
    other.parts = {name: nn.Parameter(np.zeros(2)) for name in NAMES}
    for loaded in (nn.load(path), nn.load(path, other)):
        assert list(loaded.model.parts) == NAMES
        assert [p.data.tolist() for p in loaded.model.parts.values()] == [[i, i] for i in range(len(NAMES))]


@pytest.mark.promise("L8")
@pytest.mark.parametrize("name", ["__metadata__", "\ud800"])
def test_names_that_safetensors_cannot_have(tmp_path, name):
    pytest.importorskip("safetensors")
    model = nn.Module()
    setattr(model, name, nn.Parameter([1.0]))
    with pytest.raises(ValueError, match=r"no tensor named .*rename it, or save as \.npz"):
        nn.save(tmp_path / "m.safetensors", model)
    nn.save(tmp_path / "m.npz", model)
    assert list(nn.load(tmp_path / "m.npz").model.state_dict()) == [name]


def test_two_members_of_one_path(path):
    model = nn.Module()
    model.a = {"b": nn.Dropout(0.5)}
    setattr(model, "a.b.rng", nn.Parameter([1.0]))
    with pytest.raises(ValueError, match=r"two members of Module have the path 'a\.b\.rng'"):
        nn.save(path, model)


# --- what does not fit (L9) ---------------------------------------------------------------------------------


def test_own_classes_need_the_model(path):
    net = Net()
    optimizer = nn.Adam(net.parameters())
    train(net, optimizer)
    nn.save(path, net, optimizer, {"epoch": 1})
    with pytest.raises(tg.CheckpointError, match=r"the class Net is not one of nn's; write nn\.load\(path, model="):
        nn.load(path)
    other = Net(rng=7)
    loaded = nn.load(path, model=other)
    assert loaded.extra == {"epoch": 1}
    train(net, optimizer)
    train(other, loaded.optimizer)
    require_equal((net, optimizer), (other, loaded.optimizer))
    with pytest.raises(TypeError, match=r"write nn\.load\(path, model, optimizer\)"):
        nn.load(path, optimizer=optimizer)


def test_what_is_no_data_is_named(path):
    for attribute, reason in [(len, "len is a function or a class"), ({1, 2}, "set is no plain value")]:
        model = nn.Sequential(nn.Tanh())
        model[0].strange = [0, attribute]
        nn.save(path, model)
        with pytest.raises(tg.CheckpointError, match=f"alone: 0.strange.1: {reason}"):
            nn.load(path)
        assert nn.load(path, model).model is model
    deep = []
    for _ in range(200):
        deep = [deep]
    model[0].strange = deep
    nn.save(path, model)
    with pytest.raises(tg.CheckpointError, match="nests deeper than 100"):
        nn.load(path)
    with pytest.raises(TypeError, match=r"extra\.a\.0: len is a function or a class, not data; extra holds plain data"):
        nn.save(path, model, extra={"a": [len]})
    with pytest.raises(TypeError, match=r"extra\.a: an array of <U1 is no data"):
        nn.save(path, model, extra={"a": np.array(["x"])})


class OwnSGD(nn.SGD):
    pass


def test_an_own_optimizer_needs_itself(path):
    model = nn.MLP([4, 3], rng=0)
    optimizer = OwnSGD(model.parameters(), momentum=0.5)
    train(model, optimizer)
    nn.save(path, model, optimizer)
    other = nn.MLP([4, 3], rng=1)
    before = bits(other.state_dict())
    for given in ([], [other]):
        with pytest.raises(tg.CheckpointError, match=r"class OwnSGD is not one of nn's; write .*optimizer="):
            nn.load(path, *given)
    assert bits(other.state_dict()) == before
    loaded = nn.load(path, other, OwnSGD(other.parameters()))
    require_equal((model, optimizer), loaded[:2])


@pytest.mark.promise("L9")
def test_all_that_does_not_fit_is_listed_and_nothing_changed(path):
    model = nn.MLP([4, 6, 6, 3], norm="batch", dropout=0.5, rng=0)
    optimizer = nn.Adam(model.parameters())
    train(model, optimizer)
    nn.save(path, model, optimizer)
    other = nn.MLP([4, 6, 6, 3], norm="batch", dropout=0.5, rng=1)
    other.layers[0].W = nn.Parameter(np.zeros((4, 5), np.float32))
    other.layers[0].b = nn.Parameter(np.zeros(5, np.float32))
    other.layers[4].W.requires_grad = False
    other.layers[4].W.data = other.layers[4].W.data.astype(np.float64)
    other.layers[3].rng = other.layers[7].rng = np.random.Generator(np.random.Philox(0))
    del other.layers[8].b
    given = nn.SGD(other.parameters(), momentum=0.9)
    pair = bits(other.state_dict()), bits(given.state_dict()), str(other.layers[3].rng.bit_generator.state)
    with pytest.raises(tg.CheckpointError) as error:
        nn.load(path, other, given)
    assert os.path.basename(path) in str(error.value)
    for line in [
        "does not fit MLP in 6 places, nothing was loaded:",
        "  missing: layers.0.b",
        "  unexpected: layers.8.b",
        "  layers.0.W: shape (4, 6), expected (4, 5)",
        "  layers.4.W: dtype float32, expected float64 (cast the model with .to() first)",
        "  layers.3.rng: PCG64, expected Philox",
        "  optimizer: Adam, expected SGD",
    ]:
        assert line in str(error.value)
    assert pair == (bits(other.state_dict()), bits(given.state_dict()), str(other.layers[3].rng.bit_generator.state))


MISFITS = {
    "another order": (lambda m: nn.Adam(list(m.parameters())[::-1]), "optimizer: its parameter 0 is another one"),
    "other groups": (lambda m: nn.Adam([{"params": [p]} for p in m.parameters()]), "optimizer: .*nothing was loaded"),
    "other parameters": (lambda m: nn.Adam(nn.MLP([4, 3]).parameters()), "optimizer: its parameter 0 is another one"),
}


@pytest.mark.promise("L9")
@pytest.mark.parametrize(("make", "message"), MISFITS.values(), ids=MISFITS)
def test_an_optimizer_that_does_not_fit_changes_nothing(path, make, message):
    model = nn.MLP([4, 3], rng=0)
    optimizer = nn.Adam(model.parameters())
    optimizer.param_groups[0]["initial_lr"] = 0.1
    train(model, optimizer)
    nn.save(path, model, optimizer)
    other = nn.MLP([4, 3], rng=1)
    given = make(other)
    before = bits(other.state_dict()), repr(given.state_dict())
    with pytest.raises(tg.CheckpointError, match=message):
        nn.load(path, other, given)
    assert before == (bits(other.state_dict()), repr(given.state_dict()))


@pytest.mark.promise("L9")
def test_a_missing_optimizer_and_a_read_only_array(path):
    model = nn.MLP([4, 3], rng=0)
    nn.save(path, model)
    other = nn.MLP([4, 3], rng=1)
    before = bits(other.state_dict())
    with pytest.raises(tg.CheckpointError, match="missing: optimizer"):
        nn.load(path, other, nn.SGD(other.parameters()))
    other.layers[0].b.data.flags.writeable = False
    with pytest.raises(tg.CheckpointError, match=r"layers\.0\.b: the array to load it into is read-only"):
        nn.load(path, other)
    assert bits(other.state_dict()) == before


def test_wrong_arguments(tmp_path):
    model = nn.MLP([2, 1])
    for function in (lambda p: nn.save(p, model), nn.load):
        for name in ("m", "m.pt", "m.pkl", ".npz"):
            with pytest.raises(
                ValueError, match=rf"path must end with \.npz or \.safetensors, got .*{re.escape(name)}"
            ):
                function(str(tmp_path / name))
    for arguments, message in [
        ((list(model.parameters()),), "model must be a Module, got list"),
        ((model, model), "optimizer must be an Optimizer or None, got MLP"),
        ((model, None, [1]), "extra must be a dict or None, got list"),
    ]:
        with pytest.raises(TypeError, match=message):
            nn.save(tmp_path / "m.npz", *arguments)
    with pytest.raises(TypeError, match="model must be a Module or None, got type"):
        nn.load(tmp_path / "m.npz", Net)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "m.npz")
    nn.save(pathlib.Path(tmp_path / "M.NPZ"), model)
    nn.load(pathlib.Path(tmp_path / "M.NPZ"))


# --- everything there is ------------------------------------------------------------------------------------

REQUIRED = {
    "embed_dim": 4,
    "embedding_dim": 3,
    "in_channels": 2,
    "in_features": 3,
    "kernel_size": 2,
    "module": nn.Tanh(),
    "network": nn.Sequential(nn.Linear(2, 1)),
    "normalized_shape": (2, 3),
    "num_channels": 4,
    "num_embeddings": 5,
    "num_features": 2,
    "num_groups": 2,
    "num_heads": 2,
    "out_channels": 4,
    "out_features": 2,
    "sizes": [2, 3, 1],
}
CLASSES = [kind for kind in vars(nn).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if issubclass(kind, nn.Module)])
def test_every_module_comes_back(path, kind):
    """Its attributes are data."""
    parameters = inspect.signature(kind).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    module = kind(**{name: REQUIRED[name] for name in required}).eval()
    nn.save(path, module)
    loaded = nn.load(path).model
    assert type(loaded) is kind
    assert repr(loaded) == repr(module)
    assert list(vars(loaded)) == list(vars(module))
    assert {name: type(value) for name, value in vars(loaded).items()} == {
        name: type(value) for name, value in vars(module).items()
    }
    require_equal([module], [loaded])


@pytest.mark.parametrize(
    "kind", [kind for kind in CLASSES if issubclass(kind, nn.Optimizer) and kind is not nn.Optimizer]
)
def test_every_optimizer_comes_back(path, kind):
    model = nn.MLP([4, 5, 3], rng=0)
    optimizer = kind(list(model.parameters()))

    def step(model, optimizer):
        def closure():
            loss = nn.functional.cross_entropy(model(np.ones((2, 4), np.float32)), [0, 1])
            optimizer.zero_grad()
            loss.backward()
            return loss

        if "closure" in inspect.signature(optimizer.step).parameters:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()

    step(model, optimizer)
    nn.save(path, model, optimizer)
    other = nn.MLP([4, 5, 3], rng=1)
    results = [nn.load(path), nn.load(path, other, kind(list(other.parameters())))]
    step(model, optimizer)
    for loaded in results:
        assert type(loaded.optimizer) is kind
        assert vars(loaded.optimizer).keys() == vars(optimizer).keys()
        step(loaded.model, loaded.optimizer)
        require_equal((model, optimizer), loaded[:2])
