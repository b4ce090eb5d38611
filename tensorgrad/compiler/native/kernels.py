"""LLVM code for loops: a nest computes several results with the same loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from .functions import function_of, name_of, text_of
from .nodes import Access, Affine, Flat, Index, Node, Place, accesses, element, inner_index, parts_of_index, piece_of
from .values import constant, declarations, intrinsic

__all__ = ["COMPARISONS", "LOGICAL", "OPERATIONS", "REDUCTIONS", "Module", "Root"]

_AT_ONCE = 4  # elements along an outer axis that are reduced together
_TYPES = {"f4": "float", "f8": "double", "b1": "i1", "i4": "i32", "i8": "i64"}
_IN_MEMORY = {**_TYPES, "b1": "i8"}
COMPARISONS = {
    np.greater: ("ogt", "sgt"),
    np.greater_equal: ("oge", "sge"),
    np.less: ("olt", "slt"),
    np.less_equal: ("ole", "sle"),
    np.equal: ("oeq", "eq"),
    np.not_equal: ("une", "ne"),
}
LOGICAL: dict[Any, str] = {
    np.logical_and: "and",
    np.logical_or: "or",
    np.logical_xor: "xor",
    np.logical_not: "not",
    np.bitwise_and: "and",
    np.bitwise_or: "or",
    np.bitwise_xor: "xor",
    np.invert: "not",
}
_INTRINSICS: dict[Any, str] = {
    np.sqrt: "sqrt",
    np.absolute: "fabs",
    np.fabs: "fabs",
    np.copysign: "copysign",
    np.floor: "floor",
    np.ceil: "ceil",
    np.trunc: "trunc",
    np.rint: "rint",
}
OPERATIONS = {
    *(np.add, np.subtract, np.multiply, np.divide, np.negative, np.positive, np.square, np.reciprocal, np.sign),
    *(np.maximum, np.minimum, np.isfinite, np.isnan, np.isinf),
    *(*COMPARISONS, *LOGICAL, *_INTRINSICS),
}
REDUCTIONS = {np.add: 0.0, np.maximum: float("-inf"), np.minimum: float("inf"), np.multiply: 1.0}


@cache
def code_of(dtype: Any) -> str:
    """The kind and size of a dtype, as in ``f4``."""
    return np.dtype(dtype).str[1:]


@dataclass(eq=False)
class Root:
    """A node that is written to memory: by itself, or as the sum or the like of another over some axes."""

    node: Node  # what is computed for each element
    place: Place  # where the result goes
    ufunc: Any = None  # of a reduction
    axes: tuple[int, ...] = ()
    keepdims: bool = False
    initial: float | None = None
    flat: bool = False  # one loop over the positions in C order
    marks: Node | None = None  # the node whose value lies there afterwards
    after: Root | None = None  # what writes to the same memory before
    _known: tuple[Any, list[Access]] | None = None

    @property
    def domain(self) -> tuple[int, ...]:
        """The lengths of the loops."""
        return (self.node.size,) if self.flat else self.node.shape

    @property
    def index(self) -> Index:
        """The index of the element that the loops are at."""
        parts = tuple(Affine(0, ((k, 1),)) if n > 1 else Affine(0) for k, n in enumerate(self.domain))
        return Flat(parts[0]) if self.flat and len(self.node.shape) != 1 else parts

    @property
    def loops(self) -> Any:
        """Equal for roots that could share loops."""
        return self.domain, self.ufunc is None, self.axes

    def target(self) -> Affine:
        """The offset of the result."""
        index = self.index
        if self.ufunc is not None:
            assert isinstance(index, tuple)
            kept = [part for k, part in enumerate(index) if k not in self.axes]
            if self.keepdims:
                kept = [Affine(0) if k in self.axes else part for k, part in enumerate(index)]
            index = tuple(kept)
        offset = self.place.at(index)
        if offset is None:
            offset = self.place.at(parts_of_index(self.node, index, self.domain))
        assert offset is not None
        return offset

    @property
    def own(self) -> bool:
        """Is this where the node gets its place? Otherwise it may have one already."""
        return self.ufunc is None and self.marks is self.node

    def reads(self) -> list[Access]:
        """What an element is computed from, in memory. Raises Unresolved."""
        key = (self.flat, self.node.place)
        if self._known is None or self._known[0] != key:
            self._known = (key, list(accesses(self.node, self.index, self.domain, self.own)))
        return self._known[1]

    def slots(self) -> set[int]:
        """The slots of what is read and of the result. Raises Unresolved."""
        return {self.place.slot, *(access.node.place.slot for access in self.reads() if access.node.place is not None)}


class Module:
    """The text of an LLVM module."""

    def __init__(self) -> None:
        self._functions: list[str] = []
        self._nests: dict[str, str] = {}  # the names of nests, by their text
        self._used: set[tuple[np.ufunc, str]] = set()  # exponentials and the like
        self._count = 0

    def __str__(self) -> str:
        used = sorted(text_of(ufunc, kind) for ufunc, kind in self._used)
        nests = [f"define internal void @{name}{text}" for text, name in self._nests.items()]
        products = [
            f"declare void @gemm_{code}(i32, i32, i32, i64, i64, i64, {t}, ptr, i64, ptr, i64, {t}, ptr, i64)"
            for code, t in (("f4", "float"), ("f8", "double"))
        ]
        return "\n".join([*declarations(), *products, *used, *nests, *self._functions])

    def segment(self, name: str, calls: Sequence[str]) -> None:
        """Add a function that makes these calls."""
        body = "\n".join(f"  {line}" for line in calls)
        self._functions.append(f"define void @{name}(ptr %pointers, ptr %numbers) {{\nentry:\n{body}\n  ret void\n}}")

    def nest(self, roots: Sequence[Root]) -> list[str]:
        """The lines that call the function of a nest; one with the same text serves several nests."""
        self._count += 1
        nest = _Nest(roots)
        text = nest.text()
        name = self._nests.setdefault(text, f"nest{len(self._nests)}")
        self._used |= nest.used
        lines, given = [], []
        for number, (slot, start) in enumerate(nest.places.items()):
            pointer = f"%n{self._count}x{number}"
            lines += [
                f"{pointer}s = getelementptr ptr, ptr %pointers, i64 {slot}",
                f"{pointer}b = load ptr, ptr {pointer}s",
                f"{pointer} = getelementptr i8, ptr {pointer}b, i64 {start}",
            ]
            given.append(f"ptr {pointer}")
        return [*lines, f"call void @{name}({', '.join([*given, 'ptr %numbers'])})"]

    def product(self, dtype: Any, a: Place, b: Place, out: Place) -> list[str]:
        """The lines that multiply two matrices. Raises ValueError if BLAS cannot read or write them."""
        self._count += 1
        kind = _TYPES[code_of(dtype)]
        (m, k), n = a.shape, b.shape[1]
        (flip_a, lead_a), (flip_b, lead_b), (flipped, lead) = (_leading(p) for p in (a, b, out))
        if flipped:
            raise ValueError("the result is not in C order")
        lines: list[str] = []
        pointers: list[str] = []
        for place in (a, b, out):
            name = f"%g{self._count}x{len(pointers)}"
            lines += [
                f"{name}s = getelementptr ptr, ptr %pointers, i64 {place.slot}",
                f"{name}b = load ptr, ptr {name}s",
                f"{name} = getelementptr i8, ptr {name}b, i64 {place.offset}",
            ]
            pointers.append(name)
        trans = [112 if flip else 111 for flip in (flip_a, flip_b)]
        lines.append(
            f"call void @gemm_{code_of(dtype)}(i32 101, i32 {trans[0]}, i32 {trans[1]}, i64 {m}, i64 {n}, i64 {k}, "
            f"{kind} 1.0, ptr {pointers[0]}, i64 {lead_a}, ptr {pointers[1]}, i64 {lead_b}, "
            f"{kind} 0.0, ptr {pointers[2]}, i64 {lead})"
        )
        return lines


def _leading(place: Place) -> tuple[bool, int]:
    """Whether BLAS reads a matrix transposed, and its leading dimension. Raises ValueError if it cannot read it."""
    (rows, columns), size = place.shape, place.itemsize
    across, along = place.strides
    if (along == size or columns == 1) and across % size == 0 and (across >= columns * size or rows == 1):
        return False, max(across // size, columns)
    if (across == size or rows == 1) and along % size == 0 and (along >= rows * size or columns == 1):
        return True, max(along // size, rows)
    raise ValueError(f"BLAS cannot read strides {place.strides}")


class _Nest:
    """The function for one nest: loops over the domain of its roots, the innermost along memory.

    Attributes:
        places: for each of its pointers, the slot, and where in its memory the pointer points to.
    """

    def __init__(self, roots: Sequence[Root]) -> None:
        self.roots = roots
        self.lengths = roots[0].domain
        self.reads = [root.reads() for root in roots]
        used = [(a.node.place, a.offset) for reads in self.reads for a in reads if a.node.place is not None]
        self.places: dict[int, int] = {}
        for place, offset in [*used, *((root.place, root.target()) for root in roots)]:
            self.places[place.slot] = min(offset.const, self.places.get(place.slot, offset.const))
        self.numbers = {slot: number for number, slot in enumerate(self.places)}
        self.used: set[tuple[np.ufunc, str]] = set()
        self.registers: list[str] = []
        self.lines: list[str] = []
        self.serial = 0
        self.loops: dict[int, str] = {}
        self.ranges: dict[int, tuple[int, int, int]] = {}  # of loops that do not run from 0 by 1
        self.known: dict[Any, str] = {}
        self.block = "entry"

    # --- loops ------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The function."""
        order = self._order()
        reducing = self.roots[0].ufunc is not None
        axes = set(self.roots[0].axes) if reducing else set()
        inner = len(order)  # from here on, all loops are reduced, so their results stay in registers
        while reducing and inner and order[inner - 1] in axes:
            inner -= 1
        outer = [axis for axis in order[:inner] if axis in axes]
        if outer:
            self._loops([axis for axis in order if axis not in axes], 0, self._initialise)
        if outer and inner == len(order):
            self._through_memory(order, outer[-1])
        elif reducing:
            self._loops(order[:inner], 0, lambda: self._reduce(order[inner:], bool(outer)))
        else:
            self._loops(order, 0, self._store_all)
        given = ", ".join([*(f"ptr noalias %p{k}" for k in range(len(self.places))), "ptr noalias %numbers"])
        body = "\n".join([*self.registers, *self.lines])
        return f"({given}) noinline nounwind {{\nentry:\n{body}\n  ret void\n}}"

    def _order(self) -> list[int]:
        """The loops, from the one that steps farthest through memory."""
        steps = dict.fromkeys(range(len(self.lengths)), 0)
        for reads in self.reads:
            for access in reads:
                for loop, factor in access.offset.terms:
                    steps[loop] += abs(factor)
        if not any(steps.values()):
            for root in self.roots:
                for loop, factor in root.target().terms:
                    steps[loop] += abs(factor)
        axes = [k for k, n in enumerate(self.lengths) if n > 1]
        return sorted(axes, key=lambda k: -steps[k])

    def _loops(self, order: list[int], depth: int, body: Any) -> None:
        if depth == len(order):
            self.known.clear()
            body()
            return
        axis = order[depth]
        number = self._next()
        head, done = f"head{number}", f"done{number}"
        before = self.block
        self._emit(f"br label %{head}")
        self._label(head)
        start, stop, by = self.ranges.get(axis, (0, self.lengths[axis], 1))
        variable, step = f"%i{number}", f"%i{number}n"
        place = len(self.lines)
        self.lines.append("")
        self.loops[axis] = variable
        self._loops(order, depth + 1, body)
        del self.loops[axis]
        self._emit(f"{step} = add nuw nsw i64 {variable}, {by}")
        self._emit(f"%c{number} = icmp ult i64 {step}, {stop}")
        self.lines[place] = f"  {variable} = phi i64 [ {start}, %{before} ], [ {step}, %{self.block} ]"
        self._emit(f"br i1 %c{number}, label %{head}, label %{done}")
        self._label(done)
        self.known.clear()

    def _store_all(self) -> None:
        values = [(root, self.value(root.node, root.index, root.own)) for root in self.roots]
        for root, value in values:
            self._store(root.place.slot, root.target(), value, root.node.dtype)

    def _initialise(self) -> None:
        for root in self.roots:
            self._store(root.place.slot, root.target(), self._start(root), root.node.dtype)

    def _start(self, root: Root) -> str:
        initial = REDUCTIONS[root.ufunc] if root.initial is None else root.initial
        return self._constant(initial, root.node.dtype)

    def _through_memory(self, order: list[int], axis: int) -> None:
        """Add several elements along an axis at a time to the results in memory, which are read and written less."""
        length = self.lengths[axis]
        whole = length - length % _AT_ONCE
        for start, stop, by in ((0, whole, _AT_ONCE), (whole, length, 1)):
            if start < stop:
                self.ranges[axis] = (start, stop, by)
                self._loops(order, 0, partial(self._add_to_memory, axis, by))
        del self.ranges[axis]

    def _add_to_memory(self, axis: int, count: int) -> None:
        first, totals = self.loops[axis], [""] * len(self.roots)
        for k in range(count):
            if k:
                self.loops[axis] = self._assign(f"add nuw nsw i64 {first}, {k}")
                self.known.clear()
            values = [self.value(root.node, root.index, root.own) for root in self.roots]
            pairs = zip(self.roots, totals, values, strict=True)
            totals = [self._combined(root, old, value) if k else value for root, old, value in pairs]
        self.loops[axis] = first
        for root, total in zip(self.roots, totals, strict=True):
            before = self._load(root.place.slot, root.target(), root.node.dtype)
            self._store(root.place.slot, root.target(), self._combined(root, before, total), root.node.dtype)

    def _reduce(self, inner: list[int], through_memory: bool) -> None:
        """Reduce the inner loops in registers, then store the result, or combine it with what is in memory."""
        accumulators = []
        for root in self.roots:
            kind = _TYPES[code_of(root.node.dtype)]
            name = f"%a{self._next()}"
            if inner:
                self.registers.append(f"  {name} = alloca {kind}")
                self._emit(f"store {kind} {self._start(root)}, ptr {name}")
            accumulators.append(name)
        if inner:

            def step() -> None:
                for root, name in zip(self.roots, accumulators, strict=True):
                    kind = _TYPES[code_of(root.node.dtype)]
                    value = self.value(root.node, root.index, root.own)
                    old = self._assign(f"load {kind}, ptr {name}")
                    self._emit(f"store {kind} {self._combined(root, old, value, loose=True)}, ptr {name}")

            self._loops(inner, 0, step)
        for root, name in zip(self.roots, accumulators, strict=True):
            kind = _TYPES[code_of(root.node.dtype)]
            value = self._assign(f"load {kind}, ptr {name}") if inner else self.value(root.node, root.index, root.own)
            if through_memory:
                value = self._combined(root, self._load(root.place.slot, root.target(), root.node.dtype), value)
            elif not inner:
                value = self._combined(root, self._start(root), value)
            self._store(root.place.slot, root.target(), value, root.node.dtype)

    def _combined(self, root: Root, old: str, value: str, loose: bool = False) -> str:
        return self._operation(root.ufunc, [old, value], root.node.dtype, "reassoc nsz " if loose else "")

    # --- values -----------------------------------------------------------------------------------------

    def value(self, node: Node, index: Index, own: bool = False) -> str:
        """The name of an element's value; ``own`` computes it even if it has a place in memory."""
        key = (node, index)
        if key in self.known:
            return self.known[key]
        made = self._made(node, index, own)
        self.known[key] = made
        return made

    def _made(self, node: Node, index: Index, own: bool) -> str:
        if node.place is not None and not own:
            return self._load(node.place.slot, element(node, index, self.lengths), node.dtype)
        if node.op == "constant":
            return self._constant(node.attribute, node.dtype)
        if node.op == "number":
            pointer = self._assign(f"getelementptr double, ptr %numbers, i64 {node.attribute}")
            value = self._assign(f"load double, ptr {pointer}")
            return self._cast(value, np.dtype(np.float64), node.dtype)
        if node.op == "concatenate":
            return self.value(*piece_of(node, index, self.lengths))
        inner = [self.value(x, inner_index(node, k, index, self.lengths)) for k, x in enumerate(node.inputs)]
        if node.op == "cast":
            return self._cast(inner[0], node.inputs[0].dtype, node.dtype)
        if node.op == "apply":
            return self._operation(node.attribute, inner, node.inputs[-1].dtype, "")
        return inner[0]

    def _operation(self, ufunc: Any, x: list[str], dtype: np.dtype[Any], flags: str) -> str:
        kind = _TYPES[code_of(dtype)]
        real = dtype.kind == "f"
        prefix = f"f{{}} {flags}{kind}" if real else f"{{}} {kind}"
        if ufunc in COMPARISONS:
            real_test, whole_test = COMPARISONS[ufunc]
            return self._assign(f"{f'fcmp {real_test}' if real else f'icmp {whole_test}'} {kind} {x[0]}, {x[1]}")
        if ufunc is np.where:
            return self._assign(f"select i1 {x[0]}, {kind} {x[1]}, {kind} {x[2]}")
        if ufunc in (np.add, np.subtract, np.multiply):
            name = {np.add: "add", np.subtract: "sub", np.multiply: "mul"}[ufunc]
            return self._assign(f"{prefix.format(name)} {x[0]}, {x[1]}")
        if ufunc is np.square:
            return self._assign(f"{prefix.format('mul')} {x[0]}, {x[0]}")
        if ufunc is np.divide:
            return self._assign(f"fdiv {kind} {x[0]}, {x[1]}")
        if ufunc is np.reciprocal:
            return self._assign(f"fdiv {kind} {constant(1.0, kind)}, {x[0]}")
        if ufunc is np.negative:
            return self._assign(f"fneg {kind} {x[0]}")
        if ufunc is np.positive:
            return x[0]
        if ufunc in _INTRINSICS or function_of(ufunc) is not None:
            name = name_of(ufunc, kind)
            if ufunc not in _INTRINSICS:
                self.used.add((ufunc, kind))
            else:
                name = intrinsic(_INTRINSICS[ufunc], kind)
            return self._assign(f"call {kind} @{name}({', '.join(f'{kind} {each}' for each in x)})")
        if ufunc in (np.maximum, np.minimum):  # a NaN wins; the sign of zero is open, as in NumPy
            name = intrinsic("maximum" if ufunc is np.maximum else "minimum", kind)
            return self._assign(f"call nsz {kind} @{name}({kind} {x[0]}, {kind} {x[1]})")
        if ufunc is np.sign:
            zero, one, less = (constant(number, kind) for number in (0.0, 1.0, -1.0))
            up, down, missing = (self._assign(f"fcmp {test} {kind} {x[0]}, {zero}") for test in ("ogt", "olt", "uno"))
            made = self._assign(f"select i1 {down}, {kind} {less}, {kind} {zero}")
            made = self._assign(f"select i1 {up}, {kind} {one}, {kind} {made}")
            return self._assign(f"select i1 {missing}, {kind} {x[0]}, {kind} {made}")
        if ufunc is np.isnan:
            return self._assign(f"fcmp uno {kind} {x[0]}, {x[0]}")
        if ufunc is np.isfinite:
            rest = self._assign(f"fsub {kind} {x[0]}, {x[0]}")
            return self._assign(f"fcmp ord {kind} {rest}, {rest}")
        if ufunc is np.isinf:
            size = self._assign(f"call {kind} @{intrinsic('fabs', kind)}({kind} {x[0]})")
            return self._assign(f"fcmp oeq {kind} {size}, {constant(np.inf, kind)}")
        if LOGICAL[ufunc] == "not":
            return self._assign(f"xor i1 {x[0]}, true")
        return self._assign(f"{LOGICAL[ufunc]} i1 {x[0]}, {x[1]}")

    def _cast(self, value: str, old: np.dtype[Any], new: np.dtype[Any]) -> str:
        if old == new:
            return value
        a, b = _TYPES[code_of(old)], _TYPES[code_of(new)]
        if new.kind == "b":
            test = "fcmp une" if old.kind == "f" else "icmp ne"
            return self._assign(f"{test} {a} {value}, {'0.0' if old.kind == 'f' else '0'}")
        if new.kind == "f":
            how = {"f": "fpext" if new.itemsize > old.itemsize else "fptrunc", "b": "uitofp"}.get(old.kind, "sitofp")
        else:
            how = {"b": "zext", "f": "fptosi"}.get(old.kind, "sext" if new.itemsize > old.itemsize else "trunc")
        return self._assign(f"{how} {a} {value} to {b}")

    def _constant(self, value: Any, dtype: np.dtype[Any]) -> str:
        if dtype.kind == "b":
            return "true" if value else "false"
        if dtype.kind != "f":
            return str(int(value))
        return constant(value, _TYPES[code_of(dtype)])

    # --- memory -----------------------------------------------------------------------------------------

    def _pointer(self, slot: int, offset: Affine) -> str:
        total = str(offset.const - self.places[slot])
        for loop, factor in offset.terms:
            step = self.loops[loop]
            if factor != 1:
                step = self._assign(f"mul nsw i64 {step}, {factor}")
            total = self._assign(f"add nsw i64 {total}, {step}")
        return self._assign(f"getelementptr i8, ptr %p{self.numbers[slot]}, i64 {total}")

    def _load(self, slot: int, offset: Affine, dtype: np.dtype[Any]) -> str:
        kind = _IN_MEMORY[code_of(dtype)]
        value = self._assign(f"load {kind}, ptr {self._pointer(slot, offset)}")
        return self._assign(f"icmp ne i8 {value}, 0") if dtype.kind == "b" else value

    def _store(self, slot: int, offset: Affine, value: str, dtype: np.dtype[Any]) -> None:
        if dtype.kind == "b":
            value = self._assign(f"zext i1 {value} to i8")
        self._emit(f"store {_IN_MEMORY[code_of(dtype)]} {value}, ptr {self._pointer(slot, offset)}")

    # --- text -------------------------------------------------------------------------------------------

    def _next(self) -> int:
        self.serial += 1
        return self.serial

    def _emit(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def _assign(self, expression: str) -> str:
        name = f"%v{self._next()}"
        self._emit(f"{name} = {expression}")
        return name

    def _label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name
