"""Interrupt the library after each call and before each line, one after another.

    python -m tests.interrupting                    # every site of every case, first and last time it is reached
    python -m tests.interrupting fit save --sites 50 --seed 1
    python -m tests.interrupting --instructions     # before every instruction

A tracer stops at an instruction of the library's files and raises a signal there: SIGINT, or SIGALRM, whose handler
raises an exception of its own. Python itself looks for signals at fewer places. Afterwards every switch must be as
before. After SIGINT, the state must be that of before or after the step, and the same objects must go on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import dis
import faulthandler
import gc
import io
import linecache
import os
import re
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nn
import tensorgrad as tg
from nn._files import atomic
from tensorgrad.engine import mode

# Where a lock's with statement ends, Python looks for no signal, but a tracer can raise, and the lock stays locked.
_LOCK = re.compile(r"\bwith [\w.]*_lock\b")
LIBRARY = tuple(os.path.join(os.path.dirname(package.__file__), "") for package in (nn, tg))


class Alarm(BaseException):
    """What the handler of SIGALRM raises."""


class Site(NamedTuple):
    """An instruction, and which time it is reached."""

    file: str
    line: int
    function: str
    offset: int
    time: int

    def __str__(self) -> str:
        name = os.path.relpath(self.file, os.path.dirname(os.path.dirname(LIBRARY[0])))
        return f"{name}:{self.line} in {self.function}, instruction {self.offset}, time {self.time}"


class Case(NamedTuple):
    """An entry point.

    Attributes:
        make: makes fresh objects, always the same.
        act: what is interrupted.
        state: what must be of before or of after the act; anything that compares with ==.
        said: what the message of KeyboardInterrupt contains, unless it came ``outside``: before or after all is done.
        returns: whether Ctrl-C makes it return early instead of raising.
        late: whether the switches are as before only when the traceback is gone.
    """

    make: Callable[[Path], Any]
    act: Callable[[Any], object]
    state: Callable[[Any], Any]
    said: str = ""
    outside: Callable[[Any], bool] | None = None
    returns: bool = False
    late: bool = False


# --- the cases ------------------------------------------------------------------------------------------------------


class World:
    """A model, its optimiser, data, and a step."""

    def __init__(self, optimizer: Callable[[Any], Any] = lambda ps: nn.AdamW(ps, lr=1e-2), compiled: str = "") -> None:
        rng = np.random.default_rng(0)
        self.network = nn.MLP([4, 5, 3], activation="tanh", rng=0)
        self.optimizer = optimizer(self.network.parameters())
        self.X, self.y = rng.normal(size=(6, 4)).astype(np.float32), rng.integers(0, 3, 6)

        def step() -> Any:
            def closure() -> Any:
                self.optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self.network(self.X), self.y)
                loss.backward()
                return loss

            if isinstance(self.optimizer, nn.LBFGS):
                return self.optimizer.step(closure)
            loss = closure()
            self.optimizer.step()
            return loss

        self.step = tg.compile(step, backend=compiled) if compiled else step

    def state(self) -> Any:
        return repr(
            ([p.data.tolist() for p in self.network.parameters()], readable(self.optimizer.state_dict()["state"]))
        )


def readable(value: Any) -> Any:
    """A nest of arrays as lists."""
    if isinstance(value, dict):
        return {key: readable(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [readable(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


class Near:
    """The state of a world that runs native code: the step that is traced differs from it by rounding."""

    def __init__(self, world: World) -> None:
        state = world.optimizer.state_dict()["state"]
        parts = [p.data for p in world.network.parameters()] + [part for i in state for part in state[i].values()]
        self.numbers = np.concatenate([np.ravel(part) for part in parts])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Near) or self.numbers.shape != other.numbers.shape:
            return False
        return np.allclose(self.numbers, other.numbers, rtol=1e-4, atol=1e-7)

    def __hash__(self) -> int:
        return len(self.numbers)


def trained(compiled: str, *, traced: bool = True) -> Callable[[Path], World]:
    """A world after one step, so that the optimiser has its state."""

    def make(folder: Path) -> World:
        world = World(compiled=compiled)
        (world.step if traced else world.step.function)()
        return world

    return make


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda ps: nn.SGD(ps, lr=1e-2, momentum=0.9, nesterov=True),
    "Adam": lambda ps: nn.Adam(ps, lr=1e-2),
    "AdamW": lambda ps: nn.AdamW(ps, lr=1e-2),
    "NAdam": lambda ps: nn.NAdam(ps, lr=1e-2),
    "RMSprop": lambda ps: nn.RMSprop(ps, lr=1e-2, momentum=0.9),
    "Adagrad": lambda ps: nn.Adagrad(ps, lr=1e-2),
    "LBFGS": lambda ps: nn.LBFGS(ps, max_iter=2),
}


def optimizer_case(make: Callable[[Any], Any]) -> Case:
    def ready(folder: Path) -> World:
        world = World(make)
        world.step()
        nn.functional.cross_entropy(world.network(world.X), world.y).backward()
        return world

    return Case(ready, lambda w: w.step() if isinstance(w.optimizer, nn.LBFGS) else w.optimizer.step(), World.state)


def _leaves(folder: Path) -> Any:
    leaves = [tg.Tensor(float(i), requires_grad=True) for i in range(5)]
    return leaves


def _backward(leaves: Any) -> None:
    for leaf in leaves:
        leaf.grad = None
    tg.sum(tg.exp(tg.stack(leaves)) * 2.0).backward()


def _module(folder: Path) -> Any:
    network = nn.Sequential(nn.Linear(3, 4, rng=0), nn.ReLU(), nn.Dropout(0.5, rng=0), nn.Linear(4, 2, rng=1))
    network.eval()
    return network, np.ones((2, 3), np.float32)


class Trained(NamedTuple):
    """A model to fit, and its data."""

    model: Any
    X: Any
    y: Any


def _fitted(folder: Path) -> Trained:
    rng = np.random.default_rng(0)
    network = nn.MLP([3, 4, 2], rng=0)
    model = nn.Model(network, optimizer=nn.Adam(network.parameters(), lr=1e-2), metrics=["accuracy"], rng=0)
    return Trained(model, rng.normal(size=(10, 3)).astype(np.float32), rng.integers(0, 2, 10))


def _fit(made: Trained, on_interrupt: str) -> None:
    made.model.fit(
        made.X, made.y, epochs=2, batch_size=4, validation_split=0.2, progress=False, on_interrupt=on_interrupt
    )


def _fit_state(made: Trained) -> Any:
    """What holds after each fit, whether it was stopped or not."""
    history = made.model.history
    lengths = {len(column) for column in history.values()} | {len(c) for c in history.gradients.values()}
    steps = {entry["t"] for entry in made.model.optimizer.state_dict()["state"].values()}
    assert len(lengths) <= 1, f"the history has columns of lengths {lengths}"
    assert len(steps) <= 1, f"the parameters have had {steps} steps"
    assert not any(module.training for module in made.model.modules()) or not steps, "it is in training mode"
    return "whole"


def _not_running(made: Trained) -> bool:
    """Whether the run has not begun, or is over and complete."""
    history = made.model.history
    return (made.model.training and not history) or (not made.model.training and len(history) == 2)


def _saved(folder: Path) -> Any:
    world = World()
    world.step()
    path = folder / "model.npz"
    nn.save(path, World().network)
    return world, path


def _saved_state(made: Any) -> Any:
    _world, path = made
    assert sorted(os.listdir(path.parent)) == [path.name], f"files: {os.listdir(path.parent)}"
    return repr(readable(nn.load(path).model.state_dict()))


def _loaded(folder: Path) -> Any:
    saved = World()
    saved.step()
    path = folder / "model.npz"
    nn.save(path, saved.network, saved.optimizer)
    return World(), path


def _descriptor(folder: Path) -> None:
    with atomic.descriptor(str(folder), os.O_RDONLY):
        pass


def _blocks(made: Any) -> None:
    """Every block, as a user writes them."""
    with tg.no_grad(), tg.record_graph(), tg.debug(), tg.scope("net", "Net"), tg.uninterrupted(), tg.silenced():
        pass
    _decorated()


@tg.no_grad()
@tg.scope(None, "decorated")
@tg.silenced()
def _decorated() -> None:
    pass


def _generator(made: Any) -> None:
    """A generator that is closed inside a block, by its caller and by its end. It lives as long as this frame."""

    def numbers() -> Iterator[int]:
        with tg.no_grad():
            yield 1
            yield 2

    running = numbers()
    next(running)
    running.close()
    list(numbers())


OWN = {_blocks.__code__, _decorated.__wrapped__.__wrapped__.__wrapped__.__code__}  # type: ignore[attr-defined]

CASES: dict[str, Case] = {
    "blocks": Case(lambda folder: None, _blocks, lambda made: "nothing"),
    "generator": Case(lambda folder: None, _generator, lambda made: "nothing", late=True),
    "eager step": Case(trained(""), lambda w: w.step(), World.state),
    "backward": Case(_leaves, _backward, lambda leaves: repr([x.grad is None for x in leaves])),
    "trace": Case(trained("numpy", traced=False), lambda w: w.step(), World.state),
    "trace, native": Case(trained("native", traced=False), lambda w: w.step(), Near),
    "replay": Case(trained("numpy"), lambda w: w.step(), World.state),
    "replay, native": Case(trained("native"), lambda w: w.step(), Near),
    "module": Case(_module, lambda made: made[0](made[1]), lambda made: repr(made[0](made[1]).data.tolist())),
    **{f"optimizer {name}": optimizer_case(make) for name, make in OPTIMIZERS.items()},
    "grad": Case(
        lambda folder: _module(folder),
        lambda m: tg.grad(lambda n: n(m[1]).sum())(m[0]),
        lambda m: repr(m[0].state_dict()),
    ),
    "fit": Case(_fitted, lambda made: _fit(made, "raise"), _fit_state, "stopped after epoch", _not_running),
    "fit, returning": Case(_fitted, lambda made: _fit(made, "return"), _fit_state, "", None, returns=True),
    "save": Case(_saved, lambda made: nn.save(made[1], made[0].network, made[0].optimizer), _saved_state),
    "load": Case(_loaded, lambda made: nn.load(made[1], made[0].network, made[0].optimizer), lambda m: m[0].state()),
    "descriptor": Case(lambda folder: folder, _descriptor, lambda folder: "nothing"),
    "draw": Case(
        lambda folder: _module(folder), lambda made: str(tg.draw(made[0](made[1]).sum())), lambda made: "nothing"
    ),
}


# --- interrupting ---------------------------------------------------------------------------------------------------


def _tracer(at: Callable[[Any], None], wanted: Callable[[Any], bool]) -> Callable[..., Any]:
    def local(frame: Any, event: str, argument: Any) -> Any:
        if event == "opcode":
            at(frame)
        return local

    def calls(frame: Any, event: str, argument: Any) -> Any:
        own = frame.f_code in OWN or frame.f_code.co_qualname.startswith("_generator")
        if (own or frame.f_code.co_filename.startswith(LIBRARY)) and wanted(frame.f_code):
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return local
        return None

    return calls


def _place(frame: Any) -> tuple[str, int, str, int]:
    code = frame.f_code
    return code.co_filename, code.co_firstlineno, code.co_qualname, frame.f_lasti


def _after_calls_and_before_lines(code: Any) -> set[int]:
    """The offsets of instructions after a call, after the function's entry, and at the beginning of a line."""
    instructions = list(dis.get_instructions(code))
    after = {
        after.offset
        for before, after in pairwise(instructions)
        if before.opname.startswith(("CALL", "RESUME", "BEFORE_WITH", "JUMP_BACKWARD"))
    }
    return after | {start for start, _ in dis.findlinestarts(code)}


def sites(case: Case, folder: Path, *, instructions: bool = False) -> tuple[list[Site], list[Any]]:
    """The places in the library that the case reaches, first and last time; and the states before and after."""
    made = case.make(folder)
    before = case.state(made)
    counts: Counter[Any] = Counter()
    lines: dict[Any, int] = {}
    offsets: dict[Any, set[int]] = {}

    def count(frame: Any) -> None:
        line = frame.f_lineno  # None where a comprehension or an exit has none of its own
        if line is None or _LOCK.search(linecache.getline(frame.f_code.co_filename, line)):
            return
        if not instructions:
            if frame.f_code not in offsets:
                offsets[frame.f_code] = _after_calls_and_before_lines(frame.f_code)
            if frame.f_lasti not in offsets[frame.f_code]:
                return
        place = _place(frame)
        counts[place] += 1
        if counts[place] == 1:
            lines[place] = frame.f_lineno

    while not counts:  # Python 3.12 traces no instructions the first time that it is asked to
        made = case.make(folder)
        sys.settrace(_tracer(count, lambda code: True))
        try:
            case.act(made)
        finally:
            sys.settrace(None)
    states = [before, case.state(made)]
    case.act(made)
    states.append(case.state(made))
    found = [
        Site(file, lines[file, first, name, offset], name, offset, time)
        for (file, first, name, offset), most in counts.items()
        for time in sorted({1, most})
    ]
    return found, states


@contextlib.contextmanager
def interrupted(site: Site, number: int) -> Iterator[list[bool]]:
    """Raise a signal when the site is reached."""
    left, reached = [site.time], []

    def at(frame: Any) -> None:
        if frame.f_lasti == site.offset and not reached and frame.f_lineno == site.line:
            left[0] -= 1
            if not left[0]:
                reached.append(True)
                sys.settrace(None)
                signal.raise_signal(number)

    sys.settrace(_tracer(at, lambda c: c.co_filename == site.file and c.co_qualname == site.function))
    try:
        yield reached
    finally:
        sys.settrace(None)


def _switches() -> dict[str, Any]:
    """Everything that an interrupt may have left switched."""
    now = mode.current()
    names = [name for name in mode.Mode.__slots__ if name not in ("ended", "outer")]
    found: dict[str, Any] = {f"mode.{name}": getattr(now, name) for name in names}
    found["errors"] = np.geterr()
    found["SIGINT"] = signal.getsignal(signal.SIGINT)
    found["SIGALRM"] = signal.getsignal(signal.SIGALRM)
    found["profile"] = sys.getprofile()
    found["warnings"] = list(warnings.filters)
    found["path"] = nn.running_path()
    found["files being written"] = set(atomic._writing)
    if os.path.isdir("/proc/self/fd"):
        found["descriptors"] = sorted(os.listdir("/proc/self/fd"))
    return found


class Outcome(NamedTuple):
    """What an interrupt came to: "raised", "returned", "ignored" or "not reached"; and what is wrong."""

    what: str
    wrong: list[str]


def try_site(case: Case, states: list[Any], site: Site, number: int, folder: Path) -> Outcome:
    """Interrupt a case once, and check everything."""
    for name in os.listdir(folder):
        os.unlink(folder / name)
    made = case.make(folder)
    before = _switches()
    unraised: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraised.append
    what, wrong = "returned", []
    try:
        with interrupted(site, number) as reached:
            try:
                case.act(made)
            except (KeyboardInterrupt, Alarm) as error:
                what = "raised"
                after = _switches()  # while the traceback is there
                silent = type(error) is KeyboardInterrupt and case.said not in str(error)
                if silent and not (case.outside is not None and case.outside(made)):
                    wrong.append(f"KeyboardInterrupt does not say {case.said!r}")
            if what == "returned" or case.late:
                after = _switches()
    finally:
        sys.unraisablehook = hook
    if unraised:
        what = "ignored"
    unraised.clear()
    if not reached:
        return Outcome("not reached", [])
    if what == "returned" and not (case.returns and number == signal.SIGINT):
        wrong.append("the signal was lost")
    wrong += [f"{name} is {after[name]!r}, was {before[name]!r}" for name in before if after[name] != before[name]]
    if number == signal.SIGINT:
        try:
            state = case.state(made)
            if state not in states[:2]:
                wrong.append("the state is neither that of before nor that of after")
            else:
                case.act(made)
                expected = states[states.index(state) + 1] if len(set(states)) == len(states) else states[-1]
                if case.state(made) != expected:
                    wrong.append("after another run the state is another than it would have been")
        except Exception as error:
            wrong.append(f"afterwards {type(error).__name__}: {error}")
    return Outcome(what, wrong)


def interrupt_all(
    name: str, chosen: Callable[[list[Site]], list[Site]], *, instructions: bool = False
) -> tuple[Counter[str], list[str]]:
    """Interrupt a case at the chosen of its sites. Returns how often it came to what, and what was wrong."""
    case, outcomes, wrong = CASES[name], Counter[str](), []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, _raise_alarm)
    try:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            found, states = sites(case, folder, instructions=instructions)
            for site in chosen(found):
                for number in before:
                    outcome = try_site(case, states, site, number, folder)
                    if outcome.what == "not reached":  # Python 3.13 traces some instructions only when asked again
                        outcome = try_site(case, states, site, number, folder)
                    outcomes[outcome.what] += 1
                    wrong += [f"{name}: {signal.Signals(number).name} at {site}: {text}" for text in outcome.wrong]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return outcomes, wrong


def _raise_alarm(number: int, frame: Any) -> None:
    raise Alarm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all of them without")
    parser.add_argument("--sites", type=int, help="so many of each case's, drawn at random; without, all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--instructions", action="store_true", help="before every instruction")
    given = parser.parse_args()
    failed = 0
    for name in given.cases or CASES:
        rng = np.random.default_rng(given.seed)

        def chosen(found: list[Site], rng: Any = rng) -> list[Site]:
            if given.sites is None or given.sites >= len(found):
                return found
            return [found[i] for i in np.sort(rng.choice(len(found), given.sites, replace=False))]

        began = time.perf_counter()
        faulthandler.dump_traceback_later(3600, exit=True, file=sys.__stdout__)  # a lock was left locked
        with contextlib.redirect_stderr(io.StringIO()):
            outcomes, wrong = interrupt_all(name, chosen, instructions=given.instructions)
        gc.collect()
        seconds = time.perf_counter() - began
        counts = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
        print(
            f"{name}: {sum(outcomes.values())} interrupts in {seconds:.0f} s: {counts}; {len(wrong)} wrong", flush=True
        )
        for text in wrong[:20]:
            print("   ", text, flush=True)
        failed += len(wrong)
    return min(failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
