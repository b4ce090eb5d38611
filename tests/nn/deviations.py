"""How far optimisers are from PyTorch's after a thousand steps: ``python -m tests.nn.deviations`` prints a table."""

import numpy as np

import nn

OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "centered": True, "eps": 1e-4}),
    ("RMSprop", {"momentum": 0.8, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.8, "centered": True, "eps": 1e-4}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.01, "initial_accumulator_value": 0.1, "weight_decay": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.8, "eps": 1e-5, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1}),
    ("AdamW", {"weight_decay": 0.0, "amsgrad": True}),
    ("NAdam", {}),
    ("NAdam", {"weight_decay": 0.1, "momentum_decay": 0.01}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
]
SHAPES = [(4, 3), (3,), (), (2, 1, 2)]


def parameters(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [nn.Parameter(rng.normal(size=shape), dtype=dtype, name=f"p{i}") for i, shape in enumerate(SHAPES)]


def gradients(rng):
    return [rng.normal(size=shape) * 10.0 ** rng.integers(-6, 3) for shape in SHAPES]


def deviation(name, options, steps=1000):
    """The largest difference of a parameter from PyTorch's, over the largest element of that parameter or 1.

    The learning rate changes, and one parameter has a gradient only in every third step.
    """
    import torch

    ours = parameters()
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in ours]
    optimizer = getattr(nn, name)(ours, lr=0.01, **options)
    peer = getattr(torch.optim, name)(theirs, lr=0.01, foreach=False, **options)
    rng = np.random.default_rng(1)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # or NAdam keeps a product of all its momenta in float32
    try:
        _run(ours, theirs, optimizer, peer, rng, steps)
    finally:
        torch.set_default_dtype(usual)
    pairs = [(p.data, q.detach().numpy()) for p, q in zip(ours, theirs, strict=True)]
    return max(float(np.abs(p - q).max() / max(1, np.abs(q).max())) for p, q in pairs)


def _run(ours, theirs, optimizer, peer, rng, steps):
    import torch

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = peer.param_groups[0]["lr"] = 0.01 / (1 + step / 300)
        for i, (p, q, g) in enumerate(zip(ours, theirs, gradients(rng), strict=True)):
            missing = i == 1 and step % 3
            p.grad = None if missing else g
            q.grad = None if missing else torch.tensor(g)
        optimizer.step()
        peer.step()


if __name__ == "__main__":
    for name, options in OPTIMIZERS:
        print(f"{name:10}{deviation(name, options):9.1e}  {options or ''}")
