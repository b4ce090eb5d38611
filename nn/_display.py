"""How a notebook shows a module: a tree that opens and closes, with parameters and their gradients."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._module import Module

__all__ = ["module_html"]


def module_html(module: Module) -> str:
    """Nested ``<details>``, which need no script: one for each module, the outermost open."""
    return f'<div class="nn-module">{_details("", module, True)}</div>'


def _details(name: str, module: Module, is_open: bool) -> str:
    own = _rows(module)
    inside = "".join(_details(child_name, child, False) for child_name, child in module.named_children())
    count = sum(p.size for p in module.parameters())
    title = f"<b>{escape(name)}</b> {escape(module.brief())}" if name else f"<b>{escape(module.brief())}</b>"
    title += f" · {count:,} parameters" if count else ""
    if not own and not inside:
        return f'<div style="margin-left:1.2em">{title}</div>'
    start = " open" if is_open else ""
    return f'<details{start} style="margin-left:1.2em"><summary>{title}</summary>{own}{inside}</details>'


def _rows(module: Module) -> str:
    """A table of the module's own parameters."""
    rows = ""
    for name, parameter in module.named_parameters():
        if "." in name:
            continue
        learned = "" if parameter.requires_grad else ", not learned"
        shape = " × ".join(map(str, parameter.shape)) or "scalar"
        cells = (name, shape, f"{parameter.dtype}{learned}", _gradient(parameter))
        rows += f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
    head = "".join(f'<th scope="col">{cell}</th>' for cell in ("parameter", "shape", "dtype", "last gradient"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""


def _gradient(parameter: Any) -> str:
    """The root mean square of the last gradient."""
    gradient = parameter.grad if parameter.requires_grad else None
    gradient = getattr(gradient, "data", None) if hasattr(gradient, "node") else gradient
    if gradient is None:
        return "none"
    values = np.asarray(gradient)
    broken = values.size - int(np.isfinite(values).sum())
    if broken:
        return f"‼ {broken} of {values.size} not finite"
    return f"rms {np.sqrt(np.mean(np.square(np.abs(values), dtype=np.float64))):.2e}" if values.size else "rms 0"
