"""Sequential, ModuleList and ModuleDict as lists and dicts; Identity; Module.apply."""

import numpy as np
import pytest

import nn


def layers(count=3):
    return [nn.Linear(2, 2, rng=i) for i in range(count)]


@pytest.mark.parametrize("kind", [lambda modules: nn.Sequential(*modules), nn.ModuleList], ids=["Sequential", "list"])
def test_numbered_modules_are_changed_like_a_list(kind):
    like, more = layers(), layers(6)
    model = kind(like)
    for change in (
        lambda m: m.append(more[0]),
        lambda m: m.extend(more[1:3]),
        lambda m: m.insert(1, more[3]),
        lambda m: m.insert(-100, more[5]),
        lambda m: m.__delitem__(0),
        lambda m: m.__delitem__(slice(1, 3)),
        lambda m: m.__setitem__(-1, more[4]),
    ):
        change(like)
        change(model)
    assert list(model) == like
    assert len(model) == len(like) == 5
    assert type(model[1:]) is type(model)
    assert list(model[::-2]) == like[::-2]
    assert [name for name, _ in model.named_parameters()] == [f"{i}.{n}" for i in range(5) for n in "Wb"]
    with pytest.raises(IndexError):
        model[5]
    with pytest.raises(IndexError):
        model[5] = nn.Tanh()
    for refused in (
        lambda: model.append(nn.ReLU),
        lambda: model.extend([nn.ReLU(), nn.ReLU]),
        lambda: model.insert(0, nn.ReLU),
        lambda: model.__setitem__(0, nn.ReLU),
    ):
        with pytest.raises(TypeError, match=r"must be a Module, got .*; write ReLU\(\)"):
            refused()
    assert list(model) == like


def test_an_appended_layer_is_called_trained_and_compiled():
    model = nn.Sequential(nn.Linear(2, 3, rng=0))
    assert model.append(nn.ReLU()).append(nn.Linear(3, 1, rng=1)) is model
    x = np.ones((4, 2), np.float32)
    assert model(x).shape == (4, 1)
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_lists_and_dicts_in_a_model_give_paths_files_and_summaries(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(layers(2))
            self.heads = nn.ModuleDict({"left": nn.Linear(2, 1, rng=5), "a right": nn.Identity()})

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.heads["left"](x)

    net = Net()
    assert list(net.state_dict()) == [*(f"blocks.{i}.{n}" for i in "01" for n in "Wb"), "heads.left.W", "heads.left.b"]
    assert [row.path for row in net.summary((3, 2)).rows][-3:] == ["heads", "heads.left", "heads.a right"]
    nn.save(tmp_path / "net.npz", net.heads)
    again = nn.load(tmp_path / "net.npz").model
    assert list(again) == ["left", "a right"]
    np.testing.assert_array_equal(again["left"].W.data, net.heads["left"].W.data)
    net.blocks.append(nn.Linear(2, 2, rng=9))
    net(np.ones((3, 2), np.float32)).sum().backward()
    assert net.blocks[2].W.grad is not None


def test_named_modules_are_changed_like_a_dict():
    heads = nn.ModuleDict()
    assert len(heads) == 0
    first, second, third = layers()
    heads["left"] = first
    heads.update({"right": second, "left": third})
    assert dict(heads.items()) == {"left": third, "right": second}
    assert (list(heads.keys()), list(heads.values()), list(heads)) == (["left", "right"], [third, second], [*heads])
    assert "left" in heads
    assert "forward" not in heads
    assert heads.pop("left") is third
    with pytest.raises(KeyError, match=r"no module 'left', only 'right'"):
        heads["left"]
    del heads["right"]
    heads["x"] = first
    heads.clear()
    assert list(heads.parameters()) == []


@pytest.mark.parametrize(
    ("modules", "error", "text"),
    [
        ({"forward": nn.ReLU()}, KeyError, "'forward' is an attribute"),
        ({"training": nn.ReLU()}, KeyError, "'training' is an attribute"),
        ({"_buffers": nn.ReLU()}, KeyError, "'_buffers' is an attribute"),
        ({"a.b": nn.ReLU()}, KeyError, "dot"),
        ({"": nn.ReLU()}, KeyError, "empty"),
        ({3: nn.ReLU()}, TypeError, "string, got 3"),
        ({"a": nn.ReLU}, TypeError, r"value of 'a' must be a Module, .*; write ReLU\(\)"),
        ([nn.ReLU()], TypeError, "mapping of names to Modules, got list"),
    ],
)
def test_what_a_module_dict_refuses(modules, error, text):
    heads = nn.ModuleDict({"old": nn.Tanh()})
    with pytest.raises(error, match=text):
        heads.update({"new": nn.Tanh(), **modules} if isinstance(modules, dict) else modules)
    assert list(heads) == ["old"]


def test_a_list_or_dict_of_modules_is_not_called():
    with pytest.raises(TypeError, match=r"loop over them, or write nn.Sequential\(\*modules\)"):
        nn.ModuleList(layers(1))(np.ones(2))
    with pytest.raises(TypeError, match=r"write modules\[name\]\(x\)"):
        nn.ModuleDict()(np.ones(2))
    with pytest.raises(TypeError, match=r"several Modules, got the single Linear.*; write \[module\]"):
        nn.ModuleList(layers(1)[0])


def test_the_identity_gives_its_input():
    x = nn.Parameter([1.0])
    assert nn.Identity()(x) is x


def test_apply_visits_children_first_and_each_module_once():
    shared = nn.Linear(2, 2, rng=0)
    model = nn.Sequential(nn.Sequential(nn.Tanh(), shared), nn.Residual(shared), nn.ModuleList([nn.ReLU()]))
    seen = []
    assert model.apply(seen.append) is model
    assert [type(module).__name__ for module in seen] == [
        *("Tanh", "Linear", "Sequential", "Residual", "ReLU", "ModuleList", "Sequential")
    ]
    assert seen[-1] is model
    with pytest.raises(TypeError, match=r"function of a module, got 3; write model.apply\(fn\)"):
        model.apply(3)


@pytest.mark.peer
def test_apply_has_the_order_of_pytorch():
    torch = pytest.importorskip("torch")
    orders = []
    for library in (nn, torch.nn):
        order = []
        made = library.Sequential(library.Sequential(library.Tanh(), library.Linear(2, 2)), library.ReLU())
        made.apply(lambda module, order=order: order.append(type(module).__name__))
        orders.append(order)
    assert orders[0] == orders[1]
