"""A function in LLVM that transposes a matrix, tile by tile: each is loaded, turned in registers, and stored."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["transposition"]


def transposition(name: str, kind: str, size: int) -> str:
    """The definition of ``name(from, lead, to, rows, columns)``.

    It reads a matrix whose rows are ``lead`` elements apart, and writes its transpose without gaps.

    Args:
        name: what to call it.
        kind: the type of an element.
        size: of a tile, a power of 2.
    """
    tile = [f"%r{k} = load <{size} x {kind}>, ptr %f{k}, align 4" for k in range(size)]
    turned, rows = _turned(kind, size)
    given = "ptr noalias %from, i64 %lead, ptr noalias %to, i64 %rows, i64 %columns"
    return f"""define internal void @{name}({given}) nounwind {{
entry:
  %down = and i64 %rows, -{size}
  %along = and i64 %columns, -{size}
  br label %row
row:
  %r = phi i64 [ 0, %entry ], [ %next.r, %row.end ]
  %tiled.r = icmp ult i64 %r, %down
  %tiled.c = icmp ne i64 %along, 0
  %tiled = and i1 %tiled.r, %tiled.c
  br i1 %tiled, label %tile, label %rest
tile:
  %c = phi i64 [ 0, %row ], [ %next.c, %tile ]
  %f.row = mul i64 %r, %lead
  %f.first = add i64 %f.row, %c
  %f0 = getelementptr {kind}, ptr %from, i64 %f.first
{_lines(f"%f{k} = getelementptr {kind}, ptr %f{k - 1}, i64 %lead" for k in range(1, size))}
{_lines(tile)}
{_lines(turned)}
  %t.row = mul i64 %c, %rows
  %t.first = add i64 %t.row, %r
  %t0 = getelementptr {kind}, ptr %to, i64 %t.first
{_lines(f"%t{k} = getelementptr {kind}, ptr %t{k - 1}, i64 %rows" for k in range(1, size))}
{_lines(f"store <{size} x {kind}> {row}, ptr %t{k}, align 4" for k, row in enumerate(rows))}
  %next.c = add nuw i64 %c, {size}
  %more.c = icmp ult i64 %next.c, %along
  br i1 %more.c, label %tile, label %rest
rest:
  %begin = phi i64 [ 0, %row ], [ %along, %tile ]
  %wide = select i1 %tiled.r, i64 {size}, i64 1
  %end.r = add nuw i64 %r, %wide
  %left = icmp ult i64 %begin, %columns
  br i1 %left, label %single, label %row.end
single:
  %x = phi i64 [ %r, %rest ], [ %x.after, %single ]
  %y = phi i64 [ %begin, %rest ], [ %y.after, %single ]
  %s.row = mul i64 %x, %lead
  %s.first = add i64 %s.row, %y
  %s = getelementptr {kind}, ptr %from, i64 %s.first
  %value = load {kind}, ptr %s
  %d.row = mul i64 %y, %rows
  %d.first = add i64 %d.row, %x
  %d = getelementptr {kind}, ptr %to, i64 %d.first
  store {kind} %value, ptr %d
  %y.next = add nuw i64 %y, 1
  %x.next = add nuw i64 %x, 1
  %ends = icmp eq i64 %y.next, %columns
  %y.after = select i1 %ends, i64 %begin, i64 %y.next
  %x.after = select i1 %ends, i64 %x.next, i64 %x
  %more = icmp ult i64 %x.after, %end.r
  br i1 %more, label %single, label %row.end
row.end:
  %next.r = add nuw i64 %r, %wide
  %more.r = icmp ult i64 %next.r, %rows
  br i1 %more.r, label %row, label %done
done:
  ret void
}}"""


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _turned(kind: str, size: int) -> tuple[list[str], list[str]]:
    """Lines that transpose the tile in ``%r0``, ``%r1`` and so on, and the names of the rows of the result.

    Halves, quarters and so on of two rows change places: the recursive transposition of four blocks.
    """
    rows = [f"%r{k}" for k in range(size)]
    lines: list[str] = []
    step = size // 2
    while step:
        for k in (k for k in range(size) if not k & step):
            one, other = rows[k], rows[k + step]
            upper = [c if not c & step else size + c - step for c in range(size)]
            lower = [c + step if not c & step else size + c for c in range(size)]
            for place, chosen in ((k, upper), (k + step, lower)):
                mask = ", ".join(f"i32 {c}" for c in chosen)
                rows[place] = f"%s{len(lines)}"
                pair = f"<{size} x {kind}> {one}, <{size} x {kind}> {other}"
                lines.append(f"{rows[place]} = shufflevector {pair}, <{size} x i32> <{mask}>")
        step //= 2
    return lines, rows
