"""How far a drawing opens a graph: what the user asks for, or the most detail that stays readable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ..engine.graph import Leaf, Node
from .groups import Group, call_tree, chained, counted, divided, folded

__all__ = ["PLAIN", "Expand", "Plan", "View", "checked_expand"]

Expand = str | Iterable[str] | Callable[[str], bool] | None

FEW = 6  # operations that are drawn one by one even if they are in modules
PLAIN = 60  # operations that are drawn one by one if they are not in modules
SCREEN = 16  # cards of layers that need no folding
MOST = 40  # cards, after folding
MANY = 600  # items, beyond which chains of operations are not looked for
STRETCHES = 24  # cards of a graph that cannot be folded otherwise


class View:
    """What is shown: the items of the page and of each open group."""

    def __init__(self, page: Group, is_open: Callable[[Group], bool]) -> None:
        self.page = page
        self.is_open = is_open


class Plan:
    """The groups of a graph, and the ways to show them."""

    def __init__(self, nodes: Sequence[Node], consumers: Mapping[Node, Sequence[Node]]) -> None:
        self.nodes = nodes
        self.consumers = consumers
        self.place = {node: i for i, node in enumerate(node for node in nodes if not isinstance(node, Leaf))}
        self.page, self.groups = call_tree(nodes)
        self.has_modules = any(group.kind == "module" for group in self.groups)

    def view(self, depth: int | None, expand: Callable[[str], bool] | None, fold: bool | None) -> View:
        """What to show; None leaves a choice to the size of the graph."""
        expanded = set() if expand is None else self._expanded(expand)
        extra = sum(len(group.items) for group in self.groups if id(group) in expanded)
        folds = {} if fold is False else self._folds(expanded)
        view = self._made(_never, folds)
        for is_open, folds_it, most in self._candidates(depth, fold is not True, fold is not False):
            view = self._made(partial(_or_expanded, is_open, expanded), folds if folds_it else {})
            if counted(view.page, view.is_open, 10 * MOST + extra) <= most + extra:
                return view
        return view if depth is not None or fold is False else self.smaller(view)

    def _candidates(
        self, depth: int | None, plain: bool, folds: bool
    ) -> Iterator[tuple[Callable[[Group], bool], bool, int]]:
        """Ways to show the graph, the most detailed first: what is open, whether repeats are folded, at most how far.

        ``plain`` and ``folds``: whether repeats may be drawn one by one, and whether they may be folded.
        """
        found: list[tuple[Callable[[Group], bool], bool, int]]
        if depth is not None:
            found = [(partial(_above, depth), False, PLAIN), (partial(_above, depth), True, 0)]
        else:
            found = [
                (_is_module, False, FEW if self.has_modules else PLAIN),
                (_holds_modules, False, SCREEN),
                (_holds_modules, True, MOST),
            ]
            levels = range(max(group.level for group in self.groups) - 1, 0, -1)
            found += [(partial(_module_above, level), True, MOST) for level in levels]
            found.append((partial(_module_above, 1), True, 0))
        return (way for way in found if (folds if way[1] else plain))

    def _expanded(self, wanted: Callable[[str], bool]) -> set[int]:
        """The groups that are open because a path was asked for, and those around them."""
        found: set[int] = set()
        stack: list[tuple[Group, tuple[Group, ...]]] = [(self.page, ())]
        while stack:
            group, around = stack.pop()
            around = (*around, group)
            if group.kind != "page" and wanted(group.path):
                found.update(map(id, around))
            stack += [(item, around) for item in group.items if isinstance(item, Group)]
        return found

    def _folds(self, expanded: set[int]) -> dict[int, list[Any]]:
        """The items of each group with its repeated parts folded, those excepted that hold an expanded module."""
        found = {}
        for group in self.groups:
            items = folded(group, self.place, self.has_modules and len(self.place) <= PLAIN)
            if items is group.items:
                continue
            flat = []
            for item in items:
                if isinstance(item, Group) and item.kind == "fold" and any(id(part) in expanded for part in item.items):
                    flat += item.items
                else:
                    flat.append(item)
            found[id(group)] = flat
        return found

    def _made(self, is_open: Callable[[Group], bool], folds: Mapping[int, list[Any]]) -> View:
        """A view in which groups are copied where their items are folded."""
        copies: dict[int, Group] = {}
        for group in reversed(self.groups):
            items = folds.get(id(group), group.items)
            copy = Group(group.kind, group.path, group.title, group.level)
            copy.start, copy.stop = group.start, group.stop
            copy.items = [copies.get(id(item), item) if isinstance(item, Group) else item for item in items]
            copies[id(group)] = copy
        opened = {id(copies[id(group)]) for group in self.groups if group.kind != "page" and is_open(group)}
        return View(copies[id(self.page)], lambda g: id(g) in opened)

    def smaller(self, view: View) -> View:
        """A view with the longest lists of items merged, until it is small enough."""
        stack = [view.page]
        while stack:
            group = stack.pop()
            if MOST < len(group.items) <= MANY:
                group.items = chained(group.items, self.consumers, self.place)
            if len(group.items) > PLAIN:
                group.items = divided(group.items, STRETCHES, self.place)
            stack += [item for item in group.items if isinstance(item, Group) and view.is_open(item)]
        return view


def _never(group: Group) -> bool:
    return False


def _is_module(group: Group) -> bool:
    return group.kind == "module"


def _holds_modules(group: Group) -> bool:
    return group.kind == "module" and not group.is_layer


def _above(level: int, group: Group) -> bool:
    return group.level < level


def _module_above(level: int, group: Group) -> bool:
    return group.kind == "module" and group.level < level


def _or_expanded(is_open: Callable[[Group], bool], expanded: set[int], group: Group) -> bool:
    return id(group) in expanded or is_open(group)


def checked_expand(expand: Any) -> Callable[[str], bool] | None:
    """Whether to open the module at a path, from what the user passed as ``expand``."""
    if expand is None or callable(expand):
        return expand
    paths = [expand] if isinstance(expand, str) else list(expand) if isinstance(expand, Iterable) else [None]
    if not all(isinstance(path, str) for path in paths):
        raise TypeError(
            f"expand takes the path of a module, a list of paths or a function of a path, got {expand!r}; write "
            f'expand="net.2", or depth=2 to open everything down to a level'
        )
    return lambda path: any(path == each or not each or path.startswith(f"{each}.") for each in paths)
