"""Forward hooks of modules."""

import copy
import pickle
from contextlib import suppress

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tests.nn.networks import Net


def test_a_hook_gets_module_inputs_and_output():
    layer, seen = nn.Linear(2, 3, rng=0), []
    layer.register_forward_hook(lambda *given: seen.append(given))
    x = np.ones((4, 2), np.float32)
    out = layer(x)
    ((module, inputs, output),) = seen
    assert module is layer
    assert inputs[0] is x
    assert len(inputs) == 1
    assert output is out


def test_hooks_are_called_in_order_children_first_with_their_paths():
    model, seen = Net(), []
    for module in model.modules():
        module.register_forward_hook(lambda module, *_: seen.append((nn.running_path(), type(module).__name__)))
    model(np.ones((2, 4), np.float32))
    one = [("blocks.{}.linear", "Linear"), ("blocks.{}.act", "ReLU"), ("blocks.{}", "Block")]
    blocks = [(path.format(i), kind) for i in (0, 1) for path, kind in one]
    assert seen == [*blocks, ("heads.left", "Linear"), ("heads.right", "Linear"), ("", "Net")]
    assert nn.running_path() == ""


def test_several_hooks_and_their_removal():
    layer, seen = nn.ReLU(), []
    first = layer.register_forward_hook(lambda *_: seen.append(1))
    layer.register_forward_hook(lambda *_: seen.append(2))
    layer([1.0])
    first.remove()
    first.remove()
    layer([1.0])
    assert seen == [1, 2, 2]


def test_a_hook_that_removes_itself():
    layer, seen = nn.ReLU(), []

    def once(*_):
        seen.append(1)
        hook.remove()

    hook = layer.register_forward_hook(once)
    layer.register_forward_hook(lambda *_: seen.append(2))
    layer([1.0])
    layer([1.0])
    assert seen == [1, 2, 2]


def test_what_a_hook_returns_replaces_the_output():
    layer = nn.Linear(2, 2, rng=0)
    layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    layer.register_forward_hook(lambda module, inputs, output: output + 1)
    x = np.ones((3, 2), np.float32)
    out = layer(x)
    np.testing.assert_allclose(out.data, 2 * (x @ layer.W.data + layer.b.data) + 1, rtol=1e-6)
    out.sum().backward()
    np.testing.assert_allclose(layer.W.grad, np.full((2, 2), 6.0), rtol=1e-6)


def test_as_in_pytorch():
    torch = pytest.importorskip("torch")
    seen = []
    for module, x in ((nn.Tanh(), tg.Tensor([0.5, -2.0])), (torch.nn.Tanh(), torch.tensor([0.5, -2.0]))):

        def hook(module, inputs, output):
            seen.append((len(inputs), np.asarray(inputs[0]), np.asarray(output)))
            return output * 3

        handle = module.register_forward_hook(hook)
        tripled = np.asarray(module(x))
        handle.remove()
        seen.append((tripled, np.asarray(module(x))))
    for ours, theirs in zip(seen[:2], seen[2:], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_end_of_a_with_block_removes_the_hook_also_after_an_error():
    layer, seen = nn.ReLU(), []
    with suppress(ZeroDivisionError), layer.register_forward_hook(lambda *_: seen.append(1)):
        layer([1.0])
        raise ZeroDivisionError
    layer([1.0])
    assert seen == [1]


def test_an_error_in_a_hook_leaves_the_module_usable():
    model = Net()

    def fail(*_):
        raise ZeroDivisionError("mine")

    with model.blocks[1].act.register_forward_hook(fail), pytest.raises(ZeroDivisionError, match="mine"):
        model(np.ones((2, 4), np.float32))
    assert nn.running_path() == ""
    model(np.ones((2, 4), np.float32))


@pytest.mark.parametrize("wrong", [None, 3, "hook"])
def test_a_hook_must_be_a_function(wrong):
    with pytest.raises(TypeError, match="expected a function"):
        nn.ReLU().register_forward_hook(wrong)


def test_operations_of_a_hook_are_drawn_in_the_modules_scope():
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    model[0].register_forward_hook(lambda module, inputs, output: output * 2)
    out = model(tg.Tensor([1.0], requires_grad=True))
    assert out.node.inputs[0].scope.path == "0"


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_no_hooks(copied):
    layer, seen = nn.Linear(2, 2, rng=0), []
    layer.register_forward_hook(lambda *_: seen.append(1))
    copied(layer)(np.ones((1, 2), np.float32))
    assert seen == []


def test_files_have_no_hooks(tmp_path):
    layer, seen = nn.Linear(2, 2, rng=0), []
    with layer.register_forward_hook(lambda *_: seen.append(1)):
        nn.save(tmp_path / "layer.npz", layer)
    nn.load(tmp_path / "layer.npz").model(np.ones((1, 2), np.float32))
    assert seen == []


def test_a_hook_is_not_a_member():
    layer = nn.ReLU()
    layer.register_forward_hook(nn.Linear(2, 2, rng=0))
    assert list(layer.parameters()) == []
    assert list(layer.children()) == []


# --- compiled steps -------------------------------------------------------------------------------------------


def steps(compiled):
    model = nn.MLP([3, 4, 2], dropout=0.5, norm="batch", rng=0)
    optimizer = nn.AdamW(model.parameters(), lr=0.1)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return model, tg.compile(step) if compiled else step


def test_an_observed_step_runs_uncompiled_and_its_program_is_used_again():
    x, y = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3), np.arange(8) % 2
    (model, step), (twin, plain) = steps(True), steps(False)
    seen, losses = [], []
    for i in range(6):
        if i in (0, 3):
            with model.layers[2].register_forward_hook(lambda m, inputs, out: seen.append(float(out.data.sum()))):
                losses.append(step(x, y).item())
        else:
            losses.append(step(x, y).item())
        assert step.traces == (i > 0)
    assert len(seen) == 2
    np.testing.assert_allclose(losses, [plain(x, y).item() for _ in range(6)], rtol=1e-5)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-4, atol=1e-6)


def test_other_compiled_steps_keep_their_programs():
    x, y = np.ones((8, 3), np.float32), np.arange(8) % 2
    (model, step), (_, other_step) = steps(True), steps(True)
    step(x, y), other_step(x, y)
    called = []
    inner, other_step.function = other_step.function, lambda *given: called.append(1) or inner(*given)
    with model.register_forward_hook(lambda *_: None):
        other_step(x, y)
        step(x, y)
    assert not called
    assert other_step.traces == step.traces == 1


def test_a_hook_of_another_module_does_not_matter():
    step = tg.compile(lambda x: tg.relu(x))
    with nn.ReLU().register_forward_hook(lambda *_: None):
        step(np.ones(2))
    assert step.traces == 1
