"""nn.load of files that do not fit, and what nn.save and nn.load refuse."""

import os
import pathlib
import re

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tests.nn.saved import Net, bits, require_equal, train


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
    for attribute, reason in [(len, "len is a function or a class"), ({1, 2}, "set is not a plain value")]:
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
    with pytest.raises(
        TypeError, match=r"extra\.a\.0: len is a function or a class, not data; extra must be plain data"
    ):
        nn.save(path, model, extra={"a": [len]})
    with pytest.raises(TypeError, match=r"extra\.a: an array of \|S1 cannot be saved"):
        nn.save(path, model, extra={"a": np.array([b"x"])})
    with pytest.raises(TypeError, match=r"extra\.a: an array of object cannot be saved"):
        nn.save(path, model, extra={"a": np.array([len])})


class OwnSGD(nn.SGD):
    pass


def test_an_own_optimizer_needs_itself(path):
    model = nn.MLP([4, 3], rng=0)
    optimizer = OwnSGD(model.parameters(), momentum=0.5)
    train(model, optimizer)
    nn.save(path, model, optimizer)
    with pytest.raises(tg.CheckpointError, match=r"class OwnSGD is not one of nn's; write .*optimizer="):
        nn.load(path)
    other = nn.MLP([4, 3], rng=1)
    assert nn.load(path, other) == (other, None, None)
    require_equal([model], [other])
    other = nn.MLP([4, 3], rng=1)
    loaded = nn.load(path, other, OwnSGD(other.parameters()))
    require_equal((model, optimizer), loaded[:2])


def test_an_optimizer_that_is_lost_half_way_is_no_part_of_the_extra(path):
    model = nn.MLP([4, 3], rng=0)
    optimizer = nn.SGD(model.parameters())
    optimizer.noted = len
    nn.save(path, model, optimizer, {"epoch": 1})
    other = nn.MLP([4, 3], rng=1)
    assert nn.load(path, other) == (other, None, {"epoch": 1})
    require_equal([model], [other])
    nn.save(path, model, optimizer, {"schedule": nn.StepLR(optimizer, 2)})
    with pytest.raises(tg.CheckpointError, match=r"optimizer\.noted: len is a function or a class.*optimizer="):
        nn.load(path, other)
    given = nn.SGD(other.parameters())
    with pytest.raises(tg.CheckpointError, match=r"optimizer: .*len is a function"):
        nn.load(path, other, given)


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
    tg.replace_data(other.layers[4].W, other.layers[4].W.data.astype(np.float64))
    other.layers[3].rng = other.layers[7].rng = np.random.Generator(np.random.Philox(0))
    del other.layers[8].b
    given = nn.SGD(other.parameters(), momentum=0.9)
    pair = bits(other.state_dict()), bits(given.state_dict()), str(other.layers[3].rng.bit_generator.state)
    with pytest.raises(tg.CheckpointError) as error:
        nn.load(path, other, given)
    assert os.path.basename(path) in str(error.value)
    for line in [
        "does not fit MLP in 6 places; nothing was loaded:",
        "  missing: layers.0.b",
        "  unexpected: layers.8.b",
        "  layers.0.W: shape (4, 6), expected (4, 5)",
        "  layers.4.W: dtype float32, expected float64 (cast the model with .to() first)",
        "  layers.3.rng: PCG64, expected Philox",
        "  optimizer: Adam, expected SGD",
    ]:
        assert line in str(error.value)
    assert pair == (bits(other.state_dict()), bits(given.state_dict()), str(other.layers[3].rng.bit_generator.state))


class Held(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.x = value


@pytest.mark.promise("L9")
@pytest.mark.parametrize("kinds", [(np.random.default_rng, nn.Parameter), (nn.Parameter, np.random.default_rng)])
def test_a_generator_is_no_parameter(path, kinds):
    """Each at the other's path: neither is loaded into the other."""
    saved, given = (Held(kind([1, 2]) if kind is np.random.default_rng else kind([1.0, 2.0])) for kind in kinds)
    nn.save(path, saved)
    tensor = isinstance(given.x, tg.Tensor)
    reason = r"x: not a tensor, expected one of shape \(2,\)" if tensor else "x: not a generator, expected PCG64"
    with pytest.raises(tg.CheckpointError, match=reason):
        nn.load(path, given)


MISFITS = {
    "another order": (lambda m: nn.Adam(list(m.parameters())[::-1]), "optimizer: its parameter 0 is not the one"),
    "other groups": (lambda m: nn.Adam([{"params": [p]} for p in m.parameters()]), "optimizer: .*nothing was loaded"),
    "other parameters": (lambda m: nn.Adam(nn.MLP([4, 3]).parameters()), "optimizer: its parameter 0 is not the one"),
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
        ((list(model.parameters()),), "model must be a Module, an estimator of nn, or a mapping .*, got list"),
        ((model, model), "optimizer must be an Optimizer or None, got MLP"),
        ((model, None, [1]), "extra must be a dict or None, got list"),
    ]:
        with pytest.raises(TypeError, match=message):
            nn.save(tmp_path / "m.npz", *arguments)
    with pytest.raises(TypeError, match="model must be a Module or None, got type"):
        nn.load(tmp_path / "m.npz", Net)
    for function in (nn.save, nn.load):
        name = f"nn.{function.__name__}"
        with pytest.raises(TypeError, match=rf"{name}: path must come first; write {name}\(path, model\)"):
            function(model, tmp_path / "m.npz")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "m.npz")
    nn.save(pathlib.Path(tmp_path / "M.NPZ"), model)
    nn.load(pathlib.Path(tmp_path / "M.NPZ"))
