"""Optimisers with options, and how far they are from PyTorch's: ``python -m tests.nn.deviations``."""

import numpy as np
import pytest

import nn

OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.01}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.01, "eps": 1e-6, "initial_accumulator_value": 0.1, "weight_decay": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1}),
    ("AdamW", {"weight_decay": 0.0}),
    ("AdamW", {"amsgrad": True, "betas": (0.5, 0.9)}),
    ("NAdam", {}),
    ("NAdam", {"momentum_decay": 0.1, "weight_decay": 0.1}),
    ("NAdam", {"betas": (0.5, 0.9), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.5, 0.9), "weight_decay": 0.1}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Lion", {}),
    ("Lion", {"betas": (0.8, 0.95), "weight_decay": 0.1}),
]
PEERS = [(name, options) for name, options in OPTIMIZERS if name != "Lion"]  # which PyTorch does not have
NAMES = list(dict.fromkeys(name for name, _ in OPTIMIZERS))
SHAPES = [(4, 3), (3,), (), (2, 1, 2)]


def parameters(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [nn.Parameter(rng.normal(size=shape), dtype=dtype, name=f"p{i}") for i, shape in enumerate(SHAPES)]


def gradients(rng):
    return [rng.normal(size=shape) * 10.0 ** rng.integers(-6, 3) for shape in SHAPES]


def deviation(name, options, steps=1000):
    """The largest from PyTorch, relative to the largest weight of a parameter (or 1).

    With a changing learning rate, and a parameter that has a gradient only in every third step.
    """
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in ours]
    optimizer = getattr(nn, name)(ours, lr=0.01, **options)
    peer = getattr(torch.optim, name)(theirs, lr=0.01, foreach=False, **options)
    if name == "NAdam":  # PyTorch multiplies the momenta in its default dtype, float32
        for q in theirs:
            peer.state[q] |= {
                "step": torch.tensor(0.0),
                "mu_product": torch.ones((), dtype=torch.float64),
                "exp_avg": torch.zeros_like(q),
                "exp_avg_sq": torch.zeros_like(q),
            }
    rng = np.random.default_rng(1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = peer.param_groups[0]["lr"] = 0.01 / (1 + step / 300)
        for i, (p, q, g) in enumerate(zip(ours, theirs, gradients(rng), strict=True)):
            missing = i == 1 and step % 3
            p.grad = None if missing else g
            q.grad = None if missing else torch.tensor(g)
        optimizer.step()
        peer.step()
    both = [(p.data, q.detach().numpy()) for p, q in zip(ours, theirs, strict=True)]
    return max(np.abs(p - q).max() / max(1, np.abs(q).max()) for p, q in both)


if __name__ == "__main__":
    for name, options in PEERS:
        print(f"{name:9} {deviation(name, options):.1e}  {options}")
