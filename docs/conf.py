"""The site's configuration for Sphinx. ``make docs`` builds it, without the network and without running a notebook."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.errors import ConfigError

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

import sources  # noqa: E402

import tensorgrad as tg  # noqa: E402

# MathJax 3 in one file, so that formulas are shown without the network. `make docs` brings it.
MATHJAX = Path(os.environ.get("MATHJAX", ROOT / "build" / "mathjax" / "tex-svg.js")).resolve()
if not MATHJAX.is_file():
    raise ConfigError(
        f"{MATHJAX} is missing: write `make docs`, which takes it from the npm package mathjax 3, or set MATHJAX to "
        "the path of its file es5/tex-svg.js"
    )

sources.write(HERE, ROOT)

project = "tensorgrad"
author = "tensorgrad developers"
copyright = author
version = release = tg.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "myst_nb",
]
exclude_patterns = ["house/parts.txt"]

# Pages are Markdown, in MyST's dialect. Headings are link targets.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Notebooks are shown with the outputs that were committed, which tests/test_notebooks.py compares with a fresh run.
nb_execution_mode = "off"
nb_code_prompt_show = "Show an answer"  # the cells that are collapsed are answers to exercises
nb_code_prompt_hide = "Hide the answer"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # the default would load scripts from the network

# Docstrings are Google's dialect of reStructuredText.
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes in the class, as its docstring lists them; members are described once
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints = "signature"
autodoc_type_aliases = {"TensorLike": "TensorLike", "DTypeLike": "DTypeLike"}
autosummary_generate = False
python_use_unqualified_type_names = True
python_display_short_literal_types = True
maximum_signature_line_length = 88
add_module_names = False

html_theme = "furo"
html_title = "tensorgrad"
html_static_path = ["_static", str(MATHJAX)]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
mathjax_path = MATHJAX.name


def _aliases_by_name(*event: Any) -> tuple[str, str | None] | None:
    """The signature of a function with ``DTypeLike | None`` for what Sphinx makes of an alias in a union."""
    signature, result = event[-2:]
    if signature is None:
        return None
    alias = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
    return alias.sub(r"\1", signature), result and alias.sub(r"\1", result)


def setup(app: Sphinx) -> None:
    """Adjust two things that have no setting."""
    app.connect("autodoc-process-signature", _aliases_by_name)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
