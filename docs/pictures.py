"""The pictures of the README and of the landing page: ``make pictures`` draws them anew.

A folded graph, the monitor's views of a network whose gradient vanishes, and a derived backward beside the closed form.
All come from the demo, so that they show what ``make demo`` shows.
"""

from __future__ import annotations

import io
import sys
from html import escape
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from demo.__main__ import DEPTH, healthy, hidden, sick  # noqa: E402
from demo.batchnorm import Comparison, arguments  # noqa: E402
from demo.figures import graph, save, views  # noqa: E402
from demo.training import digits, train  # noqa: E402

FOLDER = HERE / "pictures"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,Liberation Mono,DejaVu Sans Mono,monospace"
WIDTH, LINE = 7.8, 19  # of a character of 13 px, and of a line
COLOURS = {"code": "#1f2933", "comment": "#6b7785", "shape": "#8a94a0", "ours": "#1d6b3a", "title": "#ffffff"}


def code(title: str, sections: list[tuple[str, list[str]]]) -> str:
    """Source code as an SVG for light and dark pages: a card with a title and, below it, lines in colours."""
    lines = [(kind, line) for kind, section in sections for line in section]
    width = max(len(line) for _, line in lines) * WIDTH + 40
    height = (len(lines) + 2) * LINE + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-family="{MONO}" font-size="13" role="img" '
        f'aria-label="{escape(title, quote=True)}">',
        f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8" fill="#ffffff" stroke="#8899aa"/>',
        f'<path d="M0.5 34 V8.5 a8 8 0 0 1 8 -8 H{width - 8.5:.1f} a8 8 0 0 1 8 8 V34 Z" fill="#30415d"/>',
        _text(20, 23, title, COLOURS["title"], weight="bold"),
    ]
    for number, (kind, line) in enumerate(lines):
        y = 34 + LINE * (number + 1.3)
        source, mark, comment = line.partition("  #") if kind == "code" else (line, "", "")
        colour = COLOURS["comment"] if source.strip().startswith("#") else COLOURS[kind]
        parts.append(_text(20, y, source, colour))
        if mark:
            parts.append(_text(20 + WIDTH * (len(source) + 2), y, "#" + comment, COLOURS["shape"]))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, colour: str, weight: str = "normal") -> str:
    left = len(text) - len(text.lstrip())
    text = text.strip()
    if not text:
        return ""
    # The length is given, so that columns stay aligned in any font.
    return (
        f'<text x="{x + left * WIDTH:.1f}" y="{y:.1f}" fill="{colour}" font-weight="{weight}" '
        f'textLength="{len(text) * WIDTH:.1f}" lengthAdjust="spacingAndGlyphs" xml:space="preserve">'
        f"{escape(text)}</text>"
    )


def derived(comparison: Comparison) -> str:
    """The derived backward of batch norm, and the closed form of dx below it."""
    name, _, by_hand, difference = comparison.rows[0]
    # The smallest power of ten above it: the last digits are those of one processor.
    bound = f"1e{int(np.ceil(np.log10(difference)))}"
    return code(
        "print(tg.derive(batch_norm, x, gamma, beta))",
        [
            ("code", [*str(comparison.derived).splitlines(), ""]),
            ("comment", ["# the closed form, as one finds it in the literature, on activations of a trained network"]),
            ("code", [f"    {name} = {by_hand}"]),
            ("ours", [f"    the largest difference from the derived {name} is below {bound}"]),
        ],
    )


def palette(png: bytes) -> bytes:
    """A PNG with at most 128 colours: a third of the size, and no difference that one sees."""
    from PIL import Image

    small = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    data = digits()
    graph(healthy(0), data).save(FOLDER / "graph.svg")
    well = train("healthy", healthy(0), data, epochs=5)
    (FOLDER / "derived.svg").write_text(
        derived(Comparison(*arguments(np.random.default_rng(0), hidden(well, data)))), encoding="utf-8"
    )
    figure = io.BytesIO()
    save(views(train(f"{DEPTH} layers, sigmoid", sick(), data, epochs=20)), figure, dpi=80)
    (FOLDER / "monitor.png").write_bytes(palette(figure.getvalue()))


if __name__ == "__main__":
    main()
