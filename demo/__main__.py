"""Train, print, draw.

Networks learn scikit-learn's bundled digits (1,797 real 8x8 images). The first is what one would build today: ReLU,
He initialisation, batch normalisation, AdamW. It reaches at least 97%. The other two have eight layers each: one with
sigmoids and LeCun initialisation only, where at first hardly any gradient reaches the input; and one with the cure,
where it does. The pictures show where the gradient vanishes.

Writes ``learning_curve.png``, ``gradient_flow.png`` and ``graph.svg`` next to this file.
"""

from __future__ import annotations

import time
from pathlib import Path

import nn
import tensorgrad as tg

from .figures import gradient_flow, learning_curves
from .training import Data, Run, digits, train

HERE = Path(__file__).parent
EPOCHS = 40
SEEDS = range(5)
BAR = 0.97


def healthy(seed: int) -> nn.Module:
    """64-128-128-10, ReLU, He initialisation, batch normalisation."""
    return nn.MLP([64, 128, 128, 10], activation="relu", norm="batch", init="he_normal", rng=seed)


def vanishing(seed: int) -> nn.Module:
    """Eight layers, sigmoid, LeCun initialisation, no batch normalisation."""
    return nn.MLP([64, *[128] * 7, 10], activation="sigmoid", init="lecun_normal", rng=seed)


def cured(seed: int) -> nn.Module:
    """Eight layers, ReLU, He initialisation, batch normalisation."""
    return nn.MLP([64, *[128] * 7, 10], activation="relu", norm="batch", init="he_normal", rng=seed)


def main() -> None:
    """Run the demo."""
    start = time.perf_counter()
    data = digits()
    print(f"digits: {len(data.X_train)} images for training, {len(data.X_test)} for testing\n")
    networks = {
        "ReLU, He, batch norm": healthy(0),
        "eight layers, sigmoid, LeCun": vanishing(0),
        "eight layers, ReLU, He, batch norm": cured(0),
    }
    runs = [train(title, model, data, epochs=EPOCHS, seed=0, verbose=True) for title, model in networks.items()]
    for run in runs:
        report(run)
    accuracies = [runs[0].test_accuracy[-1]]
    for seed in SEEDS[1:]:
        run = train(f"seed {seed}", healthy(seed), digits(seed), epochs=EPOCHS, seed=seed)
        accuracies.append(run.test_accuracy[-1])
    print("test accuracy of the first network on five seeds (for split, weights and batches):")
    print("  " + "  ".join(f"{accuracy:.4f}" for accuracy in accuracies), end="")
    print(f"   worst {min(accuracies):.4f}, expected at least {BAR}\n")

    learning_curves(runs, HERE / "learning_curve.png")
    gradient_flow(runs, HERE / "gradient_flow.png")
    drawing(data).save(HERE / "graph.svg")
    names = ("learning_curve.png", "gradient_flow.png", "graph.svg")
    print("\n".join(f"wrote demo/{name}" for name in names))
    print(f"{time.perf_counter() - start:.0f} seconds in all")
    if min(accuracies) < BAR:
        raise SystemExit(f"one seed stayed below {BAR}")


def report(run: Run) -> None:
    """Print each layer's RMS gradient at the first and at the last step."""
    print(f"{run.title}: test accuracy {run.test_accuracy[-1]:.4f}; RMS gradient of each layer's weights")
    print(f"  {'layer':12}{'first step':>12}{'last step':>12}")
    for name, first, last in zip(run.layers, run.first_gradients, run.last_gradients, strict=True):
        print(f"  {name:12}{first:12.1e}{last:12.1e}")
    print()


def drawing(data: Data) -> object:
    """The computation graph of one training step of the first network."""
    X = tg.Tensor(data.X_train[:64], name="X")
    labels = tg.Tensor(data.y_train[:64], name="labels")
    loss = nn.functional.cross_entropy(healthy(0)(X), labels)
    loss.name = "loss"
    return tg.draw(loss, backward=True)


if __name__ == "__main__":
    main()
