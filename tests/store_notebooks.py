"""Run notebooks and store them with their outputs: ``python -m tests.store_notebooks 01 04``; without numbers, all.

A notebook is written only if it ran to its end.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

from .test_notebooks import NOTEBOOKS, ROOT, merged


def store(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        os.environ |= {"IPYTHONDIR": folder, "PYTHONPATH": str(ROOT)}
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":
            cell.outputs = merged(cell)
    notebook.metadata.language_info.pop("version", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for path in NOTEBOOKS:
        if not sys.argv[1:] or path.name[:2] in sys.argv[1:]:
            print(path.name)
            store(path)
