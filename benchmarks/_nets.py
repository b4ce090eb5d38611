"""The networks that the benchmarks train, in tensorgrad and in its peers: the same weights, data, loss and update.

All train with cross-entropy and AdamW in float32. A kind is a name in ``KINDS``; ``KINDS[kind](net)`` is a function of
a batch that makes a step and returns the loss as a number.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

LR, DECAY, EPS, BETAS = 2e-3, 1e-2, 1e-5, (0.9, 0.999)
Step = Callable[[Any, Any], float]


class Net(NamedTuple):
    """Sizes of layers and of a batch, and what stands between the layers."""

    sizes: tuple[int, ...]
    batch: int
    norm: bool = False
    activation: str = "relu"
    dropout: float = 0.0
    conv: bool = False  # images of 8 x 8, two convolutions with 3 x 3 and a pooling between them; then Linear


NETS = {
    "tiny": Net((2, 16, 16, 2), 32, norm=True),
    "small": Net((64, 128, 64, 10), 64, norm=True),
    "medium": Net((784, 256, 128, 10), 128, norm=True),
    "large": Net((1024, 2048, 2048, 1000), 512, norm=True),
    "10 x 512": Net((*(512,) * 11, 10), 128),
    "sigmoid": Net((64, 128, 64, 10), 64, activation="sigmoid"),
    "dropout": Net((64, 128, 64, 10), 64, dropout=0.2),
    "conv": Net((1, 16, 32, 10), 64, conv=True),
}


def square(width: int, batch: int) -> Net:
    """Two hidden layers of one width, for the sweep."""
    return Net((width, width, width, 10), batch)


def batches(net: Net) -> Iterator[tuple[Any, Any]]:
    """An endless stream of mini-batches of normal numbers, whose labels a random linear map gives."""
    rng = np.random.default_rng(0)
    shape = (1, 8, 8) if net.conv else (net.sizes[0],)
    count = max(4 * net.batch, 256)
    X = rng.normal(size=(count, *shape)).astype(np.float32)
    y = (X.reshape(count, -1) @ rng.normal(size=(X[0].size, net.sizes[-1])).astype(np.float32)).argmax(axis=1)
    while True:
        order = rng.permutation(count)
        for start in range(0, count - net.batch + 1, net.batch):
            part = order[start : start + net.batch]
            yield X[part], y[part]


def weights(net: Net) -> list[tuple[Any, Any]]:
    """Weights, of shape (in, out) or (out, in, 3, 3), and zero biases."""
    rng = np.random.default_rng(1)
    found = []
    for k, (n_in, n_out) in enumerate(pairwise(net.sizes)):
        last = k == len(net.sizes) - 2
        shape: tuple[int, ...] = (n_in, n_out)
        if net.conv:
            shape = (16 * n_in, n_out) if last else (n_out, n_in, 3, 3)
        fan = shape[0] if last or not net.conv else 9 * n_in
        scale = (2 / fan) ** 0.5 if net.activation == "relu" else (1 / fan) ** 0.5
        found.append(((rng.normal(size=shape) * scale).astype(np.float32), np.zeros(n_out, np.float32)))
    return found


# --- tensorgrad -----------------------------------------------------------------------------------------


def ours(how: str, net: Net) -> Step:
    """The step as users would write it; ``how`` is "eager" or a backend of compile."""
    import nn
    import tensorgrad as tg

    if net.conv:
        a, b, c, d = net.sizes
        first = [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        model: Any = nn.Sequential(*first, nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * c, d))
    else:
        norm = "batch" if net.norm else None
        model = nn.MLP(list(net.sizes), activation=net.activation, norm=norm, dropout=net.dropout, rng=0)
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    for layer, (W, _) in zip(layers, weights(net), strict=True):
        layer.W.data[...] = W
        if layer.b is not None:
            layer.b.data[...] = 0.0
    optimizer = nn.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    criterion = nn.CrossEntropyLoss()

    def step(X: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    run = step if how == "eager" else tg.compile(step, backend=how)
    return lambda X, y: run(X, y).item()


# --- peers ----------------------------------------------------------------------------------------------


def torch_step(compiled: bool, net: Net) -> Step:
    """PyTorch, with arrays passed without a copy."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    known = weights(net)
    layers: list[Any] = []
    for k, (W, _) in enumerate(known):
        last = k == len(known) - 1
        if W.ndim == 4:
            layer: Any = torch.nn.Conv2d(W.shape[1], W.shape[0], 3, padding=1)
        else:
            layers += [torch.nn.Flatten()] if net.conv else []
            layer = torch.nn.Linear(*W.shape, bias=last or not net.norm)  # as in nn.MLP: a norm would cancel a bias
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(W if W.ndim == 4 else W.T))
            if layer.bias is not None:
                layer.bias.zero_()
        layers.append(layer)
        if not last:
            layers += [torch.nn.BatchNorm1d(W.shape[1])] if net.norm else []
            layers.append(torch.nn.ReLU() if net.activation == "relu" else torch.nn.Sigmoid())
            layers += [torch.nn.Dropout(net.dropout)] if net.dropout else []
            layers += [torch.nn.MaxPool2d(2)] if net.conv and not k else []
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    criterion = torch.nn.CrossEntropyLoss()

    def loss_of(X: Any, y: Any) -> Any:
        return criterion(model(X), y)

    forward = torch.compile(loss_of) if compiled else loss_of

    def step(X: Any, y: Any) -> float:
        optimizer.zero_grad()
        loss = forward(torch.from_numpy(X), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def jax_step(net: Net) -> Step:
    """JAX with optax, compiled as one function that writes to its parameters' memory."""
    import jax
    import jax.numpy as jnp
    import optax

    known = weights(net)
    params = []
    for k, (W, b) in enumerate(known):
        layer = {"W": jnp.asarray(W)}
        if net.norm and k < len(known) - 1:
            layer |= {"gamma": jnp.ones(len(b)), "beta": jnp.zeros(len(b))}
        else:
            layer["b"] = jnp.asarray(b)
        params.append(layer)
    running = [(jnp.zeros(n), jnp.ones(n)) for n in net.sizes[1:-1]] if net.norm else []
    optimizer = optax.adamw(LR, weight_decay=DECAY)
    activation = jax.nn.relu if net.activation == "relu" else jax.nn.sigmoid

    def loss_of(params: Any, running: Any, key: Any, X: Any, y: Any) -> Any:
        moved = []
        for k, layer in enumerate(params):
            last = k == len(params) - 1
            W = layer["W"]
            if W.ndim == 4:
                X = jax.lax.conv(X, W, (1, 1), "SAME") + layer["b"][:, None, None]
            else:
                X = X.reshape(len(X), -1) @ W
                X = X + layer["b"] if "b" in layer else X
            if last:
                break
            if net.norm:
                mean, var = X.mean(axis=0), X.var(axis=0)
                old_mean, old_var = running[k]
                moved.append((0.9 * old_mean + 0.1 * mean, 0.9 * old_var + 0.1 * var))
                X = (X - mean) / jnp.sqrt(var + EPS) * layer["gamma"] + layer["beta"]
            X = activation(X)
            if net.dropout:
                keep = jax.random.bernoulli(jax.random.fold_in(key, k), 1 - net.dropout, X.shape)
                X = jnp.where(keep, X / (1 - net.dropout), 0.0)
            if net.conv and not k:
                X = jax.lax.reduce_window(X, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        return optax.softmax_cross_entropy_with_integer_labels(X, y).mean(), moved

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(params: Any, running: Any, state: Any, key: Any, X: Any, y: Any) -> Any:
        (loss, running), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, running, key, X, y)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), running, state, jax.random.fold_in(key, 1), loss

    kept = [params, running, optimizer.init(params), jax.random.key(0)]

    def step(X: Any, y: Any) -> float:
        *kept[:], loss = update(*kept, X, y)
        return float(loss)

    return step


class _AdamW:
    """The update in NumPy, for libraries that have none."""

    def __init__(self, arrays: list[Any]) -> None:
        self._arrays = arrays
        self._m, self._v = ([np.zeros_like(a) for a in arrays] for _ in range(2))
        self._t = 0

    def step(self, gradients: list[Any]) -> None:
        """Move the arrays, in place."""
        self._t += 1
        one, two = (1 - beta**self._t for beta in BETAS)
        for a, g, m, v in zip(self._arrays, gradients, self._m, self._v, strict=True):
            m += (1 - BETAS[0]) * (g - m)
            v += (1 - BETAS[1]) * (g * g - v)
            a *= 1 - LR * DECAY
            a -= LR / one * m / (np.sqrt(v / two) + 1e-8)


def _plain(net: Net) -> list[list[Any]]:
    """The parameters as arrays, layer by layer: weights, then a bias or gamma and beta."""
    if net.conv or net.dropout:
        raise NotImplementedError("no such row")
    known = weights(net)
    norm = [net.norm and k < len(known) - 1 for k in range(len(known))]
    return [[W, np.ones_like(b), b] if normed else [W, b] for (W, b), normed in zip(known, norm, strict=True)]


def autograd_step(net: Net) -> Step:
    """HIPS autograd, with the update in NumPy."""
    import autograd
    import autograd.numpy as anp

    params = _plain(net)

    def loss_of(params: Any, X: Any, y: Any) -> Any:
        for k, layer in enumerate(params):
            X = anp.dot(X, layer[0])
            if len(layer) == 3:
                centred = X - anp.mean(X, axis=0)
                X = centred / anp.sqrt(anp.mean(centred**2, axis=0) + np.float32(EPS)) * layer[1] + layer[2]
            else:
                X = X + layer[1]
            if k < len(params) - 1:
                X = anp.maximum(X, np.float32(0)) if net.activation == "relu" else 1 / (1 + anp.exp(-X))
        shifted = X - anp.max(X, axis=1, keepdims=True)
        chosen = shifted[np.arange(len(y)), y] - anp.log(anp.sum(anp.exp(shifted), axis=1))
        return -anp.mean(chosen)

    both = autograd.value_and_grad(loss_of)
    optimizer = _AdamW([a for layer in params for a in layer])

    def step(X: Any, y: Any) -> float:
        loss, gradients = both(params, X, y)
        optimizer.step([g for layer in gradients for g in layer])
        return float(loss)

    return step


def mygrad_step(net: Net) -> Step:
    """MyGrad, with the update in NumPy."""
    import mygrad as mg
    from mygrad.nnet.activations import relu, sigmoid
    from mygrad.nnet.losses import softmax_crossentropy

    params = _plain(net)
    arrays = [a for layer in params for a in layer]
    optimizer = _AdamW(arrays)
    activation = relu if net.activation == "relu" else sigmoid

    def step(X: Any, y: Any) -> float:
        tensors = [[mg.tensor(a, copy=False) for a in layer] for layer in params]
        for k, layer in enumerate(tensors):
            X = mg.matmul(X, layer[0])
            if len(layer) == 3:
                centred = X - mg.mean(X, axis=0)
                X = centred / mg.sqrt(mg.mean(centred**2, axis=0) + EPS) * layer[1] + layer[2]
            else:
                X = X + layer[1]
            X = activation(X) if k < len(params) - 1 else X
        loss = softmax_crossentropy(X, y)
        loss.backward()
        gradients = [t.grad for layer in tensors for t in layer]
        value = loss.item()
        del tensors, loss, X  # MyGrad locks the arrays of a graph
        optimizer.step(gradients)
        return float(value)

    return step


def tinygrad_step(net: Net) -> Step:
    """tinygrad, with its JIT."""
    from tinygrad import Context, Tensor, TinyJit  # type: ignore[import-not-found, unused-ignore]
    from tinygrad.nn.optim import AdamW  # type: ignore[import-not-found, unused-ignore]

    params = [[Tensor(a).realize() for a in layer] for layer in _plain(net)]
    optimizer = AdamW([t for layer in params for t in layer], lr=LR, weight_decay=DECAY)

    @TinyJit
    def update(X: Any, y: Any) -> Any:
        with Context(TRAINING=1):
            optimizer.zero_grad()
            for k, layer in enumerate(params):
                X = X @ layer[0]
                if len(layer) == 3:
                    centred = X - X.mean(axis=0)
                    X = centred / ((centred * centred).mean(axis=0) + EPS).sqrt() * layer[1] + layer[2]
                else:
                    X = X + layer[1]
                if k < len(params) - 1:
                    X = X.relu() if net.activation == "relu" else X.sigmoid()
            loss = X.sparse_categorical_crossentropy(y).backward()
            return loss.realize(*optimizer.schedule_step())  # together, so that the loss is that before the update

    return lambda X, y: float(update(Tensor(X).realize(), Tensor(y).realize()).item())


def products(net: Net) -> Step:
    """The matrix products of a step alone, by NumPy: no step can be faster that uses its BLAS."""
    if net.conv:
        raise NotImplementedError("no such row")
    rng = np.random.default_rng(0)
    jobs = []
    for k, (a, b) in enumerate(pairwise(net.sizes)):
        x, w, g = (rng.normal(size=shape).astype(np.float32) for shape in ((net.batch, a), (a, b), (net.batch, b)))
        jobs += [(x, w), (x.T, g), *([(g, w.T)] if k else [])]
    ready = [(a, b, np.empty((len(a), b.shape[1]), np.float32)) for a, b in jobs]

    def step(X: Any, y: Any) -> float:
        for a, b, out in ready:
            np.matmul(a, b, out=out)
        return float("nan")

    return step


KINDS: dict[str, Callable[[Net], Step]] = {
    "tensorgrad eager": functools.partial(ours, "eager"),
    "tensorgrad numpy": functools.partial(ours, "numpy"),
    "tensorgrad native": functools.partial(ours, "native"),
    "tensorgrad auto": functools.partial(ours, "auto"),
    "PyTorch eager": functools.partial(torch_step, False),
    "torch.compile": functools.partial(torch_step, True),
    "JAX jit": jax_step,
    "MyGrad": mygrad_step,
    "autograd": autograd_step,
    "tinygrad": tinygrad_step,
    "products": products,
}
