"""Which operations a drawing shows one by one, and which it folds: modules, functions and repeated parts.

Operations are grouped by the calls they were recorded in (:class:`tensorgrad.engine.mode.Scope`). A group is an
interval of the order of creation, which is a topological order, so folding any of them into one card makes no cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..engine.graph import Given, Leaf, Node, elementwise
from ..engine.mode import Scope

__all__ = ["Group", "Item", "call_tree", "chained", "common_path", "counted", "divided", "folded", "operations_in"]


class Group:
    """A module or function call; or, made for a drawing, equal parts in a row (``fold``) or a stretch of operations."""

    __slots__ = ("items", "key", "kind", "level", "path", "start", "stop", "times", "title")

    def __init__(self, kind: str, path: str = "", title: str = "", level: int = -1) -> None:
        self.kind = kind  # page, module, function, fold, part
        self.path = path
        self.title = title
        self.level = level  # how many modules it is in; -1 for the page
        self.items: list[Item] = []
        self.times = 1  # for a fold
        self.key: Any = None  # equal for parts that look the same
        self.start = self.stop = 0  # the places of its operations in the order of creation

    def __repr__(self) -> str:
        return f"<{self.kind} {self.path} {self.title}: {len(self.items)} items>"

    @property
    def is_layer(self) -> bool:
        """Whether it is a module without modules inside."""
        return self.kind == "module" and not any(isinstance(i, Group) and i.kind == "module" for i in self.items)


Item = Node | Group


def operations_in(item: Item) -> Iterator[Node]:
    """The operations of a group, in order of creation."""
    stack = [item]
    while stack:
        found = stack.pop()
        if isinstance(found, Node):
            yield found
        else:
            stack += reversed(found.items)


def common_path(paths: Iterable[str]) -> str:
    """The innermost module that contains all of these.

    >>> common_path(["net.0.a", "net.0.b"]), common_path(["net.1", "net.10"])
    ('net.0', 'net')
    """
    parts = [path.split(".") if path else [] for path in paths]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)


# --- the tree of calls ----------------------------------------------------------------------------------


def call_tree(nodes: Sequence[Node]) -> tuple[Group, list[Group]]:
    """The page with everything in it, and all groups, each after the one it is in."""
    page = Group("page")
    groups = [page]
    chains: dict[int, list[Scope]] = {}
    inside: list[tuple[Scope | None, Group]] = [(None, page)]
    place = 0
    for node in nodes:
        if isinstance(node, Leaf):
            continue
        scope = node.scope
        chain = chains.get(id(scope))
        if chain is None:
            chain = chains[id(scope)] = _chain(scope)
        depth = 0
        while depth < len(chain) and depth + 1 < len(inside) and inside[depth + 1][0] is chain[depth]:
            depth += 1
        del inside[depth + 1 :]
        for each in chain[depth:]:
            outer = inside[-1][1]
            kind = "function" if each.function else "module"
            group = Group(kind, each.path, each.title, outer.level + 1)
            group.start = place
            outer.items.append(group)
            groups.append(group)
            inside.append((each, group))
        inside[-1][1].items.append(node)
        place += 1
        for _, group in inside:
            group.stop = place
    for group in groups:
        only = group.items[0] if len(group.items) == 1 else None
        if group.kind == "module" and isinstance(only, Group) and only.kind == "function":
            group.items = only.items  # a module that calls its function, and nothing else
    kept, stack = [], [page]
    while stack:
        group = stack.pop()
        kept.append(group)
        stack += reversed([item for item in group.items if isinstance(item, Group)])
    _name_keys(kept, nodes)
    return page, kept


def _chain(scope: Scope) -> list[Scope]:
    """A scope and those around it, outermost first."""
    found: list[Scope] = []
    known: Scope | None = scope
    while known is not None:
        if known.path or known.title:
            found.append(known)
        known = known.outer
    return found[::-1]


# --- what looks the same --------------------------------------------------------------------------------


def _name_keys(groups: Sequence[Group], nodes: Sequence[Node]) -> None:
    """Set the keys of groups: equal for modules of one class with the same shapes of parameters and results.

    A key is (class and shapes, the same with all operations, whether it is loose). A loose module computes on data
    only, so that what it does before its first parameter was not recorded.
    """
    names: dict[Any, int] = {}
    ops = [node for node in nodes if not isinstance(node, Leaf)]
    place = {node: i for i, node in enumerate(ops)}
    oldest = np.array([min([i, *(place.get(p, i) for p in node.inputs if _is_node(p))]) for i, node in enumerate(ops)])
    for group in reversed(groups):
        titles: list[Any] = [group.title]
        content: list[Any] = []
        shape = None
        for item in group.items:
            if isinstance(item, Group):
                titles.append(item.key[0])
                content.append(item.key[1])
            else:
                content.append(item.op)
                shape = item.shape
        loose = group.stop > group.start and int(oldest[group.start : group.stop].min()) >= group.start
        title = names.setdefault(("titles", *titles, shape), len(names))
        group.key = (title, names.setdefault((title, *content), len(names)), loose)


def _is_node(value: Any) -> bool:
    return isinstance(value, Node)


def _signatures(items: Sequence[Item]) -> np.ndarray[Any, Any]:
    """A number for each item, equal where they look the same."""
    names: dict[Any, int] = {}
    found = []
    before = None
    for item in items:
        key: Any
        if isinstance(item, Group):
            title, content, _ = item.key
            if isinstance(before, tuple) and before[0] == title and before[2]:
                # It follows one that computes on data only, and so has fewer operations, but is the same module.
                found[-1] = names.setdefault((title, content), len(names))
            key, before = (title, content), item.key
        else:
            inputs: list[Any] = []
            for value in item.inputs:
                if isinstance(value, Node | Given):
                    learned = isinstance(value, Leaf) and value.requires_grad and len(item.inputs) > 1
                    inputs.append((learned, value.shape))
                else:
                    inputs.append(value)
            key, before = (item.op, item.shape, *inputs), None
        found.append(names.setdefault(key, len(names)))
    return np.array(found, dtype=np.int64)


_LONGEST = 256  # items in a part that repeats
_FEWEST = 3  # parts that are worth folding


def folded(group: Group, place: Mapping[Node, int], modules_only: bool) -> list[Item]:
    """The items of a group, in which equal parts in a row, each of which uses the one before, are one item."""
    items = group.items
    count = len(items)
    if count < _FEWEST:
        return items
    kinds = _signatures(items)
    runs: list[tuple[int, int, int, int]] = []  # minus the number of items covered, period, start, repetitions
    for period in range(1, min(_LONGEST, count // _FEWEST) + 1):
        same = np.concatenate(([False], kinds[period:] == kinds[:-period], [False]))
        edges = np.flatnonzero(same[1:] != same[:-1])
        starts, stops = edges[::2], edges[1::2]
        long = stops - starts >= (_FEWEST - 1) * period
        for start, stop in zip(starts[long].tolist(), stops[long].tolist(), strict=True):
            times = (stop - start) // period + 1
            runs.append((-times * period, period, start, times))
    taken = np.zeros(count, bool)
    chosen = []
    for _, period, start, times in sorted(runs):
        stop = start + period * times
        if taken[start:stop].any():
            continue
        parts = [items[i : i + period] for i in range(start, stop, period)]
        if modules_only and not any(isinstance(item, Group) and item.kind == "module" for item in parts[0]):
            continue
        if all(_feeds(before, after, place) for before, after in pairwise(parts)):
            taken[start:stop] = True
            chosen.append((start, stop, parts))
    result: list[Item] = []
    at = 0
    for start, stop, parts in sorted(chosen, key=lambda run: run[0]):
        result += items[at:start]
        result.append(_fold(parts, group, place))
        at = stop
    return result + items[at:]


def _span(part: Sequence[Item], place: Mapping[Node, int]) -> tuple[int, int]:
    first, last = part[0], part[-1]
    return (
        first.start if isinstance(first, Group) else place[first],
        last.stop if isinstance(last, Group) else place[last] + 1,
    )


def _feeds(before: Sequence[Item], after: Sequence[Item], place: Mapping[Node, int]) -> bool:
    start, stop = _span(before, place)
    for item in after:
        for node in operations_in(item):
            if any(start <= place.get(parent, -1) < stop for parent in node.inputs if _is_node(parent)):
                return True
    return False


def _fold(parts: Sequence[Sequence[Item]], outer: Group, place: Mapping[Node, int]) -> Group:
    first, last = parts[0], parts[-1]
    titles = [_named(item) for item in first]
    fold = Group("fold", outer.path, "", outer.level + 1)
    if isinstance(first[0], Group) and isinstance(last[-1], Group) and first[0].path != outer.path:
        fold.path = f"{first[0].path} … {last[-1].path}" if first[0].path != last[-1].path else first[0].path
    fold.title = ", ".join(titles[:4]) + (", …" if len(titles) > 4 else "")
    if not any(isinstance(item, Group) for item in first):
        fold.title = "·".join(titles[:6]) + ("·…" if len(titles) > 6 else "")
    fold.items = [item for part in parts for item in part]
    fold.times = len(parts)
    fold.start, fold.stop = _span(first, place)[0], _span(last, place)[1]
    return fold


def _named(item: Item) -> str:
    if isinstance(item, Node):
        return item.op
    return item.title.partition(" · ")[0] or item.path.rpartition(".")[2] or item.kind


# --- large graphs without modules -----------------------------------------------------------------------


def chained(items: Sequence[Item], consumers: Mapping[Node, Sequence[Node]], place: Mapping[Node, int]) -> list[Item]:
    """The items, in which chains of elementwise operations are one item."""
    result: list[Item] = []
    chain: list[Node] = []

    def close() -> None:
        if len(chain) > 1:
            result.append(_part(list(chain), place))
        else:
            result.extend(chain)
        chain.clear()

    for item in items:
        if not isinstance(item, Node) or item.op not in elementwise:
            close()
            result.append(item)
            continue
        if chain and not (chain[-1] in item.inputs and len(consumers.get(chain[-1], ())) == 1):
            close()
        chain.append(item)
    close()
    return result


def divided(items: Sequence[Item], most: int, place: Mapping[Node, int]) -> list[Item]:
    """The items in at most about ``most`` stretches, each one item, with the same number of items in each."""
    size = -(-len(items) // most)
    if size == 1:
        return list(items)
    return [_part(list(items[i : i + size]), place) for i in range(0, len(items), size)]


def _part(items: list[Item], place: Mapping[Node, int]) -> Group:
    part = Group("part")
    part.items = items
    part.start, part.stop = _span(items, place)
    ops = Counter(node.op for node in operations_in(part))
    first, last = items[0], items[-1]
    paths = [item.path if isinstance(item, Group) else item.scope.path for item in (first, last)]
    part.path = common_path(paths)
    if ops.total() <= 4:
        part.title = "·".join(node.op for node in operations_in(part))
    else:
        part.title = ", ".join(f"{count:,} {op}" for op, count in ops.most_common(3)) + (", …" if len(ops) > 3 else "")
    return part


def counted(page: Group, is_open: Callable[[Group], bool], most: int) -> int:
    """How many cards of operations a page has if these groups are open; it stops counting beyond ``most``."""
    count, stack = 0, [page]
    while stack and count <= most:
        group = stack.pop()
        for item in group.items:
            if isinstance(item, Group) and is_open(item):
                stack.append(item)
            else:
                count += 1
    return count
