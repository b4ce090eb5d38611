"""How far a drawing opens a graph: what the user asks for, or the most detail that stays readable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..engine.graph import Leaf, Node
from .groups import Group, call_tree, chained, counted, divided, folded

__all__ = ["Expand", "Plan", "View", "checked_expand"]

Expand = str | Iterable[str] | Callable[[str], bool] | None

FEW = 12  # operations that are drawn one by one even if they are in modules
PLAIN = 60  # operations that are drawn one by one if they are not in modules
SCREEN = 16  # cards of layers that need no folding
MOST = 40  # cards, after folding


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
        if expand is not None:
            wanted = expand
            expanded = self._expanded(wanted)
        else:
            expanded = set()
        folds = self._folds(expanded) if fold is not False else {}
        if depth is not None:
            return self._made(lambda g: g.level < depth or id(g) in expanded, folds if fold else {}, forced=True)
        levels = max((g.level for g in self.groups), default=0)
        candidates: list[tuple[Callable[[Group], bool], bool, int]] = [
            (lambda g: g.kind == "module", False, FEW if self.has_modules else PLAIN),
            (lambda g: g.kind == "module" and not g.is_layer, False, SCREEN),
            (lambda g: g.kind == "module" and not g.is_layer, True, MOST),
        ]
        candidates += [(_above(level), True, MOST) for level in range(levels - 1, 0, -1)]
        candidates.append((_above(1), True, 0))
        for is_open, fold_it, most in candidates:
            if (fold is True and not fold_it) or (fold is False and fold_it):
                continue

            def opened(g: Group, is_open: Any = is_open) -> bool:
                return id(g) in expanded or is_open(g)

            view = self._made(opened, folds if fold_it else {})
            if counted(view.page, lambda g, v=view: v.is_open(g), 10 * MOST) <= most + 3 * len(expanded):
                return view
        return view if fold is False else self._smaller(view)

    def _expanded(self, wanted: Callable[[str], bool]) -> set[int]:
        """The groups that are open because a path was asked for, and those around and inside them."""
        found: set[int] = set()
        stack: list[tuple[Group, tuple[Group, ...], bool]] = [(self.page, (), False)]
        while stack:
            group, around, inside = stack.pop()
            inside = inside or (group.kind == "module" and wanted(group.path))
            if inside:
                found.update(map(id, (group, *around)))
            around = (*around, group)
            stack += [(item, around, inside) for item in group.items if isinstance(item, Group)]
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

    def _made(
        self, is_open: Callable[[Group], bool], folds: Mapping[int, list[Any]], forced: bool = False
    ) -> View:
        """A view in which groups are copied where their items are folded."""
        copies: dict[int, Group] = {}
        for group in reversed(self.groups):
            items = folds.get(id(group), group.items)
            copy = Group(group.kind, group.path, group.title, group.level)
            copy.start, copy.stop = group.start, group.stop
            copy.items = [copies.get(id(item), item) if isinstance(item, Group) else item for item in items]
            copy.key = group.is_layer
            copies[id(group)] = copy
        opened = {id(copies[id(group)]) for group in self.groups if group.kind != "page" and is_open(group)}
        return View(copies[id(self.page)], lambda g: id(g) in opened)

    def _smaller(self, view: View) -> View:
        """A view with the longest lists of items merged, until it is small enough."""
        stack = [view.page]
        while stack:
            group = stack.pop()
            if len(group.items) > MOST:
                group.items = chained(group.items, self.consumers, self.place)
            if len(group.items) > PLAIN:
                group.items = divided(group.items, MOST, self.place)
            stack += [item for item in group.items if isinstance(item, Group) and view.is_open(item)]
        return view


def _above(level: int) -> Callable[[Group], bool]:
    return lambda g: g.kind == "module" and g.level < level


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
    wanted = set(paths)
    return wanted.__contains__
