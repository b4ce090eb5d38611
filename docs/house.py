"""The picture of the house: the parts of both packages, and who imports whom, read from the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tensorgrad.viz.render import render

PACKAGES = ("tensorgrad", "nn")
FONTS = "Helvetica,Arial,Liberation Sans,Arimo,DejaVu Sans Condensed,sans-serif"  # of about the same widths
COLOURS = {"tensorgrad": "#dbe7f5", "nn": "#fbe8c8"}


@cache
def parts(root: Path) -> dict[str, str]:
    """The folders and files of both packages, by dotted name, each with the first sentence of its docstring."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).iterdir()):
            source = path / "__init__.py" if path.is_dir() else path
            if source.suffix == ".py" and source.exists() and path.stem != "__init__":
                words = " ".join((ast.get_docstring(ast.parse(source.read_text("utf-8"))) or "").split())
                sentence = re.match(r"(.*?\.)( |$)", re.sub(r":\w+:|`", "", words))
                found[f"{package}.{path.stem}"] = sentence[1].rstrip(":.") if sentence else words
    return found


@cache
def imports(root: Path) -> dict[str, set[str]]:
    """For each part, the parts that its files import; not those for annotations alone."""
    known = parts(root)
    found: dict[str, set[str]] = {name: set() for name in known}
    for name in known:
        place = root.joinpath(*name.split("."))
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
            for module in _imported(ast.parse(path.read_text("utf-8")), path.relative_to(root).parent.parts):
                other = ".".join(module.split(".")[:2])
                if other in known and other != name:
                    found[name].add(other)
    return found


def _imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            home = ".".join((*base, *filter(None, (node.module,))))
            yield from (f"{home}.{alias.name}" for alias in node.names)
        else:
            yield from _imported(node, package)


def direct(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that follow from others: if a imports b and b imports c, a's own arrow to c is left out."""
    reached: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in reached:
            reached[name] = arrows[name].union(*(reach(other) for other in arrows[name]))
        return reached[name]

    return {
        name: {o for o in others if not any(o in reach(third) for third in others - {o})}
        for name, others in arrows.items()
    }


def dot(root: Path) -> str:
    """The picture as text for Graphviz. ``nn`` stands on the public names of ``tensorgrad``, drawn as one arrow."""
    titles = parts(root)
    lines = [
        "digraph house {",
        'bgcolor="transparent"; nodesep=0.15; ranksep=0.4; compound=true; fontname="Helvetica";',
        'node [shape=box, style="rounded,filled", fontname="Helvetica", height=0.35, color="#6f7b8a"];',
        'edge [color="#6f7b8a", arrowsize=0.7];',
    ]
    for package in PACKAGES:
        lines += [f'subgraph "cluster_{package}" {{ label="{package}"; color="#8899aa"; fontcolor="#6f7b8a";']
        lines += ['style="rounded,filled"; fillcolor="#8899aa1f"; fontsize=18;']
        for name, title in titles.items():
            if name.startswith(package + "."):
                short, tip = name.partition(".")[2], title.replace('"', "'")
                lines.append(f'"{name}" [label="{short}", tooltip="{tip}", fillcolor="{COLOURS[package]}"];')
        lines.append("}")
    arrows = direct(imports(root))
    lines += [f'"{name}" -> "{other}";' for name, others in arrows.items() for other in sorted(others)]
    whole = 'ltail="cluster_nn", lhead="cluster_tensorgrad", penwidth=3, constraint=false'
    return "\n".join([*lines, f'"nn._layers" -> "tensorgrad.tensor" [{whole}];', "}"])


def table(root: Path) -> str:
    """The parts with their sentences, as a table in Markdown: those that stand on others first."""
    arrows = imports(root)
    depth: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((height(other) for other in arrows[name]), default=0)
        return depth[name]

    rows = ["| part | what it is |", "|---|---|"]
    for package in PACKAGES:
        mine = sorted((n for n in arrows if n.startswith(package + ".")), key=lambda n: (height(n), n))
        rows += [f"| `{name}` | {parts(root)[name]} |" for name in mine]
    return "\n".join(rows) + "\n"


def svg(root: Path) -> str:
    """The picture, laid out as drawings are.

    Raises:
        RuntimeError: there is no layout program.
    """
    made = render(dot(root), "svg").content
    if made is None:
        raise RuntimeError("the picture of the house needs a layout program: pip install graphviz-pure")
    text = made.decode()
    return text[text.index("<svg") :].replace("Helvetica,sans-Serif", FONTS)
