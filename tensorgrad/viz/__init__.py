"""Drawings of computation graphs, as DOT text, SVG and an indented text tree."""

from .drawing import Drawing as Drawing
from .drawing import draw as draw
