"""The small mutations that a source file admits.

Each is an edit of one place in the text, so the lines before it keep their numbers. Annotations, docstrings, assertions
and the texts of messages are left alone.
"""

from __future__ import annotations

import ast
import io
import tokenize
from typing import NamedTuple

__all__ = ["Edit", "changes", "edits"]

_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.MatMult: ("@", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
# Not a return or the first use of a name: without them nearly everything fails.
_REMOVED = (ast.Expr, ast.AugAssign, ast.Raise, ast.Break, ast.Continue, ast.Delete)
_TYPES = {"int", "float", "complex", "str", "bool", "tuple", "list", "dict", "None", "bytes", "object", "Any"}


class Edit(NamedTuple):
    """One mutation.

    Attributes:
        line: where it is, from 1.
        start: the first byte that it replaces, in the whole text.
        end: the byte after the last one.
        new: what stands there instead.
        what: the mutation in words.
        reach: the lines of which one must run for the mutation to matter; empty for the whole file.
    """

    line: int
    start: int
    end: int
    new: str
    what: str
    reach: range

    def applied(self, text: str) -> str:
        """The text with this mutation."""
        data = text.encode()
        return (data[: self.start] + self.new.encode() + data[self.end :]).decode()


class _Finder:
    """Walks one file's tree and notes the mutations."""

    def __init__(self, text: str) -> None:
        self.lines = text.encode().splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.data = text.encode()
        self.found: list[Edit] = []

    def at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt | ast.arg)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)

    def note(self, node: ast.expr | ast.stmt, start: int, end: int, new: str, what: str, reach: range | None) -> None:
        line = self.data.count(b"\n", 0, start) + 1
        own = range(line, (node.end_lineno or line) + 1) if isinstance(node, ast.stmt) else range(line, line + 1)
        self.found.append(Edit(line, start, end, new, what, own if reach is None else reach))

    def between(self, left: ast.expr, right: ast.expr, old: str) -> tuple[int, int]:
        """Where the operator ``old`` stands between two operands."""
        first, last = self.span(left)[1], self.span(right)[0]
        gap = self.data[first:last].decode()
        words = old.split()
        # Comments and parentheses may stand in the gap, too; inside brackets any of it is a run of tokens.
        code = "(" + gap.replace("(", " ").replace(")", " ") + "\n)"
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
        rows = [0]
        for row in code.splitlines(keepends=True):
            rows.append(rows[-1] + len(row))
        places = [
            (rows[t.start[0] - 1] + t.start[1] - 1, rows[t.end[0] - 1] + t.end[1] - 1)
            for t in tokens
            if t.string in words
        ]
        start, end = places[0][0], places[len(words) - 1][1]
        return first + len(gap[:start].encode()), first + len(gap[:end].encode())

    # A reach of None stands for the mutation's own lines.
    def visit(self, node: ast.AST, reach: range | None) -> None:
        """Note the mutations of a node and of what is in it."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                if all(isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in body):
                    return  # an overload, a protocol
                whole = range(node.body[0].lineno, (node.end_lineno or 0) + 1)
                for part in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
                    if part is not None:
                        self.visit(part, whole)
                self.statements(node.body, None)
                return
            case ast.ClassDef():
                for keyword in node.keywords:
                    self.visit(keyword.value, range(0))
                self.statements(node.body, range(0))
                return
            case ast.Lambda():
                for part in (*node.args.defaults, *node.args.kw_defaults):
                    if part is not None:
                        self.visit(part, reach)
                self.visit(node.body, reach)
                return
            case ast.Assert() | ast.Import() | ast.ImportFrom() | ast.JoinedStr():
                return
            case ast.Raise():
                return  # its removal is a mutation of its block; its message is none
            case ast.AnnAssign():
                if node.value is not None:
                    self.visit(node.value, reach)
                return
            case ast.If() | ast.While():
                if "TYPE_CHECKING" in ast.dump(node.test):
                    return
                self.negated(node.test, reach)
                self.visit(node.test, reach)
                self.statements(node.body, reach)
                self.statements(node.orelse, reach)
                return
            case ast.IfExp():
                self.negated(node.test, reach)
            case ast.Compare():
                operands = [node.left, *node.comparators]
                for left, op, right in zip(operands, node.ops, operands[1:], strict=False):
                    old, others = _COMPARISONS[type(op)]
                    start, end = self.between(left, right, old)
                    for new in others:
                        self.note(node, start, end, new, f"{old} -> {new}", reach)
            case ast.BoolOp():
                old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    start, end = self.between(left, right, old)
                    self.note(node, start, end, new, f"{old} -> {new}", reach)
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                old, new = _ARITHMETIC[type(node.op)]
                types = isinstance(node.op, ast.BitOr) and any(
                    isinstance(side, ast.Name) and side.id in _TYPES for side in (node.left, node.right)
                )
                if not types:
                    start, end = self.between(node.left, node.right, old)
                    self.note(node, start, end, new, f"{old} -> {new}", reach)
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                start, _ = self.span(node)
                self.note(node, start, self.span(node.operand)[0], "", "an operator removed", reach)
            case ast.Constant(value=bool()):
                self.note(node, *self.span(node), str(not node.value), f"{node.value} -> {not node.value}", reach)
            case ast.Constant(value=int() | float()):
                for new in (node.value + 1, node.value - 1):
                    text = repr(new) if new >= 0 else f"({new!r})"
                    self.note(node, *self.span(node), text, f"{node.value} -> {new}", reach)
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and all(isinstance(part, ast.stmt) for part in value):
                self.statements(value, reach)
            else:
                for part in value if isinstance(value, list) else [value]:
                    if isinstance(part, ast.AST):
                        self.visit(part, reach)

    def negated(self, test: ast.expr, reach: range | None) -> None:
        start, end = self.span(test)
        condition = self.data[start:end].decode()
        if not isinstance(test, ast.Compare) or len(test.ops) > 1:
            self.note(test, start, end, f"(not ({condition}))", "a condition turned around", reach)

    def statements(self, body: list[ast.stmt], reach: range | None) -> None:
        """Note the removal of each statement, and the mutations in them."""
        for statement in body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            if isinstance(target, ast.Name) and target.id in ("__all__", "__slots__"):
                continue
            if isinstance(statement, _REMOVED) or isinstance(target, ast.Attribute | ast.Subscript):
                start, end = self.span(statement)
                shown = " ".join(self.data[start:end].decode().split())
                self.note(statement, start, end, "pass", f"removed: {shown:.70}", reach)
            self.visit(statement, reach)


def edits(text: str) -> list[Edit]:
    """Every mutation of a file, in the order of its lines; some may not parse (see :func:`changes`)."""
    finder = _Finder(text)
    finder.statements(ast.parse(text).body, range(0))
    return sorted(finder.found)


def changes(text: str, edit: Edit) -> bool:
    """Whether the edited text still parses, to another program."""
    try:
        return ast.dump(ast.parse(edit.applied(text))) != ast.dump(ast.parse(text))
    except SyntaxError:  # a parenthesis around an operand was lost
        return False
