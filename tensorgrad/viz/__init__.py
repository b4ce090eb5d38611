"""Drawings of computation graphs, as DOT text, SVG and an indented text tree."""

from .drawing import Drawing as Drawing
from .request import draw as draw
