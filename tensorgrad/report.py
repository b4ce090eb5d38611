"""What is installed, for a report of a bug."""

from __future__ import annotations

import os
import platform
import re
import sys
from typing import Any

import numpy as np

__all__ = ["report"]

_DISTRIBUTION = "tensorgrad-np"
_FOR_DEVELOPERS = {"docs", "test"}  # extras that no user has


def report() -> str:
    """Versions, the BLAS, and what is installed of each extra, one line each: paste it into a bug report.

    It has no paths, no host or user names and nothing of the environment. The BLAS is the one that NumPy was built
    with; its kernel and threads are known where threadpoolctl is installed, which comes with scikit-learn.

    >>> import tensorgrad as tg
    >>> print(tg.report())  # doctest: +ELLIPSIS
    tensorgrad     0...
    Python         3...
    NumPy          2...
    BLAS           ...
    drawings       ...
    """
    from importlib.metadata import PackageNotFoundError, requires

    system = f"{platform.python_implementation()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    rows = {
        "tensorgrad": sys.modules[__package__].__version__,
        "Python": f"{platform.python_version()} ({system})",
        "NumPy": np.__version__,
        "BLAS": _blas(),
        "drawings": _drawings(),
    }
    try:
        requirements = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:
        requirements = []
    for extra, packages in _extras(requirements).items():
        rows[f"[{extra}]"] = ", ".join(f"{name} {_version(name) or 'missing'}" for name in packages)
    return "\n".join(f"{name:15}{value}" for name, value in rows.items())


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _blas() -> str:
    built: Any = np.show_config(mode="dicts")
    facts = built.get("Build Dependencies", {}).get("blas", {})
    parts = [" ".join(filter(None, (facts.get("name"), facts.get("version")))) or "unknown"]
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return parts[0]
    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    loaded.sort(key=lambda library: "numpy" not in library["filepath"])  # SciPy's wheels bring one of their own
    for library in loaded[:1]:
        if "architecture" in library:
            parts.append(f"{library['architecture']} kernel")
        parts.append(f"{library['num_threads']} threads")
    return ", ".join(parts)


def _drawings() -> str:
    from shutil import which

    bundled = _version("graphviz-pure")
    found = [f"graphviz-pure {bundled}"] if bundled else []
    found += ["dot on PATH"] if which("dot") else []
    return f"graphviz {_version('graphviz') or 'missing'}, layout by {', '.join(found) or 'nothing: text trees only'}"


def _extras(requirements: list[str]) -> dict[str, list[str]]:
    """The packages of each extra, from the requirements in a distribution's metadata."""
    found: dict[str, list[str]] = {}
    for requirement in requirements:
        extra = re.search(r"extra\s*==\s*[\"']([\w-]+)", requirement)
        package = re.match(r"[\w.-]+", requirement)
        if extra and package and extra[1] not in _FOR_DEVELOPERS and package[0] != _DISTRIBUTION:
            found.setdefault(extra[1], []).append(package[0])
    return found
