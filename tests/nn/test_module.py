import threading

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tests.nn.networks import Net

# --- errors --------------------------------------------------------------------------------------------


@pytest.mark.promise("F6")
def test_an_error_in_a_nested_module_has_its_path_and_the_input_shape_once():
    net = nn.Module()
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 3, rng=0), nn.ReLU()), nn.Linear(2, 1, rng=0))
    net.net = model
    net.forward = lambda x: model(x)
    with pytest.raises(tg.ShapeError) as caught:
        net(np.ones((5, 4), np.float32))
    text = str(caught.value)
    assert text.startswith("net.1: Linear(in=2, out=1) with input (5, 3): matmul")
    assert text.count("Linear") == 1
    assert "3 != 2" in text


def test_an_error_without_a_plain_message_gets_a_note():
    class Odd(nn.Module):
        def forward(self, x):
            raise OSError(2, "no such file")

    with pytest.raises(FileNotFoundError) as caught:
        nn.Sequential(Odd())(np.ones(2))
    assert caught.value.args == (2, "no such file")
    assert caught.value.__notes__ == ["in 0: Odd() with input (2,)"]


# --- scopes ---------------------------------------------------------------------------------------------


def test_operations_know_their_module():
    net = Net()
    left, _ = net(np.ones((5, 4), np.float32))
    assert left.node.op == "multiply"
    assert left.node.scope[:2] == ("", "Net · 40 params")
    head = left.node.inputs[0]
    assert head.scope[:2] == ("heads.left", "Linear 3→2 · 8 params")
    relu = next(n for n in head.inputs[0].inputs if n.op == "relu")
    assert relu.scope[:2] == ("blocks.1.act", "ReLU")


def test_paths_follow_a_change_of_structure():
    model = nn.Sequential(nn.Linear(2, 2, rng=0))
    assert model(np.ones((1, 2), np.float32)).node.scope.path == "0"
    outer = nn.Module()
    outer.body = model
    outer.forward = lambda x: model(x)
    assert outer(np.ones((1, 2), np.float32)).node.scope.path == "body.0"
    model[0].W = nn.Parameter(np.ones((2, 5), np.float32))
    model[0].b = None
    assert outer(np.ones((1, 2), np.float32)).node.scope.title == "Linear 2→2 · 10 params"


def test_two_threads_running_one_module_keep_their_paths_apart():
    shared = nn.Linear(2, 2, rng=0)
    seen = {}

    def work(name):
        model = nn.Module()
        setattr(model, name, shared)
        model.forward = lambda x: shared(x)
        paths = {model(np.ones((1, 2), np.float32)).node.scope.path for _ in range(200)}
        seen[name] = paths

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"a": {"a"}, "b": {"b"}}


# --- settings -------------------------------------------------------------------------------------------


def test_train_and_eval_reach_every_module():
    model = nn.MLP([2, 3, 1], norm="batch", dropout=0.5)
    assert all(not m.training for m in model.eval().modules())
    assert all(m.training for m in model.train().modules())


def test_zero_grad_and_requires_grad():
    model = nn.MLP([2, 3, 1], rng=0)
    model(np.ones((4, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    assert not model.requires_grad_(False)(np.ones((4, 2), np.float32)).requires_grad
    assert model.requires_grad_()(np.ones((4, 2), np.float32)).requires_grad


def test_to_casts_parameters_and_buffers_and_training_goes_on():
    model = nn.MLP([2, 3, 1], norm="batch", rng=0)
    names = [p.name for p in model.parameters()]
    assert model.to(np.float64) is model
    assert {t.dtype for t in (*model.parameters(), *model.buffers())} == {np.dtype(np.float64)}
    assert [p.name for p in model.parameters()] == names
    x = np.random.default_rng(0).normal(size=(4, 2))
    out = model(x)
    out.sum().backward()
    assert out.dtype == np.float64
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    with pytest.raises(tg.DTypeError, match="int64"):
        model.to(np.int64)


# --- state ----------------------------------------------------------------------------------------------


def test_state_goes_round():
    a, b = nn.MLP([3, 4, 2], norm="batch", rng=0), nn.MLP([3, 4, 2], norm="batch", rng=1)
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    a(x)
    state = a.state_dict()
    assert b.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(a.eval()(x).data, b.eval()(x).data)
    state["layers.0.W"][...] = 0  # a copy: the model is unaffected
    assert np.abs(b.layers[0].W.data).min() > 0
    assert np.abs(a.layers[0].W.data).min() > 0


def test_loading_lists_all_that_is_wrong_and_changes_nothing():
    model = nn.MLP([3, 4, 2], norm="batch", rng=0)
    before = model.state_dict()
    state = nn.MLP([3, 4, 2], norm="batch", rng=1).state_dict()
    del state["layers.3.b"]
    state["layers.9.W"] = np.ones(3)
    model.layers[3].W.data.flags.writeable = False
    state["layers.0.W"] = state["layers.0.W"].T
    state["layers.1.gamma"] = state["layers.1.gamma"].astype(np.float64)
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        model.load_state_dict(state)
    for text in (
        "missing: layers.3.b",
        "unexpected: layers.9.W",
        "layers.0.W: shape (4, 3), expected (3, 4)",
        "layers.1.gamma: dtype float64, expected float32",
        "layers.3.W: the array to write to is read-only",
    ):
        assert text in str(caught.value)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_loading_without_strict_reports_names_and_still_refuses_shapes():
    model = nn.Linear(3, 2, rng=0)
    report = model.load_state_dict({"b": np.ones(2, np.float32), "c": np.ones(2)}, strict=False)
    assert report == (["W"], ["c"])
    assert model.b.data.tolist() == [1, 1]
    with pytest.raises(ValueError, match="b: shape"):
        model.load_state_dict({"b": np.ones(3, np.float32)}, strict=False)


def test_loading_between_forward_and_backward_is_noticed():
    model = nn.Linear(3, 2, rng=0)
    x = tg.Tensor(np.ones((1, 3), np.float32), requires_grad=True)
    out = model(x).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(tg.InplaceError, match="load_state_dict"):
        out.backward()


# --- summary --------------------------------------------------------------------------------------------


def test_summary_has_paths_shapes_and_counts_and_changes_nothing():
    model = nn.MLP([64, 32, 10], norm="batch", dropout=0.5, rng=0)
    model.layers[1].eval()
    before, drawn = model.state_dict(), model.layers[3].rng.bit_generator.state
    table = model.summary((16, 64))
    rows = {row.path: row for row in table.rows}
    assert rows["layers.0"] == ("layers.0", "Linear 64→32", "(16, 32)", 64 * 32)
    assert rows["layers.1"].parameters == 64
    assert rows["(model)"] == ("(model)", "MLP", "(16, 10)", 64 * 32 + 64 + 330)
    assert table.total == table.learned == 64 * 32 + 64 + 330
    assert [m.training for m in model.modules()] == [True, True, True, False, True, True, True]
    assert model.layers[3].rng.bit_generator.state == drawn
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert str(table) == str(model.summary(np.zeros((16, 64), np.float32)))


def test_summary_escapes_hostile_names():
    module = nn.Module()
    setattr(module, "</td><script>", nn.Linear(2, 2))
    html = module.summary()._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_summary_counts_a_shared_parameter_once():
    layer = nn.Linear(3, 3)
    assert nn.Sequential(layer, layer).summary().total == 12


def test_sequential_refuses_a_class_and_says_how():
    with pytest.raises(TypeError, match=r"argument 1 .* write ReLU\(\)"):
        nn.Sequential(nn.Linear(2, 2), nn.ReLU)


def test_a_slice_of_a_sequential_has_the_same_modules():
    model = nn.Sequential(nn.Linear(3, 2, rng=0), nn.Tanh(), nn.Linear(2, 4, rng=0))
    x = np.ones((5, 3), np.float32)
    head = model[:2]
    assert type(head) is nn.Sequential
    assert list(head) == [model[0], model[1]]
    np.testing.assert_array_equal(model[-1](head(x)).data, model(x).data)
    assert list(model[::-1]) == list(model)[::-1]
    assert len(model[3:]) == 0


def test_bias_may_be_given_by_position():
    assert nn.Linear(3, 2, False).b is None
    assert list(nn.Linear(3, 2, True).state_dict()) == ["W", "b"]


def test_mlp_layers_come_in_order():
    model = nn.MLP([4, 8, 8, 2], norm="batch", activation="tanh", dropout=0.2)
    kinds = [type(m).__name__ for m in model.layers]
    assert kinds == ["Linear", "BatchNorm", "Tanh", "Dropout"] * 2 + ["Linear"]
    assert [m.b is None for m in model.layers if isinstance(m, nn.Linear)] == [True, True, False]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sizes": [3]}, "sizes"),
        ({"sizes": [3, 0, 1]}, r"sizes\[1\]: units"),
        ({"sizes": [3, 2, 1], "activation": "rleu"}, "'rleu'"),
        ({"sizes": [3, 2, 1], "norm": "lyer"}, "'lyer'"),
        ({"sizes": [3, 2, 1], "init": "xavier"}, "'xavier'.*glorot_normal"),
        ({"sizes": [3, 2, 1], "dropout": 1.0}, "dropping"),
    ],
)
def test_mlp_refuses_bad_options(options, text):
    with pytest.raises(ValueError, match=text):
        nn.MLP(**options)


@pytest.mark.promise("K2")
def test_one_seed_one_model_and_no_global_state():
    x = np.ones((5, 3), np.float32)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    models = [nn.MLP([3, 4, 2], dropout=0.5, rng=7) for _ in range(2)]
    first, second = (model(x).data for model in models)
    np.testing.assert_array_equal(first, second)
    assert (models[0](x).data != first).any()  # the next mask
    assert (nn.MLP([3, 4, 2], rng=8)(x).data != nn.MLP([3, 4, 2])(x).data).any()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    again = nn.MLP([3, 4, 2], dropout=0.5, rng=7)
    np.random.random(10)  # noqa: NPY002
    np.testing.assert_array_equal(again(x).data, first)
    drawn = [tg.random.normal((3,), rng=5).data for _ in range(2) if np.random.random() >= 0]  # noqa: NPY002
    np.testing.assert_array_equal(*drawn)


def test_linear_takes_an_initialiser_of_ones_own():
    layer = nn.Linear(2, 3, init=lambda shape, dtype, rng: np.full(shape, 0.5), dtype=np.float64)
    assert layer.W.data.tolist() == [[0.5] * 3] * 2
    assert layer.W.dtype == np.float64
    with pytest.raises(tg.ShapeError, match=r"init returned .*\(3, 2\), expected \(2, 3\)"):
        nn.Linear(2, 3, init=lambda shape, dtype, rng: np.ones((3, 2)))


def test_a_parameter_is_not_replaced_by_what_is_not_learned():
    layer = nn.Linear(2, 2, rng=0)
    for value in (np.zeros((2, 2), np.float32), tg.Tensor(np.zeros((2, 2)))):
        with pytest.raises(TypeError, match=r"Linear.W is a Parameter.*nn.Parameter"):
            layer.W = value
    assert list(layer.state_dict()) == ["W", "b"]


def test_a_buffer_that_is_refused_leaves_nothing_behind():
    module = nn.Module()
    with pytest.raises(TypeError):
        module.register_buffer("x", None)
    assert module.state_dict() == {}


def test_two_members_with_one_path_are_an_error():
    module = nn.Module()
    module.d = {1: nn.Linear(1, 1, rng=0), "1": nn.Linear(1, 1, rng=0)}
    with pytest.raises(ValueError, match=r"path 'd.1.W'"):
        module.state_dict()


def test_a_replaced_member_is_noticed_by_a_compiled_step():
    model = nn.MLP([2, 3, 2], rng=0)
    X = np.ones((4, 2), np.float32)
    step = tg.compile(lambda X: model(X).sum())
    step(X)
    setattr(model.layers, "1", nn.Tanh())
    model.layers[2].W = nn.Parameter(np.ones((3, 2), np.float32))
    assert step(X).item() == model(X).sum().item()


def test_a_replaced_buffer_is_noticed_by_a_compiled_step():
    norm = nn.BatchNorm(2).eval()
    X = np.ones((4, 2), np.float32)
    step = tg.compile(lambda X: norm(X).sum())
    step(X)
    norm.running_mean = np.full(2, 5, np.float32)
    assert step(X).item() == norm(X).sum().item()
    norm.register_buffer("running_mean", np.full(2, 7, np.float32))
    assert step(X).item() == norm(X).sum().item()


# --- in a notebook --------------------------------------------------------------------------------------


def test_a_notebook_shows_a_tree_with_parameters_and_gradients():
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.ReLU(), nn.Linear(3, 1, rng=0))
    model[2].W.requires_grad = False
    html = model._repr_html_()
    assert html.count("<details") == 3  # ReLU has nothing to open
    assert "<b>0</b> Linear 2→3 · 9 parameters" in html
    assert "<td>W</td><td>2 × 3</td><td>float32</td><td>none</td>" in html
    assert "<td>W</td><td>3 × 1</td><td>float32, not learned</td><td>none</td>" in html
    model(np.ones((4, 2), np.float32)).sum().backward()
    assert "<td>b</td><td>1</td><td>float32</td><td>rms 4.00e+00</td>" in model._repr_html_()
    model[0].b.grad[0] = np.nan
    assert "‼ 1 of 3 not finite" in model._repr_html_()


def test_names_in_the_tree_are_text():
    model = nn.Module()
    setattr(model, "<script>", nn.Linear(1, 1, rng=0))
    assert "<script>" not in model._repr_html_()
    assert "&lt;script&gt;" in model._repr_html_()
