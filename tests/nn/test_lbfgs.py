"""L-BFGS."""

import numpy as np
import pytest

import nn
import tensorgrad as tg


def least_squares(dtype=np.float64):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)).astype(dtype), rng.normal(size=(30, 1)).astype(dtype)
    model = nn.Linear(4, 1, dtype=dtype, rng=0)

    def closure():
        loss = ((model(X) - y) ** 2).mean()
        loss.backward()
        return loss

    exact = np.linalg.lstsq(np.column_stack([X, np.ones(30)]), y, rcond=None)[0]
    return model, closure, exact


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-6), (np.float32, 2e-3)])
def test_lbfgs_finds_the_least_squares(dtype, atol):
    pytest.importorskip("scipy")
    model, closure, exact = least_squares(dtype)
    arrays = [p.data for p in model.parameters()]
    optimizer = nn.LBFGS(model.parameters(), tolerance_change=0.0)
    first = closure().item()
    assert optimizer.step(closure).item() == first
    optimizer.step(closure)
    np.testing.assert_allclose(np.concatenate([model.W.data, model.b.data[:, None]]), exact, atol=atol)
    assert all(p.data is array and p.dtype == dtype for p, array in zip(model.parameters(), arrays, strict=True))
    assert optimizer.converged or dtype is np.float32  # there, the last place can keep the loss falling


def test_lbfgs_keeps_the_best_point_when_it_runs_out_of_iterations():
    pytest.importorskip("scipy")
    w = nn.Parameter([-1.2, 1.0])
    seen = []

    def closure():
        loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        loss.backward()
        seen.append((loss.item(), w.data.copy()))
        return loss

    optimizer = nn.LBFGS([w], max_iter=3)
    optimizer.step(closure)
    best = min(seen, key=lambda pair: pair[0])
    np.testing.assert_array_equal(w.data, best[1])
    assert not optimizer.converged
    assert 0 < len(optimizer.losses) <= 3
    assert optimizer.losses[-1] == best[0]
    assert optimizer.losses == sorted(optimizer.losses, reverse=True)
    assert best[0] < seen[0][0]
    assert len(seen) < 20


@pytest.mark.peer
def test_lbfgs_and_pytorch_end_at_the_same_point():
    pytest.importorskip("scipy")
    torch = pytest.importorskip("torch")
    model, closure, _ = least_squares()
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in model.parameters()]
    peer = torch.optim.LBFGS(theirs, line_search_fn="strong_wolfe", max_iter=100, tolerance_change=0)
    rng = np.random.default_rng(0)
    X, y = (torch.tensor(rng.normal(size=size)) for size in ((30, 4), (30, 1)))

    def other():
        peer.zero_grad()
        loss = ((X @ theirs[0] + theirs[1] - y) ** 2).mean()
        loss.backward()
        return loss

    peer.step(other)
    nn.LBFGS(model.parameters(), max_iter=100, tolerance_change=0.0).step(closure)
    for p, q in zip(model.parameters(), theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), atol=1e-6)


@pytest.mark.promise("H3")
@pytest.mark.parametrize("at", [1, 4])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_lbfgs_puts_parameters_back(at, what):
    pytest.importorskip("scipy")
    model, good, _ = least_squares()
    before = model.state_dict()
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        loss = good()
        if calls == at and what == "gradient":
            model.W.grad[2] = np.inf
        return loss * np.nan if calls == at and what == "loss" else loss

    words = r"LBFGS.step: the loss is nan" if what == "loss" else r"LBFGS.step: the gradient of 'W'.* 1 of 4 places"
    with pytest.raises(tg.NonFiniteError, match=rf"{words}.* evaluation {at} "):
        nn.LBFGS(model.parameters()).step(closure)
    np.testing.assert_equal(model.state_dict(), before)
    calls = 0
    optimizer = nn.LBFGS(model.parameters(), skip_nonfinite=True)
    optimizer.step(closure)
    assert optimizer.skipped == 1
    np.testing.assert_equal(model.state_dict(), before)


def test_lbfgs_says_what_it_needs(monkeypatch):
    model, closure, _ = least_squares()
    optimizer = nn.LBFGS(model.parameters())
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()
    with pytest.raises(AttributeError, match="no learning rate"):
        optimizer.lr = 0.1
    with pytest.raises(ValueError, match="in one group, got 2"):
        nn.LBFGS([{"params": [model.W]}, {"params": [model.b]}])
    with pytest.raises(TypeError, match="must return the loss, got None"):
        optimizer.step(lambda: None)
    before = model.state_dict()
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: (closure(), 1 / 0)[0] if (model.W.data != before["W"]).any() else closure())
    np.testing.assert_equal(model.state_dict(), before)
    monkeypatch.setitem(__import__("sys").modules, "scipy", None)
    with pytest.raises(ImportError, match=r"pip install \"tensorgrad-np\[special\]\""):
        optimizer.step(closure)
