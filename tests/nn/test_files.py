"""nn.save and nn.load: what comes back."""

import inspect
import math

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._files import registry
from tests.nn.saved import Net, bits, require_equal, train

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
    monkeypatch.setitem(registry._classes, "Record", Record)  # as if it were public in nn

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
    monkeypatch.setitem(registry._classes, "Record", Record)
    model, other = nn.Sequential(Net()), nn.Sequential(Net())
    model.record = Record(model[0], model[0].body, 3)
    other.record = Record(None, None, 0)
    nn.save(path, model)
    nn.load(path, other)
    assert vars(other.record) == {"model": other[0], "optimizer": other[0].body, "rows": 3}


# --- everything there is ------------------------------------------------------------------------------------

REQUIRED = {
    "d_model": 4,
    "embed_dim": 4,
    "embedding_dim": 3,
    "hidden_size": 2,
    "in_channels": 2,
    "in_features": 3,
    "input_size": 3,
    "kernel_size": 2,
    "module": nn.Tanh(),
    "network": nn.Sequential(nn.Linear(2, 1)),
    "nhead": 2,
    "normalized_shape": (2, 3),
    "num_channels": 4,
    "num_embeddings": 5,
    "num_features": 2,
    "num_groups": 2,
    "num_heads": 2,
    "out_channels": 4,
    "out_features": 2,
    "output_size": 2,
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
