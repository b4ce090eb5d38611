"""A module's members: where they are found, their names, and errors about missing ones."""

from collections import OrderedDict, UserDict, UserList, deque
from functools import partial
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tests.nn.networks import Block, Net

# --- members -------------------------------------------------------------------------------------------


@pytest.mark.promise("G13")
def test_modules_in_lists_and_dicts_are_found_with_paths():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale",
        "blocks.0.linear.W",
        "blocks.0.linear.b",
        "blocks.1.linear.W",
        "blocks.1.linear.b",
        "heads.left.W",
        "heads.left.b",
        "heads.right.W",
        "heads.right.b",
    ]
    assert [p.name for p in net.parameters()] == [name for name, _ in net.named_parameters()]
    assert [name for name, _ in net.named_children()] == ["blocks.0", "blocks.1", "heads.left", "heads.right"]


def test_the_name_of_a_parameter_grows_and_a_chosen_one_stays():
    inner = nn.Linear(2, 2, rng=0)
    assert inner.W.name == "W"
    chosen = nn.Linear(2, 2, rng=0)
    chosen.W.name = "mine"
    outer = nn.Sequential(nn.Sequential(inner), chosen)
    list(outer.parameters())
    assert inner.W.name == "0.0.W"
    inner(np.ones((1, 2), np.float32))
    assert inner.W.name == "0.0.W"
    assert chosen.W.name == "mine"


@pytest.mark.promise("G14")
def test_a_shared_module_counts_once_and_its_gradient_is_the_sum():
    layer = nn.Linear(2, 2, dtype=np.float64, rng=0)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    assert [name for name, _ in model.named_parameters()] == ["0.W", "0.b"]
    assert list(model.state_dict()) == ["0.W", "0.b"]
    x = np.random.default_rng(0).normal(size=(3, 2))
    model(x).sum().backward()
    first, second = nn.Linear(2, 2, dtype=np.float64), nn.Linear(2, 2, dtype=np.float64)
    for copy in (first, second):
        copy.load_state_dict(layer.state_dict())
    nn.Sequential(first, nn.Tanh(), second)(x).sum().backward()
    np.testing.assert_allclose(layer.W.grad, first.W.grad + second.W.grad, rtol=1e-14)
    np.testing.assert_allclose(layer.b.grad, first.b.grad + second.b.grad, rtol=1e-14)


def test_an_attribute_can_be_replaced_and_deleted():
    model = Block(2, 2)
    model.linear = nn.Linear(2, 3, bias=False)
    assert [p.shape for p in model.parameters()] == [(2, 3)]
    del model.linear
    assert list(model.parameters()) == []


def test_a_cycle_of_modules_ends():
    child = nn.Module()
    parent = nn.Module()
    parent.child = child
    child.parent = parent
    assert [path for path, _ in parent.named_modules()] == ["", "child"]


def test_buffers_are_state_and_not_parameters():
    bn = nn.Sequential(nn.BatchNorm(3))
    assert [name for name, _ in bn.named_buffers()] == ["0.running_mean", "0.running_var"]
    assert [name for name, _ in bn.named_parameters()] == ["0.gamma", "0.beta"]
    bn[0].running_mean = np.ones(3, np.float32)
    assert isinstance(bn[0].running_mean, tg.Tensor)
    assert bn.state_dict()["0.running_mean"].tolist() == [1, 1, 1]


# --- containers -----------------------------------------------------------------------------------------


class Holder(nn.Module):
    """Two layers in a container of some kind, and a function that picks them out."""

    def __init__(self, held, both):
        super().__init__()
        self.held = held
        self.both = both  # a function of the container; it holds no layers itself

    def forward(self, x):
        for layer in self.both(self.held):
            x = layer(x)
        return x


def objects(layers):
    array = np.empty((1, 2), object)
    array[0] = layers
    return array


NAMED = {
    "list": list,
    "tuple": tuple,
    "dict": lambda layers: dict(zip("ab", layers, strict=True)),
    "ordered dict": lambda layers: OrderedDict(zip("ab", layers, strict=True)),
    "dict of lists": lambda layers: {"inner": [layers[0], (layers[1],)]},
    "list of dicts": lambda layers: [{"x": layers[0]}, {"y": {"z": layers[1]}}],
}
REFUSED = {
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "UserList": UserList,
    "UserDict": lambda layers: UserDict(zip("ab", layers, strict=True)),
    "mapping proxy": lambda layers: MappingProxyType(dict(zip("ab", layers, strict=True))),
    "values of a dict": lambda layers: dict(zip("ab", layers, strict=True)).values(),
    "array of objects": objects,
    "list of sets": lambda layers: [set(layers)],
}
UNSEEN = {
    "object": (lambda layers: SimpleNamespace(layers=layers), lambda held: held.layers),
    "function": (lambda layers: partial(list, layers), lambda held: held()),
    "keys of a dict": (lambda layers: dict.fromkeys(layers), list),
    "iterator": (iter, list),
}


def two_layers():
    return [nn.Linear(2, 2, rng=seed) for seed in range(2)]


def flat(held):
    """The layers in a container of a kind that is searched."""
    if isinstance(held, nn.Module):
        return [held]
    return [layer for item in (held.values() if isinstance(held, dict) else held) for layer in flat(item)]


@pytest.mark.promise("G13")
@pytest.mark.parametrize("kind", NAMED)
def test_layers_in_containers_with_names_are_learned(kind):
    layers = two_layers()
    model = Holder(NAMED[kind](layers), flat)
    assert {id(p) for p in model.parameters()} == {id(p) for layer in layers for p in layer.parameters()}
    assert len(model.state_dict()) == 4
    model(np.ones((3, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    assert not any(layer.training for layer in layers)


@pytest.mark.promise("G13")
@pytest.mark.parametrize("kind", REFUSED)
def test_layers_in_containers_without_names_are_refused(kind):
    model = Holder(REFUSED[kind](two_layers()), list)
    for use in (
        lambda: list(model.parameters()),
        lambda: model(np.ones((3, 2), np.float32)),
        lambda: model.state_dict(),
        lambda: nn.SGD(model.parameters(), lr=0.1),
    ):
        with pytest.raises(TypeError, match=r"the attribute 'held(\.0)?' is a .*would not be learned; write a list"):
            use()


@pytest.mark.promise("G13")
@pytest.mark.parametrize("kind", UNSEEN)
def test_layers_where_nobody_looks_are_an_error_at_the_first_call(kind):
    hide, found = UNSEEN[kind]
    model = Holder(hide(two_layers()), found)
    with pytest.raises(TypeError, match=r"Linear 2→2 is called in Holder, but no attribute there holds it: 2 of its"):
        model(np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="params is empty"):
        nn.SGD(model.parameters(), lr=0.1)
    frozen = Holder(hide([layer.requires_grad_(False) for layer in two_layers()]), found)
    assert frozen(np.ones((3, 2), np.float32)).shape == (3, 2)


@pytest.mark.promise("G13")
def test_a_layer_made_in_forward_is_an_error_and_one_put_into_a_list_later_is_found():
    class Fresh(nn.Module):
        def forward(self, x):
            return nn.Linear(2, 2)(x)

    with pytest.raises(TypeError, match="called in Fresh, but no attribute there holds it"):
        Fresh()(np.ones((3, 2), np.float32))
    model = Holder([nn.Linear(2, 2, rng=0)], list)
    model(np.ones((3, 2), np.float32))
    model.held.append(nn.Linear(2, 2, rng=1))
    assert model(np.ones((3, 2), np.float32)).node.scope.path == "held.1"
    assert len(list(model.parameters())) == 4


# --- shared ---------------------------------------------------------------------------------------------


@pytest.mark.promise("G14")
def test_a_shared_module_is_saved_once_and_stays_shared(tmp_path):
    layer = nn.Linear(2, 2, rng=0)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    nn.save(tmp_path / "model.npz", model, optimizer)
    loaded, *_ = nn.load(tmp_path / "model.npz")
    assert loaded[0] is loaded[2]
    assert list(loaded.state_dict()) == ["0.W", "0.b"]
    x = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(loaded(x).data, model(x).data)


@pytest.mark.promise("G14")
def test_a_shared_parameter_is_stepped_once_by_the_sum_of_its_gradients():
    layer = nn.Linear(2, 2, bias=False, dtype=np.float64, rng=0)
    other = nn.Linear(2, 2, bias=False, dtype=np.float64)
    other.W = layer.W
    model = nn.Sequential(layer, other)
    assert [name for name, _ in model.named_parameters()] == ["0.W"]
    before, x = layer.W.data.copy(), np.random.default_rng(0).normal(size=(3, 2))
    optimizer = nn.SGD(model.parameters(), lr=0.5)
    model(x).sum().backward()
    ones = np.ones((3, 2))
    want = x.T @ (ones @ before.T) + (x @ before).T @ ones
    np.testing.assert_allclose(layer.W.grad, want, rtol=1e-13)
    optimizer.step()
    np.testing.assert_allclose(layer.W.data, before - 0.5 * want, rtol=1e-13)


# --- errors --------------------------------------------------------------------------------------------


@pytest.mark.promise("G12")
def test_a_missing_super_init_is_named():
    class Forgetful(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(2, 2)

    with pytest.raises(AttributeError, match=r"Forgetful.__init__ .*super\(\).__init__\(\)"):
        Forgetful()

    class Empty(nn.Module):
        def __init__(self):
            self.size = 3

        def forward(self, x):
            return x

    for use in (
        lambda m: m(1.0),
        lambda m: list(m.parameters()),
        lambda m: m.eval(),
        lambda m: m.state_dict(),
    ):
        with pytest.raises(AttributeError, match=r"Empty.__init__ .*super\(\).__init__\(\)"):
            use(Empty())


@pytest.mark.promise("G12")
def test_a_missing_forward_is_named():
    class Lazy(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Lazy has no forward method"):
        Lazy()(np.ones(2))
