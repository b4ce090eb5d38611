"""The table that ``Module.summary`` returns."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import tensorgrad as tg

from . import _running as running
from ._evaluation import evaluating
from ._tables import html_table, text_table

if TYPE_CHECKING:
    from ._module import Module

__all__ = ["ModelSummary", "Row", "summarised"]


class Row(NamedTuple):
    """One module of a :class:`ModelSummary`."""

    path: str
    kind: str
    output: str
    parameters: int


class ModelSummary:
    """The modules of a model, as text in a terminal and as a table in a notebook.

    Attributes:
        rows: one :class:`Row` per module.
        total: number of parameters, shared ones counted once.
        learned: how many of them require a gradient.
        nbytes: their memory in bytes.
    """

    def __init__(self, rows: list[Row], *, total: int, learned: int, nbytes: int, shapes: bool) -> None:
        self.rows = rows
        self.total = total
        self.learned = learned
        self.nbytes = nbytes
        self._columns = ("path", "module", "output", "parameters") if shapes else ("path", "module", "parameters")

    def _cells(self) -> list[tuple[str, ...]]:
        shapes = "output" in self._columns
        table = [(row.path, row.kind, *((row.output,) if shapes else ()), f"{row.parameters:,}") for row in self.rows]
        return [tuple(map(tg.words.escaped, cells)) for cells in table]

    def _foot(self) -> str:
        return f"{self.total:,} parameters, {self.learned:,} of them learned; {self.nbytes:,} bytes"

    def __str__(self) -> str:
        return "\n".join([*text_table(self._columns, self._cells(), left=len(self._columns) - 1), self._foot()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self._columns, self._cells(), caption=self._foot())


def summarised(model: Module, input: Any) -> ModelSummary:
    """Return the summary of a model; see :meth:`nn.Module.summary`."""
    shapes: dict[str, str] = {}
    if input is not None:
        _dry_run(model, input, shapes)
    rows = []
    for path, module in model.named_modules():
        count = sum(p.size for p in module.parameters())
        rows.append(Row(path or "(model)", module.brief(), shapes.get(path, ""), count))
    parameters = list(model.parameters())
    return ModelSummary(
        rows,
        total=sum(p.size for p in parameters),
        learned=sum(p.size for p in parameters if p.requires_grad),
        nbytes=sum(p.data.nbytes for p in parameters),
        shapes=input is not None,
    )


def _shape_of(out: Any) -> str:
    """The shape of a module's result, or those of its parts."""
    if isinstance(out, tuple | list):
        return ", ".join(map(_shape_of, out))
    return str(getattr(out, "shape", "?"))


def _dry_run(model: Module, input: Any, shapes: dict[str, str]) -> None:
    """Run a model on a batch (or on zeros of a shape) in evaluation mode, leaving it unchanged; collect the shapes."""

    def note(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        shapes.setdefault(running.running_path(), _shape_of(output))

    if isinstance(input, tuple) and all(isinstance(n, int) for n in input):
        dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
        input = np.zeros(input, dtype)
    with ExitStack() as hooks:
        for module in model.modules():
            hooks.enter_context(module.register_forward_hook(note))
        with evaluating(model):
            model(input)
