"""Generate the page ``docs/operations.md`` from the table of operation cases.

python -m tests.ops.page
"""

from __future__ import annotations

import ast
import inspect
import warnings
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad.engine.graph import Leaf, Node
from tensorgrad.namespaces import tensor_functions
from tests.numpy_names import section

from .cases import GROUPS, Case

ROOT = Path(tg.__file__).parent.parent
PAGE = ROOT / "docs" / "operations.md"
WIDTH = 90

HEAD = """# The operations

Generated from the table of operation cases in `tests/ops/cases` by `python -m tests.ops.page`; a test keeps it up to
date.

Every operation here is tested by its row of that table: its values against NumPy, SciPy or an independent formula; its
first and second derivatives against the complex step ("exact", relative 1e-10) or five-point central differences
(relative 1e-7) in float64; float16 and float32 inputs and results; broadcasting, axes, empty and 0-d arrays, other
memory layouts; what it refuses; and all of it again on Tensors, on traced arrays and on another library's arrays.

**Rule** is the source of the derivative, one rule per input: `g` is the gradient of the result, `x`, `y`, `z` are the
inputs, `out` is the result. An operation marked *composed* is made of others and has no rule of its own.
**At kinks** shows the gradient of the summed result at points where the derivative does not exist, is infinite, or is a
convention. **Orders** is how many times the derivative is checked; an operation with 0 has no gradient and returns
plain arrays.
"""


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


@cache
def functions_in(filename: str) -> list[Any]:
    """All functions in a source file, as syntax trees."""
    tree = ast.parse(Path(filename).read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.Lambda | ast.FunctionDef)]


def source_of(code: CodeType) -> str:
    """The source of what a rule returns."""
    positions = [p for p in code.co_positions() if p[0] is not None and p[2] is not None]
    line, column = max((p[0], p[2]) for p in positions)  # the last thing it does
    arguments = list(code.co_varnames[: code.co_argcount])
    for function in functions_in(code.co_filename):
        first = function.body[0] if isinstance(function, ast.FunctionDef) else function.body
        last = function.body[-1] if isinstance(function, ast.FunctionDef) else function.body
        inside = (first.lineno, first.col_offset) <= (line, column) <= (last.end_lineno, last.end_col_offset)
        if not inside or [a.arg for a in function.args.args] != arguments:
            continue
        if isinstance(function, ast.FunctionDef) and function.name != code.co_name:
            continue
        if isinstance(function, ast.Lambda):
            return ast.unparse(function.body).replace("xp.", "").replace("(xp, ", "(")
        returns = [node for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]
        text = ast.unparse(returns[-1].value).replace("xp.", "").replace("(xp, ", "(")
        return text if len(function.body) == 1 else f"... {text}"
    return "see the source"


def short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[: WIDTH - 4] + " ..."


def ops_behind(roots: list[Any]) -> list[Node]:
    seen: dict[Node, None] = {}
    stack = [r.node for r in roots if isinstance(r, tg.Tensor) and r.node is not None]
    while stack:
        node = stack.pop()
        if node in seen or isinstance(node, Leaf):
            continue
        seen[node] = None
        stack += [parent for parent in node.inputs if isinstance(parent, Node)]
    return list(seen)


def rule_text(case: Case) -> str:
    """The rules of an operation, or the operations that it is composed of."""
    sample = case.samples[0]
    leaves = [tg.Tensor(a, requires_grad=True) for a in sample.arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = ops_behind(listed(sample.apply(case.op, leaves)))
    name = case.name.rpartition(".")[2]
    own = next((node for node in nodes if node.op == name), None)
    if own is None:
        parts = list(dict.fromkeys(node.op for node in nodes))[::-1]
        return "composed: " + ", ".join(parts[:6]) + (" ..." if len(parts) > 6 else "")
    texts = []
    for rule in own.rules:
        if rule is None:
            continue
        inner: Any = inspect.unwrap(rule)
        text = f"`{short(source_of(inner.__code__))}`"
        if text not in texts:
            texts.append(text)
    return "<br>".join(texts[:3])


def number(value: float) -> str:
    return f"{value:.4g}"


def array_text(array: Any) -> str:
    array = np.asarray(array)
    if not array.shape:
        return number(float(array))
    if array.size > 8:
        return f"{array.size} numbers"
    return "[" + ", ".join(map(array_text, array)) + "]"


def kink_text(case: Case) -> str:
    """The gradients at the first kinks of a row."""
    parts = []
    for kink in case.kinks[:2]:
        if any(np.iscomplexobj(a) for a in (*kink.sample.arrays, *kink.gradients)):
            continue
        at = ", ".join(map(array_text, kink.sample.arrays))
        gradient = ", ".join("none" if g is None else array_text(g) for g in kink.gradients)
        parts.append(f"{at} → {gradient}")
    return "<br>".join(parts)


def first_sentence(case: Case) -> str:
    found: Any = tg
    try:
        for part in case.name.split("."):
            found = getattr(found, part)
    except AttributeError:
        found = getattr(tensor_functions, case.name)
    text = (inspect.getdoc(found) or "").split("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")


def orders_text(case: Case) -> str:
    if not case.orders:
        return "0"
    how = "exact" if case.method == "complex" else "differences"
    return f"{case.orders}, {how}"


STANDARD = """## The array API standard

`tensorgrad` is a namespace of the standard (version 2024.12). `make array-api AAT=<checkout>` runs its test suite, of
which these tests fail, each for a reason:

| tests | reason |
|---|---|
| `floor_divide` at infinities (`//`, `//=`), complex `expm1` and `tanh` at infinities, `finfo` | NumPy's own values |
| `broadcast_arrays`, `meshgrid` | they give tuples, as NumPy 2 does; the suite expects lists |
| `mean`, `var`, `std` of no elements, or of no more than `correction` | refused: they are undefined |

Comparisons, tests, places and operations on bits give plain arrays, which are arrays of the standard too.
"""


def operations() -> str:
    """The page up to what depends on NumPy's version."""
    lines = [HEAD]
    lines += ["| group | operations | first order checked | second order checked |", "|---|---|---|---|"]
    known: set[str] = set()
    groups: list[tuple[str, list[Case]]] = []
    for group, cases in GROUPS.items():
        fresh = [case for case in cases if case.name not in known]
        known |= {case.name for case in fresh}
        groups.append((group, fresh))
    counts = [[len(cases), sum(c.orders >= 1 for c in cases), sum(c.orders >= 2 for c in cases)] for _, cases in groups]
    for (group, _), (total, first, second) in zip(groups, counts, strict=True):
        lines.append(f"| {group} | {total} | {first} | {second} |")
    total, first, second = (sum(column) for column in zip(*counts, strict=True))
    lines += [f"| **all** | **{total}** | **{first}** | **{second}** |", ""]
    for group, cases in groups:
        lines += [f"## {group}", "", "| operation | | rule | at kinks | orders |", "|---|---|---|---|---|"]
        for case in cases:
            rule = rule_text(case).replace("|", "\\|") if case.orders else ""
            cells = (f"`{case.name}`", first_sentence(case), rule, kink_text(case), orders_text(case))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, STANDARD])


def page() -> str:
    """The whole page."""
    return f"{operations()}\n{section()}"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(ROOT)}")
