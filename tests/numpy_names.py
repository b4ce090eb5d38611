"""NumPy's public functions, and what each gives for a Tensor with a history."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad.adapters import ADVICE
from tensorgrad.interop import answer_to

MODULES = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft, "np.lib.stride_tricks": np.lib.stride_tricks}
METHODS = ("reduce", "accumulate", "outer", "at", "reduceat")


def functions() -> dict[str, Any]:
    """Every public function and ufunc, once, by its name."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for home, module in MODULES.items():
        for name in sorted(dir(module)):
            function = getattr(module, name)
            if name.startswith("_") or isinstance(function, type) or not callable(function) or name == "test":
                continue
            if id(function) not in seen:
                seen.add(id(function))
                found[f"{home}.{name}"] = function
    return found


def dispatched(function: Any) -> bool:
    """Does NumPy ask its arguments' classes before it calls the function?"""
    return isinstance(function, np.ufunc) or type(function).__name__ == "_ArrayFunctionDispatcher"


def ufuncs() -> dict[str, np.ufunc]:
    """The ufuncs of two arguments and one result, which have all five methods."""
    known = {name: f for name, f in functions().items() if isinstance(f, np.ufunc)}
    return {name: f for name, f in known.items() if (f.nin, f.nout, f.signature) == (2, 1, None)}


def by_answer() -> dict[str, list[str]]:
    """The names by what they give: recorded, answered, refused, or not dispatched."""
    table: dict[str, list[str]] = {"recorded": [], "answered": [], "refused": [], "not dispatched": []}
    for name, function in functions().items():
        table[answer_to(function) if dispatched(function) else "not dispatched"].append(name)
    return table


MEANING = {
    "recorded": "A Tensor with a history; an argument that is not taken is refused by name.",
    "answered": "Plain arrays, numbers and facts, which have no gradient.",
    "refused": "An error that says what to write.",
    "not dispatched": "NumPy does not ask: these make arrays of numbers, or are about NumPy itself. They refuse a "
    "Tensor with a history as `np.asarray(t)` does.",
}


def section() -> str:
    """The part of the page of operations that is about NumPy."""
    version = ".".join(np.__version__.split(".")[:2])
    lines = [f"## NumPy's functions ({version})", ""]
    lines += [
        "What they give for a Tensor that has a history. Of one without, they give what they give for an array.",
        "",
    ]
    for answer, names in by_answer().items():
        lines += [f"**{answer.capitalize()}** ({len(names)}). {MEANING[answer]}", ""]
        lines += [", ".join(f"`{name}`" for name in names) + ".", ""]
    lines += ["Instead of some that are refused:", "", "| function | instead |", "|---|---|"]
    names_of = {id(f): name for name, f in functions().items()}
    lines += [f"| `{names_of[id(f)]}` | {advice} |" for f, advice in ADVICE.items() if id(f) in names_of]
    lines += ["", "Methods of ufuncs of two arguments:", "", "| method | recorded |", "|---|---|"]
    for method in METHODS:
        recorded = [f"`{name}`" for name, f in ufuncs().items() if answer_to(f, method) == "recorded"]
        lines.append(f"| `{method}` | {', '.join(recorded) or 'none; write `tg.scatter_add`'} |")
    return "\n".join([*lines, ""])
