"""What the site has besides the pages in this folder: notebooks, the picture of the house, the API.

``write`` puts them under ``docs/``, where git ignores them. The API pages list the public names, those that completion
shows, so that none can be forgotten: :func:`pages` raises for a name that has no page.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import house

import nn
import tensorgrad as tg

OPS = "tensorgrad.ops."


class Page(NamedTuple):
    """An API page: its file's name, its title, what it says first, and the modules whose public names it has."""

    file: str
    title: str
    intro: str
    modules: tuple[str, ...]


def _of(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(prefix + name for name in names.split())


TENSORGRAD = [
    Page("tensor", "Tensors", "The class, and functions that make one.", ("tensorgrad.tensor", "tensorgrad.creation")),
    Page(
        "transforms",
        "Transforms",
        "Functions of functions. They answer in kind: arrays for arrays, NumPy scalars for numbers, Tensors for "
        "Tensors.",
        ("tensorgrad.functional", "tensorgrad.optimize"),
    ),
    Page("derive", "Derived backwards", "", ("tensorgrad.derive",)),
    Page("drawing", "Drawings", "", ("tensorgrad.viz",)),
    Page("compile", "Compiled steps and export", "", ("tensorgrad.compiler", "tensorgrad.export")),
    Page(
        "modes",
        "Recording, debugging, errors",
        "",
        _of("tensorgrad.", "engine.mode debugging reasons report engine.frames engine.interrupts errors words"),
    ),
    Page(
        "staging",
        "For authors of layers and training loops",
        "What code outside the engine says to it, and to a compiled step.",
        ("tensorgrad.engine",),
    ),
    Page(
        "elementwise",
        "Elementwise operations",
        "",
        _of(OPS, "arithmetic exponential trigonometry reciprocals rounding complexes sequences compare logic bits"),
    ),
    Page("activations", "Activations", "", _of(OPS, "activations rectifiers sampling")),
    Page("selection", "Selection and branches", "", _of(OPS, "selection branches")),
    Page(
        "reductions",
        "Reductions",
        "",
        _of(OPS, "reductions variance nan quantiles cumulative differences numerics polynomials"),
    ),
    Page(
        "shapes",
        "Shapes and arrangement",
        "",
        _of(OPS, "shaping axes joining splitting tiling padding diagonals"),
    ),
    Page("indexing", "Indexing, sorting, sets", "", _of(OPS, "indexing writing sorting sets")),
    Page("products", "Products and convolution", "", _of(OPS, "products contractions einsum convolution")),
]
NN = [
    Page("modules", "Modules and containers", "", _of("nn.", "_module _parameter _running _layers.containers _models")),
    Page(
        "layers",
        "Layers",
        "",
        _of(
            "nn._layers.",
            "linear convolution recurrent attention transformer embedding normalization dropout pooling standardize "
            "activations penalty",
        ),
    ),
    Page("losses", "Losses", "", ("nn._losses",)),
    Page(
        "optimizers",
        "Optimisers",
        "",
        _of("nn._optim.", "optimizer sgd adam nadam adaptive lion lbfgs averaging clipping grouping"),
    ),
    Page("schedules", "Learning rates", "", _of("nn._optim.", "scheduler schedules cyclic one_cycle plateau sequence")),
    Page("training", "Training", "", ("nn._training",)),
    Page("monitor", "Diagnosis", "", ("nn._monitor",)),
    Page("files", "Files and exchange", "", ("nn._files", "nn._exchange")),
    Page("estimators", "Estimators", "", ("nn._estimators", "nn")),
]
# Modules of functions: a page each, with all their public names.
WHOLE = {
    "tensorgrad": {
        "linalg": "Linear algebra",
        "fft": "Fourier transforms",
        "special": "Special functions",
        "stats": "Densities",
        "random": "Random numbers",
        "testing": "Checking derivatives",
    },
    "nn": {"functional": "Functions", "init": "Initialisation", "metrics": "Metrics", "parallel": "Several processes"},
}
# Classes that public functions return and that have no public name of their own.
RETURNED = {
    "compile": ("tensorgrad.compiler.step", "CompiledStep"),
    "derive": ("tensorgrad.derive.results", "Derivation Step Report Finding"),
}

TUTORIAL = """# Tutorial

Notebooks on real data, each one question after another. They are shown with the outputs that were committed; to run
them, write `pip install '.[notebook,sklearn]'` in a clone and open them from its folder `notebooks/`.

```{toctree}
:maxdepth: 1
:glob:

[0-9]*
```
"""


def public(module: ModuleType) -> list[str]:
    """The public names of a module that are documented: no submodules, nothing of Python's own or of NumPy's."""
    names = []
    for name in dir(module):
        value = getattr(module, name)
        home = getattr(value, "__module__", None) or ""
        if (
            not name.startswith("_")
            and not isinstance(value, ModuleType)
            and home.split(".")[0] in ("tensorgrad", "nn")
        ):
            names.append(name)
    return names


def pages(module: ModuleType, listed: list[Page]) -> Iterator[tuple[Page, list[str]]]:
    """Each page with its names, in the order of its modules.

    Raises:
        LookupError: a public name is on no page.
    """
    names = {name: getattr(module, name).__module__ for name in public(module) if not _alias(module, name)}
    left = dict(names)
    for page in listed:
        own: list[str] = []
        for home in page.modules:
            own += [n for n, where in left.items() if where == home or (where.startswith(home + ".") and home != "nn")]
            left = {n: where for n, where in left.items() if n not in own}
        if own:
            yield page, own
    if left:
        raise LookupError(f"no API page has {', '.join(left)}; add the module to docs/sources.py")


def _alias(module: ModuleType, name: str) -> bool:
    """Whether it is the second name of a function: the array API standard's ``acos`` is ``arccos``."""
    value = getattr(module, name)
    own = getattr(value, "__name__", name)
    return own != name and getattr(module, own, None) is value


def write(here: Path, root: Path) -> None:
    """Write the API to ``here / "api"``, the house to ``here / "house"``, the notebooks to ``here / "tutorial"``."""
    files = {"tutorial/" + path.name: path.read_text("utf-8") for path in sorted((root / "notebooks").glob("*.ipynb"))}
    files["tutorial/index.md"] = TUTORIAL
    contents = []
    for module, listed in ((tg, TENSORGRAD), (nn, NN)):
        entries = []
        for page, names in pages(module, listed):
            entry = f"{module.__name__}.{page.file}"
            extra = RETURNED.get(page.file) if module is tg else None
            files[f"api/{entry}.rst"] = api_page(page.title, page.intro, module, names, extra)
            entries.append(entry)
        for name, title in WHOLE[module.__name__].items():
            part = getattr(module, name)
            entry = f"{module.__name__}.{name}"
            heading = f"{title}: {'tg' if module is tg else 'nn'}.{name}"
            files[f"api/{entry}.rst"] = api_page(heading, "", part, public(part))
            entries.append(entry)
        contents.append((module, entries))
    files["api/index.rst"] = api_index(contents)
    files["house/house.svg"] = house.svg(root)
    files["house/parts.txt"] = house.table(root)
    for folder in ("api", "house", "tutorial"):
        (here / folder).mkdir(exist_ok=True)
        for old in (here / folder).iterdir():
            if f"{folder}/{old.name}" not in files:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name, text in files.items():
        path = here / name
        if not path.exists() or path.read_text("utf-8") != text:  # what is unchanged is not read again
            path.write_text(text, "utf-8")


def api_page(title: str, intro: str, module: ModuleType, names: list[str], extra: tuple[str, str] | None = None) -> str:
    """A page in reStructuredText: a table of the names, and then each with its docstring."""
    parts = [title, "=" * len(title), "", intro, "", f".. currentmodule:: {module.__name__}", ""]
    parts += [".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in names), ""]
    for name in names:
        parts += _entry(f"{module.__name__}.{name}", getattr(module, name))
    if extra:
        home, classes = extra
        parts += ["Results", "-------", ""]
        for name in classes.split():
            parts += [f".. autoclass:: {home}.{name}()", "   :members:", ""]
    return "\n".join(parts) + "\n"


def _entry(path: str, value: Any) -> list[str]:
    if inspect.isclass(value):
        options = ["   :members:"]
        if value is tg.Tensor:
            options.append("   :inherited-members:")
        foreign = [name for name in dir(value) if name[0] != "_" and name.endswith(("_request", "_routing"))]
        if foreign:  # scikit-learn's, which refer to pages of its own
            options.append(f"   :exclude-members: {', '.join(foreign)}")
        return [f".. autoclass:: {path}", *options, ""]
    if callable(value):
        return [f".. autofunction:: {path}", ""]
    return [f".. autodata:: {path}", "   :no-value:", ""]


def api_index(contents: list[tuple[ModuleType, list[str]]]) -> str:
    """The first page: what each package is, with the names of NumPy's that it passes on and its second names."""
    parts = ["API", "===", ""]
    for module, entries in contents:
        title = f"``{module.__name__}``"
        parts += [title, "-" * len(title), ""]
        parts += ["The classes below are in ``import nn``.", ""] if module is nn else [*_others(module), ""]
        parts += [".. toctree::", "   :maxdepth: 1", "", *(f"   {entry}" for entry in entries), ""]
    return "\n".join(parts) + "\n"


def _others(module: ModuleType) -> list[str]:
    aliases = [(n, getattr(module, n).__name__) for n in public(module) if _alias(module, n)]
    dtypes = [
        n
        for n in dir(module)
        if n[0] != "_" and inspect.isclass(value := getattr(module, n)) and value.__module__ == "numpy"
    ]
    return [
        "The names of NumPy and of the array API standard: dtypes and inspection are NumPy's own ("
        + ", ".join(f"``{name}``" for name in dtypes)
        + "), and "
        + ", ".join(f"``{alias}`` is :func:`~{module.__name__}.{name}`" for alias, name in aliases)
        + "."
    ]
