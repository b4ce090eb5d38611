"""Models to and from PyTorch. The tests marked `peer` do it with live ones."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

RTOL = 1e-12


def close(got, want):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=RTOL, atol=RTOL * max(1.0, np.abs(want).max(initial=0.0)))


def mlp(**kwargs):
    return nn.MLP([3, 4, 2], dtype=np.float64, rng=0, **kwargs)


# --- without PyTorch ------------------------------------------------------------------------------------


def test_a_weight_is_transposed_and_the_wrapper_left_out():
    model = mlp()
    state = nn.to_torch(model)
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    np.testing.assert_array_equal(state["0.weight"], model.layers[0].W.data.T)
    assert state["0.weight"].flags.c_contiguous
    state["0.bias"][:] = 7  # a copy
    assert not model.layers[0].b.data.any()


def test_nested_wrappers_and_modules_of_ones_own_keep_their_paths():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(np.ones(2))
            self.body = nn.Sequential(mlp(), nn.BatchNorm(2))

    assert list(nn.to_torch(Net())) == [
        "scale",
        "body.0.0.weight",
        "body.0.0.bias",
        "body.0.2.weight",
        "body.0.2.bias",
        "body.1.weight",
        "body.1.bias",
        "body.1.running_mean",
        "body.1.running_var",
        "body.1.num_batches_tracked",
    ]


@pytest.mark.parametrize("prefix", ["", "net.", "a.b.layers."])
def test_a_prefix_that_all_names_share_is_left_out(prefix):
    source, model = mlp(), mlp().requires_grad_(False)
    for parameter in model.parameters():
        parameter.data[...] = 0
    state = {prefix + name: array for name, array in nn.to_torch(source).items()}
    assert nn.from_torch(model, state) is model
    for name, array in source.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array)


def test_a_single_layer_fits_one_in_a_sequential():
    layer = nn.Linear(2, 3, dtype=np.float64, rng=0)
    model = nn.from_torch(nn.Sequential(nn.Tanh(), nn.Linear(2, 3, dtype=np.float64)), nn.to_torch(layer))
    np.testing.assert_array_equal(model[1].W.data, layer.W.data)


def test_all_that_does_not_fit_is_listed_and_nothing_changed():
    model = nn.Sequential(nn.Linear(3, 4, dtype=np.float64, rng=0), nn.BatchNorm(4, dtype=np.float64))
    before = model.state_dict()
    state = {
        "0.weight": np.ones((3, 4)),
        "0.bias": np.ones(4),
        "1.weight": np.ones(4, np.float32),
        "1.running_mean": np.ones(4),
        "1.running_var": np.ones(4),
        "2.weight": np.ones(1),
    }
    with pytest.raises(ValueError, match="4 of PyTorch's names do not fit Sequential; nothing was loaded") as caught:
        nn.from_torch(model, state)
    assert str(caught.value).splitlines()[1:] == [
        "  0.weight: shape (3, 4), expected (4, 3)",
        "  1.weight: dtype float32, expected float64 (cast the model with .to() first)",
        "  missing: 1.bias of shape (4,)",
        "  unexpected: 2.weight",
    ]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_num_batches_tracked_may_be_missing():
    model = nn.BatchNorm(2, dtype=np.float64)
    state = {name: np.full(2, 3.0) for name in ("weight", "bias", "running_mean", "running_var")}
    assert nn.from_torch(model, state).running_var.data.tolist() == [3.0, 3.0]


def test_what_is_shared_stands_at_each_place_and_must_agree():
    layer = nn.Linear(2, 2, dtype=np.float64, rng=0)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    state = nn.to_torch(model)
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    nn.from_torch(model, state)
    state["2.bias"] = np.ones(2)
    with pytest.raises(ValueError, match=r"2\.bias: differs from 0\.bias, but both are one shared tensor here"):
        nn.from_torch(model, state)


def test_two_members_of_one_name_are_refused():
    class Net(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.weight = nn.Parameter(np.ones(2))

    with pytest.raises(ValueError, match="two members of Net would both be 'weight' in PyTorch"):
        nn.to_torch(Net())


def test_what_is_no_state_dict_is_refused():
    with pytest.raises(TypeError, match=r"got str; for a file write torch\.load"):
        nn.from_torch(mlp(), "weights.pt")
    with pytest.raises(TypeError, match=r"got a model of nn; write model\.load_state_dict"):
        nn.from_torch(mlp(), mlp())
    with pytest.raises(TypeError, match=r"got dict; write from_torch\(model, source\)"):
        nn.from_torch({}, mlp())
    with pytest.raises(TypeError, match="to_torch: model must be a Module of nn, got int"):
        nn.to_torch(3)


def test_a_graph_from_before_notices_the_new_weights():
    model = mlp()
    loss = model(np.ones((2, 3))).sum()
    nn.from_torch(model, nn.to_torch(mlp()))
    with pytest.raises(tg.InplaceError, match="from_torch"):
        loss.backward()


# --- with PyTorch ---------------------------------------------------------------------------------------


def layer(name, *args, **kwargs):
    """Makes the layer of a library; both use the same name for it."""
    return lambda library: getattr(library, name)(*args, **kwargs)


def pair(ours, theirs):
    """Makes the layer of a library; each has its own name for it."""
    return lambda library: ours(library) if library is nn else theirs(library)


def norm(features, axes=1, momentum=0.1, **kwargs):
    return pair(
        lambda nn: nn.BatchNorm(features, momentum=1 - momentum, **kwargs),
        lambda torch: getattr(torch, f"BatchNorm{axes}d")(features, momentum=momentum, **kwargs),
    )


def residual(*layers):
    """``x + module(x)``, for which PyTorch has no layer."""

    def theirs(library):
        class Residual(library.Module):
            def __init__(self):
                super().__init__()
                self.module = library.Sequential(*(make(library) for make in layers))

            def forward(self, x):
                return x + self.module(x)

        return Residual()

    return pair(lambda nn: nn.Residual(nn.Sequential(*(make(nn) for make in layers))), theirs)


def attention(*args, **kwargs):
    """A sequence that attends to itself."""

    def theirs(library):
        class Itself(library.MultiheadAttention):
            def forward(self, x):
                return super().forward(x, x, x, need_weights=False)[0]

        return Itself(*args, batch_first=True, **kwargs)

    return pair(lambda nn: nn.MultiheadAttention(*args, **kwargs), theirs)


def standardize(features):
    def theirs(library):
        class Standardize(library.Module):
            def __init__(self):
                super().__init__()
                empty = library.Linear(1, 1).weight.new_empty(features)
                self.register_buffer("mean", empty)
                self.register_buffer("scale", empty.clone())

            def forward(self, x):
                return (x - self.mean) / self.scale

        return Standardize()

    return pair(lambda nn: nn.Standardize(features), theirs)


# Name: shape of a batch, layers.
MODELS = {
    "linear": ((5, 3), [layer("Linear", 3, 4), layer("Tanh"), layer("Linear", 4, 2, bias=False)]),
    "batch norm": ((6, 3), [layer("Linear", 3, 4), norm(4, momentum=0.3, eps=1e-3), layer("ReLU")]),
    "batch norm, not affine": ((6, 4), [norm(4, affine=False), layer("Linear", 4, 2)]),
    "batch norm of signals": ((3, 4, 5), [norm(4, momentum=0.25)]),
    "batch norm of images": ((3, 4, 5, 2), [norm(4, 2)]),
    "layer norm": (
        (5, 2, 3),
        [
            pair(lambda nn: nn.LayerNorm((2, 3), eps=1e-3), lambda torch: torch.LayerNorm((2, 3), eps=1e-3)),
            pair(lambda nn: nn.LayerNorm(3, bias=False), lambda torch: torch.LayerNorm(3, bias=False)),
            pair(lambda nn: nn.LayerNorm(3, affine=False), lambda torch: torch.LayerNorm(3, elementwise_affine=False)),
        ],
    ),
    "rms norm": ((5, 3), [layer("RMSNorm", 3), layer("RMSNorm", (3,), eps=1e-2)]),
    "group norm": ((5, 4, 3), [layer("GroupNorm", 2, 4, eps=1e-3), layer("GroupNorm", 4, 4, affine=False)]),
    "standardize": ((5, 3), [standardize(3), layer("Linear", 3, 2)]),
    "signals": (
        (3, 4, 9),
        [
            layer("Conv1d", 4, 6, 3, padding=1, groups=2),
            layer("MaxPool1d", 2, stride=1, padding=1, dilation=1),
            layer("Conv1d", 6, 2, 4, padding="same", dilation=2, bias=False),
            layer("AvgPool1d", 3, stride=2, padding=1),
        ],
    ),
    "images": (
        (3, 2, 8, 7),
        [
            layer("Conv2d", 2, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
            norm(4, 2),
            layer("ReLU"),
            residual(layer("Conv2d", 4, 4, 3, padding="same"), norm(4, 2, momentum=0.3), layer("Tanh")),
            layer("MaxPool2d", (2, 1)),
            layer("AvgPool2d", 2, stride=1, padding=1, count_include_pad=False),
            layer("Flatten"),
            layer("Linear", 72, 2),
        ],
    ),
    "attention": (
        (3, 5, 6),
        [layer("LayerNorm", 6), residual(attention(6, 3)), attention(6, 2, bias=False), layer("Flatten", 1, 2)],
    ),
    "encoder layers": (
        (3, 5, 6),
        [
            pair(
                lambda nn: nn.TransformerEncoderLayer(6, 2, 4, 0.0),
                lambda torch: torch.TransformerEncoderLayer(6, 2, 4, 0.0, batch_first=True),
            ),
            pair(
                lambda nn: nn.TransformerEncoderLayer(6, 3, 4, 0.0, bias=False),
                lambda torch: torch.TransformerEncoderLayer(6, 3, 4, 0.0, batch_first=True, bias=False),
            ),
            pair(
                lambda nn: nn.TransformerEncoderLayer(6, 3, 4, 0.0, norm_first=True),
                lambda torch: torch.TransformerEncoderLayer(6, 3, 4, 0.0, norm_first=True, batch_first=True),
            ),
        ],
    ),
    "transposed": (
        (3, 4, 5),
        [
            layer("ConvTranspose1d", 4, 6, 3, 2, 1, 1, 2),
            layer("Dropout1d", 0.0),
            layer("Identity"),
            layer("AdaptiveAvgPool1d", 4),
        ],
    ),
    "transposed images": (
        (3, 2, 4, 3),
        [
            layer("ConvTranspose2d", 2, 3, (3, 2), 2, bias=False),
            norm(3, 2),
            layer("AdaptiveAvgPool2d", (2, None)),
            layer("Dropout2d", 0.0),
        ],
    ),
    "dropout": ((5, 3), [layer("Linear", 3, 4), layer("Dropout", 0.0), layer("Linear", 4, 2)]),
    "slopes": ((5, 3), [layer("PReLU"), layer("Linear", 3, 4), layer("PReLU", 4)]),
    "a constant each": (
        (5, 3),
        [layer("LeakyReLU", 0.2), layer("ELU", 0.5), layer("Softplus", 2.0, 0.3), layer("Hardtanh", -0.4, 0.7)],
    ),
    "gelu": ((5, 3), [layer("Linear", 3, 4), layer("GELU"), layer("GELU", approximate="tanh")]),
    "activations": (
        (5, 3),
        [layer("Linear", 3, 4), *(layer(name) for name in ("SELU", "SiLU", "Mish", "Softsign", "Sigmoid"))],
    ),
    "softmax": ((5, 3), [layer("Linear", 3, 4), layer("Softmax", -1)]),
    "log softmax": ((5, 3), [layer("Linear", 3, 4), layer("LogSoftmax", -1)]),
}


def made(torch, layers, seed=0):
    """The PyTorch model in float64 with random weights and statistics, and the model here with others."""
    generator = torch.Generator().manual_seed(seed)
    theirs = torch.nn.Sequential(*(make(torch.nn) for make in layers)).double()
    for name, tensor in theirs.state_dict().items():
        if tensor.dtype.is_floating_point:
            low, high = (0.5, 2.0) if name.endswith(("running_var", "scale")) else (-0.7, 0.7)
            tensor.uniform_(low, high, generator=generator)
    return theirs, nn.Sequential(*(make(nn) for make in layers)).to(np.float64)


def batch(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def stepped(torch, theirs, ours, x):
    """Outputs, gradients for x and by PyTorch's names, and statistics, of one training step on each side."""
    given = torch.tensor(x, requires_grad=True)
    want = theirs.train()(given)
    weights = np.cos(np.arange(want.numel())).reshape(want.shape)
    optimizer = torch.optim.SGD([*theirs.parameters(), given], lr=0.1)
    want.backward(torch.tensor(weights))
    gradients = {name: parameter.grad.numpy().copy() for name, parameter in theirs.named_parameters()}
    x_gradient = given.grad.numpy().copy()
    optimizer.step()

    own = tg.Tensor(x, requires_grad=True)
    got = ours.train()(own)
    got.backward(weights)
    close(got.data, want.detach())
    close(own.grad, x_gradient)
    parameters = list(ours.parameters())
    values = [parameter.data.copy() for parameter in parameters]
    steps = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.data[...] = parameter.grad
    shown = nn.to_torch(ours)
    for name, gradient in gradients.items():
        close(shown[name], gradient)
    for parameter, value, step in zip(parameters, values, steps):
        parameter.data[...] = value - 0.1 * step
    after = nn.to_torch(ours)
    for name, tensor in theirs.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            close(after[name], tensor)


@pytest.mark.peer
@pytest.mark.parametrize("name", MODELS)
def test_a_live_model_is_equal_in_evaluation_and_after_a_training_step(name):
    torch = pytest.importorskip("torch")
    shape, layers = MODELS[name]
    theirs, ours = made(torch, layers)
    x = batch(shape)
    nn.from_torch(ours, theirs.state_dict())
    with torch.no_grad():
        close(ours.eval()(x).data, theirs.eval()(torch.tensor(x)))
    stepped(torch, theirs, ours, x)


@pytest.mark.peer
@pytest.mark.parametrize("name", MODELS)
def test_a_model_from_here_is_equal_there(name):
    torch = pytest.importorskip("torch")
    shape, layers = MODELS[name]
    theirs, _ = made(torch, layers)
    source, ours = made(torch, layers, seed=1)
    nn.from_torch(ours, source)
    state = {key: torch.from_numpy(array) for key, array in nn.to_torch(ours).items()}
    theirs.load_state_dict(state, strict=True)
    assert list(state) == list(theirs.state_dict())
    x = batch(shape)
    with torch.no_grad():
        close(ours.eval()(x).data, theirs.eval()(torch.tensor(x)))
    stepped(torch, theirs, ours, x)


@pytest.mark.peer
def test_settings_of_a_live_model_are_taken_over():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(3, 4),
        torch.nn.BatchNorm1d(4, momentum=0.25, eps=1e-3),
        torch.nn.LeakyReLU(0.3),
        torch.nn.Dropout(0.75),
        torch.nn.Linear(4, 2),
    )
    ours = nn.MLP(
        [3, 4, 2], activation="leaky_relu", norm=lambda n, dtype: nn.BatchNorm(n, unbiased=False), dropout=0.1
    )
    ours.layers[0].b = nn.Parameter(np.zeros(4, np.float32))
    nn.from_torch(ours, torch.nn.ModuleDict({"net": theirs}))
    _, bn, act, dropout, _ = ours.layers
    assert (bn.momentum, bn.eps, bn.unbiased) == (0.75, 1e-3, True)
    assert (act.negative_slope, dropout.p) == (0.3, 0.75)
    np.testing.assert_array_equal(ours.layers[0].W.data, theirs[0].weight.detach().numpy().T)


@pytest.mark.peer
def test_an_embedding_is_equal_in_both_directions():
    torch = pytest.importorskip("torch")
    layers = [layer("Embedding", 7, 3, padding_idx=2), layer("Linear", 3, 2)]
    theirs, ours = made(torch, layers)
    rows, weights = np.array([[1, 2, 2], [6, 0, 1]]), batch((2, 3, 2))
    close(nn.from_torch(ours, theirs)(rows).data, theirs(torch.tensor(rows)).detach())
    ours(rows).backward(weights)
    theirs(torch.tensor(rows)).backward(torch.tensor(weights))
    close(ours[0].W.grad, theirs[0].weight.grad)
    close(nn.to_torch(ours)["0.weight"], theirs[0].weight.detach())


@pytest.mark.peer
def test_settings_of_norms_and_attention_are_taken_over():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.LayerNorm(4, eps=1e-3),
        torch.nn.RMSNorm(4, eps=None),
        torch.nn.GroupNorm(2, 4, eps=1e-2),
        torch.nn.MultiheadAttention(4, 2, dropout=0.25),
        torch.nn.Softmax(dim=1),
    )
    ours = nn.Sequential(
        nn.LayerNorm(4), nn.RMSNorm(4, eps=0.1), nn.GroupNorm(2, 4), nn.MultiheadAttention(4, 2), nn.Softmax()
    )
    nn.from_torch(ours, theirs)
    assert [ours[0].eps, ours[1].eps, ours[2].eps, ours[3].dropout, ours[4].axis] == [1e-3, None, 1e-2, 0.25, 1]


@pytest.mark.peer
def test_a_live_layer_alone_fits_one_alone():
    torch = pytest.importorskip("torch")
    ours = nn.from_torch(nn.BatchNorm(2), torch.nn.ModuleDict({"bn": torch.nn.BatchNorm1d(2, momentum=0.5)}))
    assert ours.momentum == 0.5


@pytest.mark.peer
def test_settings_that_do_not_fit_are_listed_with_the_names_and_nothing_changed():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4, momentum=None, eps=1e-3), torch.nn.Tanh(), torch.nn.Dropout(1.0)
    )
    ours = nn.Sequential(nn.Linear(3, 2, rng=0), nn.BatchNorm(4), nn.ReLU(), nn.Dropout(0.5))
    before = ours.state_dict()
    with pytest.raises(ValueError, match="5 of PyTorch's names do not fit") as caught:
        nn.from_torch(ours, theirs)
    for text in (
        "0.weight: shape (4, 3), expected (2, 3)",
        "0.bias: shape (4,), expected (2,)",
        "1.momentum: is None, expected a number",
        "2: class Tanh, expected ReLU",
        "3.p: ",
    ):
        assert f"\n  {text}" in str(caught.value)
    assert (ours[1].eps, ours[3].p) == (1e-5, 0.5)
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.peer
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_halves_are_cast_to_the_dtype_of_the_model(half, dtype):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).to(getattr(torch, half))
    for source in (theirs, theirs.state_dict()):
        ours = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm(2)).to(dtype)
        nn.from_torch(ours, source)
        assert ours[0].W.dtype == dtype
        np.testing.assert_array_equal(ours[0].W.data.T, theirs[0].weight.detach().double().numpy())
        folded = nn.from_torch(nn.Sequential(nn.Linear(3, 2, bias=False), nn.BatchNorm(2)).to(dtype), source)
        close(folded[1].running_mean.data, -theirs[0].bias.detach().double().numpy())


def test_halves_of_numpy_are_cast_and_those_of_a_half_model_stay():
    state = {"weight": np.array([[0.1, 0.2]], np.float16), "bias": np.array([0.3], np.float16)}
    wide = nn.from_torch(nn.Linear(2, 1), state)
    half = nn.from_torch(nn.Linear(2, 1).to(np.float16), state)
    assert (wide.W.dtype, half.W.dtype) == (np.float32, np.float16)
    np.testing.assert_array_equal(wide.W.data, half.W.data)


@pytest.mark.peer
def test_what_half_precision_cannot_hold_is_listed():
    torch = pytest.importorskip("torch")
    state = torch.nn.Linear(2, 2).bfloat16().state_dict()
    with pytest.raises(ValueError, match=r"weight: cannot be converted .*bfloat16 has a larger range than float16"):
        nn.from_torch(nn.Linear(2, 2).to(np.float16), state)
    with pytest.raises(ValueError, match=r"weight: dtype float64, expected float32"):
        nn.from_torch(nn.Linear(2, 2), torch.nn.Linear(2, 2).double().state_dict())


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["mlp", "images", "by the batch"])
def test_a_bias_before_a_batch_norm_goes_into_the_running_mean(kind):
    torch = pytest.importorskip("torch")
    t = torch.nn
    if kind == "images":
        theirs = t.Sequential(t.Conv2d(2, 3, 3), t.BatchNorm2d(3), t.ReLU(), t.Flatten(), t.Linear(12, 2))
        ours = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
        x = batch((5, 2, 4, 4))
    else:
        tracked = kind == "mlp"
        theirs = t.Sequential(t.Linear(3, 4), t.BatchNorm1d(4, track_running_stats=tracked), t.ReLU(), t.Linear(4, 2))
        ours = nn.MLP([3, 4, 2], norm={"name": "batch", "track_running_stats": tracked})
        x = batch((5, 3))
    theirs, ours = theirs.double(), ours.to(np.float64)
    with torch.no_grad():
        for tensor in (*theirs.parameters(), *theirs.buffers()):
            if tensor.dtype.is_floating_point:
                tensor.uniform_(0.3, 1.5)
    for source in (theirs, theirs.state_dict(), {f"net.{k}": v for k, v in theirs.state_dict().items()}):
        nn.from_torch(ours, source)
        close(ours.eval()(x).data, theirs.eval()(torch.tensor(x)).detach())
    close(ours.train()(x).data, theirs.train()(torch.tensor(x)).detach())
    close(ours.eval()(x).data, theirs.eval()(torch.tensor(x)).detach())


@pytest.mark.peer
def test_a_bias_that_a_batch_norm_does_not_follow_is_listed():
    torch = pytest.importorskip("torch")
    t = torch.nn
    theirs = t.Sequential(t.Linear(3, 4), t.ReLU(), t.BatchNorm1d(4))
    ours = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.BatchNorm(4))
    before = ours.state_dict()
    with pytest.raises(ValueError, match=r"unexpected: 0.bias \(make the layer here with bias=True\)"):
        nn.from_torch(ours, theirs)
    state = {**t.Sequential(t.Linear(3, 4), t.BatchNorm1d(4)).state_dict(), "0.bias": torch.zeros(3)}
    for tracked in (True, False):
        norm = nn.BatchNorm(4, track_running_stats=tracked)
        with pytest.raises(ValueError, match=r"unexpected: 0.bias"):
            nn.from_torch(nn.Sequential(nn.Linear(3, 4, bias=False), norm), state)
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.peer
def test_a_shared_layer_of_a_live_model():
    torch = pytest.importorskip("torch")
    there, here = torch.nn.Linear(2, 2).double(), nn.Linear(2, 2, dtype=np.float64)
    theirs = torch.nn.Sequential(there, torch.nn.Tanh(), there)
    ours = nn.from_torch(nn.Sequential(here, nn.Tanh(), here), theirs)
    x = batch((3, 2))
    close(ours(x).data, theirs(torch.tensor(x)).detach())
