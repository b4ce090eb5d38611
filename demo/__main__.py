"""Train, judge, derive, draw: in under a minute what no other library shows.

Networks learn scikit-learn's bundled digits (1,797 real 8x8 images). The healthy one is what one would build today:
ReLU, He initialisation, batch normalisation, AdamW. It reaches at least 97% from each of five seeds. The sick one has
sixteen layers of sigmoids, through which hardly any gradient reaches the input. The third has as many layers, and what
the monitor prescribes.

Writes ``graph.svg``, ``learning_curve.png``, ``views_healthy.png`` and ``views_sick.png`` next to this file.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

import nn
import tensorgrad as tg

from .batchnorm import Comparison, arguments
from .figures import graph, learning_curves, save, views
from .training import Data, Run, digits, train

HERE = Path(__file__).parent
DEPTH = 16
SEEDS = range(5)
BAR = 0.97


def healthy(seed: int) -> nn.Module:
    """64-128-128-10, ReLU, He initialisation, batch normalisation."""
    return nn.MLP([64, 128, 128, 10], activation="relu", norm="batch", init="he_normal", rng=seed)


def sick() -> nn.Module:
    """Sixteen layers, sigmoid, LeCun initialisation, no batch normalisation."""
    return nn.MLP([64, *[128] * (DEPTH - 1), 10], activation="sigmoid", init="lecun_normal", rng=0)


def cured() -> nn.Module:
    """As many layers, with ReLU, He initialisation and batch normalisation."""
    return nn.MLP([64, *[128] * (DEPTH - 1), 10], activation="relu", norm="batch", init="he_normal", rng=0)


def main() -> None:
    """Run the demo."""
    start = time.perf_counter()
    data = digits()
    print(f"TRAIN  {len(data.X_train)} images of digits, tested on {len(data.X_test)} others")
    well = train("ReLU, He, batch norm", healthy(0), data, epochs=40)
    ill = train(f"{DEPTH} layers, sigmoid", sick(), data, epochs=20)
    cure = train(f"{DEPTH} layers, with the remedy", cured(), data, epochs=20)
    others = [train(f"the first, seed {seed}", healthy(seed), digits(seed), epochs=40, seed=seed) for seed in SEEDS[1:]]
    worst = min(run.history["val_accuracy"][-1] for run in (well, *others))
    print(f"  the first network on {len(SEEDS)} seeds: worst {worst:.4f}, expected at least {BAR}")

    for title, run in (("the healthy network", well), ("the sick network", ill)):
        print(f"\nJUDGE  {title} ({run.title})")
        print(run.monitor.report())

    print("\nDERIVE  the backward of batch norm, from its forward alone; on activations of the healthy network")
    comparison = Comparison(*arguments(np.random.default_rng(0), hidden(well, data)))
    print(comparison)

    print("\nDRAW")
    graph(healthy(0), data).save(HERE / "graph.svg")
    pictures = {
        "learning_curve": learning_curves([well, ill, cure]),
        "views_healthy": views(well),
        "views_sick": views(ill),
    }
    for name, figure in pictures.items():
        save(figure, HERE / f"{name}.png")
    for name, what in {
        "graph.svg": "one training step of the healthy network, a card a layer",
        "learning_curve.png": "loss and accuracy of the first three networks",
        "views_healthy.png": "the monitor's six views of the healthy network",
        "views_sick.png": "and of the sick one",
    }.items():
        print(f"  demo/{name:20}{what}")
    print(f"{time.perf_counter() - start:.0f} seconds in all")
    if worst < BAR:
        raise SystemExit(f"one seed stayed below {BAR}")


def hidden(run: Run, data: Data) -> np.ndarray:
    """What the first layer of a network makes of the first 64 images: (64, 128)."""
    layer = next(module for module in run.model.network.modules() if isinstance(module, nn.Linear))
    with tg.no_grad():
        return np.asarray(layer(data.X_train[:64]))


if __name__ == "__main__":
    main()
