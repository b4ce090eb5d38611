"""Every message that the tests provoke, on one page for reading.

python -m tests.words [--out build/words.md]

Runs the tests that use ``pytest.raises`` or ``pytest.warns``, among them the refusals in the tables of cases, and
collects the errors and warnings. Messages that differ only in the operation, numbers, paths or addresses appear once.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path
from traceback import walk_stack, walk_tb
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = [f"{ROOT / package}{os.sep}" for package in ("tensorgrad", "nn")]
FOLDERS = sorted({str(ROOT), tempfile.gettempdir(), str(Path.home()), sys.prefix, sys.base_prefix}, key=len)[::-1]
PATH = re.compile("(?:" + "|".join(map(re.escape, FOLDERS)) + r")[/\\][^\s'\"`:,;)]*")


class Message(NamedTuple):
    """One message, and where in the library it was raised."""

    file: str
    line: int
    kind: str
    text: str


def shown(text: str) -> str:
    """The text with ``...`` for this machine's folders and for memory addresses."""
    text = PATH.sub(lambda found: ".../" + re.split(r"[/\\]", found[0])[-1], text)
    return re.sub(r"\b0x[0-9a-f]{6,}", "0x...", text)


def alike(message: Message) -> tuple[str, str, str]:
    """A key that is equal for messages that differ only in the operation, in values or in file names."""
    text = re.sub(r"\.\.\./[^\s'\"`:,;)]*", "FILE", message.text)
    if speaker := re.match(r"[\w.]+", text):
        text = re.sub(rf"(?<![\w.]){re.escape(speaker[0])}\b", "NAME", text).removeprefix("NAME: ")
    text = re.sub(r"^\w+ (?=must be )|\w+(?= \(?(?:called )?at FILE)", "NAME", text)
    text = re.sub(r"'[^'\n]*'", "0", text)
    text = re.sub(r"\b(?:float|int|uint|complex)\d+\b|\bbool\b", "DTYPE", text)
    text = re.sub(r"\b(?:True|False|None|inf|nan)\b|[-+]?\d[\d_,]*\.?\d*(?:e[-+]?\d+)?j?\b", "0", text)
    text = re.sub(r"[(\[]0?(?:, ?0)*,?[)\]]", "0", text)
    return message.file, message.kind, text


def library_line(frames: list[tuple[FrameType, int]]) -> tuple[str, int] | None:
    """File and line of the innermost frame in the library, or None."""
    for frame, line in reversed(frames):
        if frame.f_code.co_filename.startswith(tuple(LIBRARY)):
            return str(Path(frame.f_code.co_filename).relative_to(ROOT)), line
    return None


class Collector:
    """A pytest plugin that runs only the tests that expect a message, and collects the messages."""

    def __init__(self) -> None:
        self.messages: dict[tuple[str, str, str], Message] = {}
        self.failed = 0

    def keep(self, frames: list[tuple[FrameType, int]], error: BaseException) -> None:
        if place := library_line(frames):
            text = shown("\n".join([str(error), *getattr(error, "__notes__", ())]))
            message = Message(*place, type(error).__name__, text)
            if text:
                self.messages.setdefault(alike(message), message)

    def pytest_configure(self) -> None:
        """Listen to ``pytest.raises``, in both its forms, and to warnings."""
        leave = pytest.RaisesExc.__exit__
        warn = warnings.warn

        def leave_and_keep(
            context: Any, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> bool:
            if error is not None:
                self.keep(list(walk_tb(trace)), error)
            return leave(context, kind, error, trace)

        def warn_and_keep(
            message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **more: Any
        ) -> None:
            frames = list(walk_stack(sys._getframe(1)))[::-1]
            made = message if isinstance(message, Warning) else (category or UserWarning)(message)
            if frames[-1][0].f_code.co_filename.startswith(tuple(LIBRARY)):
                self.keep(frames, made)
            warn(message, category, stacklevel + 1, source, **more)

        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(pytest.RaisesExc, "__exit__", leave_and_keep)
        self.patch.setattr(warnings, "warn", warn_and_keep)

    def pytest_unconfigure(self) -> None:
        self.patch.undo()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Deselect the tests that expect no message."""
        items[:] = [item for item in items if isinstance(item, pytest.Function) and expects_a_message(item)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed += report.failed


@cache
def expecting(path: Path) -> frozenset[str]:
    """The functions in a file that use ``raises`` or ``warns``, directly or through others in the file."""
    functions = {f.name: f for f in ast.walk(ast.parse(path.read_text())) if isinstance(f, ast.FunctionDef)}
    words = {name: set(re.findall(r"\w+", ast.unparse(function))) for name, function in functions.items()}
    found = {"raises", "warns"}
    while more := {name for name in functions if name not in found and words[name] & found}:
        found |= more
    return frozenset(found)


def expects_a_message(item: pytest.Function) -> bool:
    return not expecting(item.path).isdisjoint({item.originalname, *item.fixturenames})


def page(messages: list[Message]) -> str:
    """The messages by file, each file's in the order of its lines."""
    lines = [
        "# Messages",
        "",
        f"The {len(messages)} messages that the tests provoke, by the file that raises them.",
        "",
    ]
    file = ""
    for message in sorted(messages):
        if message.file != file:
            file = message.file
            lines += [f"## {file}", ""]
        lines += [f"`{message.kind}`, line {message.line}", ""]
        lines += [f"> {line}".rstrip() + "  " for line in message.text.splitlines()] + [""]
    return "\n".join(lines)


def main() -> None:
    """Run the tests, write the page, and print its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "words.md")
    options = parser.parse_args()
    collector = Collector()
    arguments = [str(ROOT / "tests"), "-q", "--no-summary", "-p", "no:xdist", "-p", "no:cacheprovider"]
    code = pytest.main([*arguments, "-m", "not slow and not notebook"], plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SystemExit(code)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page(list(collector.messages.values())), encoding="utf-8")
    if collector.failed:
        print(f"{collector.failed} tests failed, so some messages may be missing")
    print(f"wrote {options.out}: {len(collector.messages)} messages")


if __name__ == "__main__":
    main()
