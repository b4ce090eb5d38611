"""Forged files: headers changed at random and sealed again with valid checksums.

python -m tests.nn.forging [--count 1000] [--first 0] [--size 1048576]

Whatever a file says, nn.load loads it, or raises CheckpointError and has changed nothing; it takes time and memory in
proportion to the file; and what it shows holds no control characters.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import importlib.util
import json
import math
import random
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import nn
import tensorgrad as tg
from nn._files import npz, safetensor
from nn._files.header import sealed
from tests.nn.costly import ARRAYS, Cost, cost_of, large, refused
from tests.nn.saved import Net, bits, train

FORMATS = ["npz", "safetensors"] if importlib.util.find_spec("safetensors") else ["npz"]
HOSTILE = "\x1b]0;x\x07\n\u202e"
_FILES = {"npz": npz, "safetensors": safetensor}


# --- writing --------------------------------------------------------------------------------------------


class Honest(NamedTuple):
    """What nn.save would write, and the objects to load it into.

    Attributes:
        into: makes nothing, a model, or a model and an optimiser, of the same structure.
    """

    header: dict[str, Any]
    arrays: dict[str, Any]
    into: Callable[[], tuple[Any, ...]]


def captured(*saved: Any, into: tuple[Any, ...]) -> Honest:
    """The header and the arrays that nn.save writes, and objects to copy and to load them into."""
    found: list[Any] = []

    def keep(header: Any, arrays: Any) -> tuple[bytes, str]:
        text, digest = sealed(header, arrays)
        found[:] = json.loads(text), dict(arrays)
        return text, digest

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(npz, "sealed", keep):
        nn.save(f"{folder}/model.npz", *saved)
    return Honest(found[0], found[1], lambda: copy.deepcopy(into))


def write(path: Path, header: Any, arrays: dict[str, Any]) -> None:
    """Write a file with this header, whatever it says, and valid checksums."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    module = _FILES[path.suffix[1:]]

    def forged(*_: Any) -> tuple[bytes, str]:
        return text, hashlib.sha256(text).hexdigest()

    with (
        mock.patch.object(module, "sealed", forged),
        mock.patch.object(safetensor, "require_writable"),
        path.open("wb") as file,
    ):
        module.write(file, {}, arrays)


def honest_files() -> list[Honest]:
    """Files of every kind, small, with everything that a header can hold."""

    def network(seed: int) -> tuple[Any, Any]:
        model = nn.MLP([4, 5, 3], norm="batch", dropout=0.3, rng=seed)
        return model, nn.AdamW(nn.no_decay(model), lr=0.01, amsgrad=True)

    def trained(seed: int) -> tuple[Any, Any]:
        model, optimizer = network(seed)
        train(model, optimizer, steps=2)
        return model, optimizer

    def whole(seed: int) -> Any:
        options = {
            "optimizer": {"name": "sgd", "momentum": 0.5},
            "schedule": {"name": "cosine", "T_max": 5},
            "ema": 0.9,
        }
        model = nn.Model(nn.MLP([4, 3], rng=seed), rng=seed, **options)  # type: ignore[arg-type]
        rng = np.random.default_rng(0)
        model.fit(rng.normal(size=(8, 4)).astype(np.float32), rng.integers(0, 3, 8), epochs=1, validation_split=0.25)
        return model

    class Own(Net):
        def __init__(self, seed: int) -> None:
            super().__init__(seed)
            self.stop = nn.EarlyStopping()
            self.history = nn.History()
            self.history.append({"loss": 1.0})
            self.tuning = nn.SGD(self.body.parameters(), lr=0.1)
            self.schedule = nn.StepLR(self.tuning, 3)
            self.average = nn.ExponentialMovingAverage(self.body)

    extra = {
        "epoch": 3,
        "labels": np.array(["a", "bc"]),
        "objects": np.array([1, "a", None], object),
        "nested": {(1, 2.5): [math.inf, (np.float32(1), np.dtype("f4"))], 7: {"x": np.arange(3)}},
        "generators": [
            np.random.Generator(getattr(np.random, kind)(1))
            for kind in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
        ],
    }
    files = [
        captured(*trained(0), extra, into=network(1)),
        captured(whole(0), into=(whole(1),)),
        captured(Own(0), into=(Own(1),)),
        captured(network(0)[0].state_dict(), into=network(1)[:1]),
    ]
    if importlib.util.find_spec("sklearn"):
        X, y = np.eye(4), np.array(["a", "b", "a", "b"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            files.append(captured(nn.FNNClassifier((3,), epochs=1, random_state=0).fit(X, y), into=()))
    return files


# --- changing at random ---------------------------------------------------------------------------------

_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 8, 2**31, 2**63, 2**64, -(2**70), 10**400, 0.5, -0.5, 1e308, 5e-324),
    *("", "x", "W", "training", "layers", HOSTILE, "__class__", "forward", "step", "_buckets", "param_groups", "<f4"),
    *([], {}, [[]], [0], [1, 2], {"dict": []}, {"tuple": []}, {"dict": [["forward", 8]]}, {"dict": [[0, 0]]}),
    *({"object": 0}, {"object": 1}, {"object": -1}, {"object": 10**6}, {"object": "x"}, {"object": True}),
    *({"float": "nan"}, {"float": "x"}, {"unsaved": HOSTILE}, {"scalar": ["<f4", "0000803f"]}, {"dtype": "<f4"}),
]
_KEYS = ["forward", "_buckets", "step", "parameters", "_places", "training", "__dict__", "lr", "own", "x", HOSTILE]


def changed(header: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The header with one to four changes."""
    whole = copy.deepcopy(header)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        top = rng.choice(["objects"] * 8 + ["state", "modules", "model", "optimizer", "extra", "tensors"])
        spots = list(_spots(whole, top if top in whole else rng.choice(list(whole))))
        holder, key = rng.choice(spots)
        from_there, at = rng.choice(spots)
        _change(holder, key, from_there[at], rng)
    return whole


def _spots(holder: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a tree of JSON, as a container and a key."""
    waiting = [(holder, key)]
    while waiting:
        spot = waiting.pop()
        yield spot
        value = spot[0][spot[1]]
        if isinstance(value, dict):
            waiting += [(value, k) for k in value]
        elif isinstance(value, list):
            waiting += [(value, i) for i in range(len(value))]


def _change(holder: Any, key: Any, other: Any, rng: random.Random) -> None:
    kind = rng.randrange(7)
    value = holder[key]
    if kind == 0 and isinstance(value, int) and not isinstance(value, bool):
        holder[key] = value + rng.choice([-1, 1, 2, -2 * value, 2**32])
    elif kind == 1 and isinstance(holder, dict):  # another name
        holder[rng.choice([*_KEYS, *map(str, holder)])] = holder.pop(key)
    elif kind == 2 and isinstance(value, list) and value:  # twice, or an item of another place
        value.insert(rng.randrange(len(value)), copy.deepcopy(rng.choice([other, *value])))
    elif kind == 3:
        del holder[key]
    elif kind == 4:
        holder[key] = copy.deepcopy(other)
    elif kind == 5 and isinstance(value, dict) and isinstance(value.get("dict"), list):  # one more attribute
        value["dict"].append([rng.choice(_KEYS), copy.deepcopy(rng.choice(_VALUES))])
    else:
        holder[key] = copy.deepcopy(rng.choice(_VALUES))


# --- judging --------------------------------------------------------------------------------------------


def state_of(objects: tuple[Any, ...]) -> str:
    """Everything in a model and an optimiser, as text."""
    if not objects:
        return ""
    return repr([[member(value) for value in nn._files.encode.members(objects[0]).items()], *map(member, objects)])


def member(value: Any) -> Any:
    if isinstance(value, tuple):
        return value[0], member(value[1])
    if isinstance(value, tg.Tensor):
        return value.data.tobytes(), value.name, value.requires_grad
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    own = value.state_dict() if hasattr(value, "state_dict") else vars(value)
    rest = {} if isinstance(value, nn.Module) else {k: repr(v) for k, v in vars(value).items() if k[:1] != "_"}
    return repr({k: bits(v) for k, v in own.items()}), rest, dict(value) if isinstance(value, dict) else None


def require_shown(text: str, where: str) -> None:
    raw = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"}
    assert not raw, f"{where} shows {sorted(raw)}: {text!r}"


def judge(path: Path, into: tuple[Any, ...]) -> bool:
    """Load a forged file, and return whether it was loaded. Raises AssertionError if a promise is broken."""
    before = state_of(into)
    refusal, loaded = "", None
    try:
        loaded = nn.load(path, *into)
    except tg.CheckpointError as error:
        refusal = str(error)
    if loaded is None:
        require_shown(refusal, "the error")
        assert state_of(into) == before, f"refused ({refusal}), but changed"
        return False
    if into:
        works(*into)
    elif isinstance(loaded.optimizer, nn.Optimizer) and not isinstance(loaded.optimizer, nn.LBFGS):
        step(loaded.optimizer)
    for part in (loaded.model, loaded.optimizer):
        try:
            text = repr(part)
        except Exception:  # forged attributes can be of any type
            continue
        if not isinstance(part, dict):
            require_shown(text, type(part).__name__)
    return True


def step(optimizer: Any) -> None:
    """Make a step. Raises whatever does not work: an optimiser is made by its constructor, and checked."""
    for group in optimizer.param_groups:
        for param in group["params"]:
            param.grad = np.zeros_like(param.data)
    with np.errstate(all="ignore"):
        optimizer.step()


def works(model: Any, optimizer: Any = None) -> None:
    """Train a step. Raises whatever does not work in a model that was made by its constructor."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "backward.. starts from a loss that is", RuntimeWarning)
            if isinstance(model, nn.Model):
                model.fit(np.eye(4, dtype=np.float32), np.array([0, 1, 2, 0]), epochs=1)
            else:
                for each in (optimizer, getattr(model, "tuning", None)):
                    if each is not None:
                        train(model, each, steps=1)
            for part in (getattr(model, name, None) for name in ("schedule", "average", "history")):
                if isinstance(part, nn.StepLR):
                    part.step()
                elif isinstance(part, nn.ExponentialMovingAverage):
                    part.update()
            repr(model)
    except tg.NonFiniteError:
        pass  # the numbers are the file's


# --- running --------------------------------------------------------------------------------------------


def forge(folder: Path, seeds: range, honest: list[Honest]) -> dict[str, int]:
    """Forge and judge a file for each seed; returns how many were loaded and refused."""
    counts = {"loaded": 0, "refused": 0}
    for seed in seeds:
        rng = random.Random(seed)
        each = rng.choice(honest)
        path = folder / f"forged.{rng.choice(FORMATS)}"
        write(path, changed(each.header, rng), each.arrays)
        given = each.into()
        into = given[: rng.randrange(len(given) + 1)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                counts["loaded" if judge(path, into) else "refused"] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}, {path.suffix}, into {len(into)} objects: {error!r}") from error
    return counts


def report_costs(folder: Path, size: int) -> None:
    """Print what files that are made to cost much take to refuse or to load."""
    costs: dict[str, Cost] = {}
    for suffix in FORMATS:
        for name, header in {**refused(size), **large(size)}.items():
            path = folder / f"costly.{suffix}"
            write(path, header, ARRAYS)
            found = costs[f"{name}, {suffix}"] = cost_of(path)
            print(
                f"{suffix:<12}{name:<36}{found.size / 2**20:7.2f} MiB  {_pace(found):7.3f} s/MiB  "
                f"{found.nbytes / found.size:6.1f} bytes of memory a byte  {'refused' if found.refusal else 'loaded'}"
            )
    for what, kept in (("refusal", True), ("loading", False)):
        those = {name: cost for name, cost in costs.items() if bool(cost.refusal) == kept}
        slow = max(those, key=lambda name: _pace(those[name]))
        wide = max(those, key=lambda name: those[name].nbytes / those[name].size)
        print(f"slowest {what}: {_pace(those[slow]):.2f} s/MiB ({slow})")
        print(f"{what} with the most memory: {those[wide].nbytes / those[wide].size:.1f} bytes a byte ({wide})")
    sys.stdout.flush()


def _pace(cost: Cost) -> float:
    return cost.seconds / cost.size * 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="how many files to forge")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--size", type=int, default=2**20, help="bytes of a header that is made to cost much")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report_costs(folder, options.size)
        honest = honest_files()
        counts = {"loaded": 0, "refused": 0}
        began = time.monotonic()
        for seed in range(options.first, options.first + options.count):
            try:
                for key, count in forge(folder, range(seed, seed + 1), honest).items():
                    counts[key] += count
            except AssertionError as error:
                failed += 1
                print(error, flush=True)
        seconds = time.monotonic() - began
    print(f"{options.count:,} files forged in {seconds:.0f} s: {counts}, {failed} broke a promise")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
