"""kill -9 at random moments in a program that keeps saving its model: how often does the file load?

A process overwrites one file with models whose parameters are all 0, all 1, ... After a random time it is killed, and
the file is loaded here: it must be one of these models, complete. Also counted: how many kills came in the middle of a
save, which leaves a temporary file; and finally, whether the next save removes all of those.

    python benchmarks/kill_saving.py [--kills 50] [--format npz]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import tempfile
import time

import nn


def model(value: float) -> nn.Module:
    """About a megabyte."""
    network = nn.MLP([512, 512, 10], rng=0)
    for parameter in network.parameters():
        parameter.data[...] = value
    return network


def save_forever(path: str) -> None:
    value = 0.0
    while True:
        network = model(value)
        for _ in range(20):
            nn.save(path, network, extra={"value": value})
        value += 1.0


def loads(path: str) -> bool:
    """Whether the file holds one of the models, complete."""
    network, _, extra = nn.load(path)
    return all((parameter.data == extra["value"]).all() for parameter in network.parameters())


def killed_once(path: str, rng: random.Random) -> None:
    """Let a process save until a random moment."""
    before = os.stat(path).st_mtime_ns
    process = multiprocessing.get_context("fork").Process(target=save_forever, args=(path,))
    process.start()
    while os.stat(path).st_mtime_ns == before:  # it has not saved yet
        time.sleep(0.005)
        if not process.is_alive():
            raise RuntimeError(f"the saving process ended with exit status {process.exitcode}")
    time.sleep(rng.uniform(0.0, 0.2))
    process.kill()
    process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--format", choices=("npz", "safetensors"), default="npz")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    loaded = amid = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"model.{options.format}")
        nn.save(path, model(-1.0), extra={"value": -1.0})
        for _ in range(options.kills):
            killed_once(path, rng)
            loaded += loads(path)
            amid += len(os.listdir(folder)) > 1
        nn.save(path, model(-1.0))
        left = len(os.listdir(folder)) - 1
    print(f".{options.format}: {loaded} of {options.kills} files load; {amid} kills came in the middle of a save")
    print(f"temporary files after the next save: {left}")


if __name__ == "__main__":
    main()
