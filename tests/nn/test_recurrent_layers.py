"""LSTM and GRU: beside PyTorch's, in files, compiled, and what they refuse."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.testing import gradcheck

from .test_layers_peer import close

KINDS = ["LSTM", "GRU"]
BOTH = pytest.mark.parametrize("kind", KINDS)
OPTIONS = {
    "plain": {},
    "bare": {"bias": False},
    "deep": {"num_layers": 3},
    "both ways": {"bidirectional": True},
    "all": {"num_layers": 2, "bidirectional": True, "batch_first": True},
}


def parts(result):
    """The output and the parts of the state."""
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def state_of(kind, arrays):
    return tuple(arrays) if kind == "LSTM" else arrays[0]


@pytest.mark.peer
@BOTH
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("single", [False, True], ids=["batch", "one"])
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "state"])
def test_results_states_and_gradients_are_those_of_pytorch(kind, options, single, given):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    peer = getattr(torch.nn, kind)(3, 4, **options).double()
    ours = nn.from_torch(getattr(nn, kind)(3, 4, **options, dtype=np.float64), peer)
    batch = () if single else (2,)
    x = rng.normal(size=(2, 5, 3) if options.get("batch_first") and not single else (5, *batch, 3))
    runs = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    states = [rng.normal(size=(runs, *batch, 4)) for _ in range(2 if kind == "LSTM" else 1)]
    arrays = [x, *states] if given else [x]
    leaves = [tg.Tensor(a, requires_grad=True) for a in arrays]
    others = [torch.tensor(a, requires_grad=True) for a in arrays]
    mine = parts(ours(leaves[0], *([state_of(kind, leaves[1:])] if given else [])))
    theirs = parts(peer(others[0], *([state_of(kind, others[1:])] if given else [])))
    total, whole = 0.0, 0.0
    for got, want in zip(mine, theirs, strict=True):
        close(got.data, want.detach().numpy(), "value")
        weights = rng.normal(size=got.shape)
        total, whole = total + (got * weights).sum(), whole + (want * torch.tensor(weights)).sum()
    total.backward()
    whole.backward()
    for leaf, other in zip(leaves, others, strict=True):
        close(leaf.grad, other.grad.numpy(), "gradient of an input")
    gradients = {name: parameter.grad.numpy() for name, parameter in peer.named_parameters()}
    assert [name for name, _ in ours.named_parameters()] == list(gradients)
    for name, parameter in ours.named_parameters():
        close(parameter.grad, gradients[name], name)


@pytest.mark.peer
@BOTH
def test_they_go_there_and_what_computes_something_else_does_not_fit(kind):
    torch = pytest.importorskip("torch")
    ours, peer = getattr(nn, kind)(3, 4, 2, rng=0), getattr(torch.nn, kind)(3, 4, 2, dropout=0.5)
    peer.load_state_dict({name: torch.from_numpy(array) for name, array in nn.to_torch(ours).items()})
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    with torch.no_grad():
        want = peer.eval()(torch.tensor(x))[0].numpy()
    np.testing.assert_allclose(ours(x)[0].data, want, rtol=1e-5, atol=1e-6)
    assert nn.from_torch(ours, peer).dropout == 0.5
    with pytest.raises(ValueError, match=r"batch_first: is True, expected False"):
        nn.from_torch(ours, getattr(torch.nn, kind)(3, 4, 2, batch_first=True))


@BOTH
def test_gradients_agree_with_differences_and_float32_stays_float32(kind):
    layer = getattr(nn, kind)(2, 3, 2, bidirectional=True, rng=0)
    x = tg.Tensor(np.ones((3, 2, 2), np.float32), requires_grad=True)
    results = parts(layer(x))
    assert {result.dtype for result in results} == {np.dtype(np.float32)}
    results[0].sum().backward()
    assert {p.grad.dtype for p in (x, *layer.parameters())} == {np.dtype(np.float32)}
    wide = layer.to(np.float64)
    gradcheck(lambda x: parts(wide(x)), np.random.default_rng(0).normal(size=(3, 2, 2)))


@BOTH
def test_a_compiled_step_has_equal_bits(kind):
    def training():
        layer = getattr(nn, kind)(2, 3, 2, dropout=0.3, bidirectional=True, batch_first=True, rng=0)
        optimizer = nn.AdamW(layer.parameters(), lr=1e-2)

        def step(x):
            optimizer.zero_grad()
            loss = (layer(x)[0] ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        return step

    eager, compiled = training(), tg.compile(training())
    rng = np.random.default_rng(2)
    for _ in range(4):
        x = rng.normal(size=(4, 5, 2)).astype(np.float32)
        assert eager(x).data.tobytes() == compiled(x).data.tobytes()
    assert compiled.traces == 1


@BOTH
def test_they_go_through_files_and_summaries(kind, tmp_path):
    layer = getattr(nn, kind)(2, 3, bidirectional=True, rng=0)
    x = np.ones((4, 1, 2), np.float32)
    nn.save(tmp_path / "layer.npz", layer)
    again = nn.load(tmp_path / "layer.npz").model
    np.testing.assert_array_equal(again(x)[0].data, layer(x)[0].data)
    assert repr(again) == f"{kind}(2, 3, bidirectional=True)"
    states = ", (2, 1, 3)" * (2 if kind == "LSTM" else 1)
    assert layer.summary((4, 1, 2)).rows[0][:3] == ("(model)", f"{kind} 2→6", "(4, 1, 6)" + states)


@BOTH
def test_dropout_falls_between_layers_in_training(kind):
    with pytest.warns(UserWarning, match="dropout=0.5 does nothing"):
        getattr(nn, kind)(2, 3, dropout=0.5)
    layer = getattr(nn, kind)(2, 3, 2, dropout=0.5, rng=0)
    x = np.ones((4, 1, 2), np.float32)
    assert (layer(x)[0].data != layer(x)[0].data).any()
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].data, layer(x)[0].data)


@BOTH
def test_what_they_refuse(kind):
    layer = getattr(nn, kind)(2, 3, num_layers=2)
    for shape, text in (
        ((4, 2, 3), "expected 2 features, got 3"),
        ((2,), r"\(length, N, features\), or \(length, features\), got \(2,\)"),
        ((0, 1, 2), "empty sequence"),
    ):
        with pytest.raises(tg.ShapeError, match=text):
            layer(np.ones(shape, np.float32))
    h = np.zeros((1, 5, 3), np.float32)
    with pytest.raises(tg.ShapeError, match=r"h has shape \(1, 5, 3\), expected \(2, 5, 3\)"):
        layer(np.ones((4, 5, 2), np.float32), (h, h) if kind == "LSTM" else h)
    for options in ({"num_layers": 0}, {"dropout": 1.0, "num_layers": 2}, {"hidden_size": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            getattr(nn, kind)(**{"input_size": 2, "hidden_size": 3, **options})


def test_an_lstm_takes_a_pair():
    with pytest.raises(TypeError, match=r"state must be a pair \(h, c\), got ndarray"):
        nn.LSTM(2, 3)(np.ones((4, 2), np.float32), np.zeros((1, 3), np.float32))
    with pytest.warns(RuntimeWarning, match="computes in float64"):
        nn.LSTM(2, 3)(np.ones((4, 2)))
