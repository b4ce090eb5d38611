"""The base class of optimisers."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

import tensorgrad as tg

from .._checks import count, number
from .._module import Module
from .group import ParamGroup, require_members
from .parts import Bucket, Run

__all__ = ["Optimizer", "Rule"]

R = TypeVar("R")
Rule = Callable[..., None]


class Optimizer:
    """Base class of optimisers: parameters in groups, each with its options.

    Ctrl-C during :meth:`step` takes effect after it, so that parameters, state and counts of updates always belong to
    the same step. (The running statistics of a batch normalisation belong to the forward pass: they can be one step
    ahead.)

    An optimiser updates the parameters it was given. If one of them is replaced or cast, the next step raises an error;
    one that is added to the model later is left as it is: make the optimiser after changing the model, or add the new
    parameters with :meth:`add_param_group`.

    A subclass passes the defaults of its options, and defines ``_check``, ``_slots`` and ``_rule``.

    Args:
        params: parameters, or groups: dicts with "params" and options of their own.
        defaults: the options of groups that do not set them.
        numbers: what a parameter's history has in addition to its count of updates, with the initial values.
        skip_nonfinite: a step with a gradient that is not finite changes nothing, instead of raising an error.

    Attributes:
        param_groups: the groups; an option can be changed between steps, ``param_groups[0]["lr"] = 0.1``.
        skip_nonfinite: can be changed between steps.
        skipped: how many steps were skipped.
    """

    def __init__(
        self,
        params: Iterable[Any],
        defaults: dict[str, Any],
        *,
        numbers: Mapping[str, float] | None = None,
        skip_nonfinite: bool = False,
    ) -> None:
        self._by = f"{type(self).__name__}.step"
        self._writes_by = f"optimizer.step() of {type(self).__name__}"
        self._replayed: Callable[[], None] | None = None  # _apply, which is compiled once it has been called often
        self.skip_nonfinite = skip_nonfinite
        self.skipped = 0
        self._defaults = dict(defaults)
        self._numbers = dict(numbers or {})
        self.param_groups: list[ParamGroup] = []
        self._buckets: list[Bucket] = []
        self._add(self._grouped(params))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_replayed": None}

    def _add(self, groups: list[ParamGroup]) -> None:
        """Add groups: all, or none if one is refused."""
        require_members(type(self).__name__, groups, self.param_groups)
        buckets = []
        for group in groups:
            self._check(group)
            for dtype in dict.fromkeys(param.dtype for param in group["params"]):
                same = [param for param in group["params"] if param.dtype == dtype]
                buckets.append(Bucket(group, same, self._numbers))
        self.param_groups += groups
        self._buckets += buckets
        self._replayed = None

    def _grouped(self, params: Iterable[Any]) -> list[ParamGroup]:
        me = type(self).__name__
        if isinstance(params, tg.Tensor | np.ndarray | Module):
            hint = "model.parameters()" if isinstance(params, Module) else "[parameter]"
            raise TypeError(f"{me}: params must be parameters or groups, got {type(params).__name__}; write {hint}")
        given = list(params)
        if not given:
            raise ValueError(
                f"{me}: params is empty; a generator can be used only once, so write "
                "list(model.parameters()) to use it again"
            )
        return [self._group(item) for item in (given if isinstance(given[0], dict) else [{"params": given}])]

    def _group(self, item: Any) -> ParamGroup:
        me = type(self).__name__
        if not isinstance(item, dict) or "params" not in item:
            raise TypeError(f"{me}: params mixes groups and parameters; a group is a dict with 'params', got {item!r}")
        if unknown := [key for key in item if key != "params" and key not in self._defaults]:
            expected = ", ".join(self._defaults)
            raise TypeError(f"{me}: a group has the unknown option {unknown[0]!r}, expected {expected}")
        members = item["params"]
        members = [members] if isinstance(members, tg.Tensor) else list(members)
        if not members:
            raise ValueError(f"{me}: 'params' of a group is empty")
        options = {key: _plain(value) for key, value in {**self._defaults, **item}.items() if key != "params"}
        return ParamGroup({"params": members, **options})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, such as those of layers that are no longer frozen.

        They begin with no updates; the others keep their state. A compiled step is traced again, and a schedule takes
        the group's learning rate as the one to start from.

        Args:
            param_group: a dict with "params" and options of its own; others have the optimiser's defaults.

        Raises:
            ValueError: an option is out of range, there are no parameters, or one is already in a group.
            TypeError: it is not a group, something is not a parameter, or an option is unknown. Nothing was changed.

        >>> import nn
        >>> body, head = nn.Linear(4, 8), nn.Linear(8, 3)
        >>> optimizer = nn.AdamW(head.parameters(), lr=1e-3)
        >>> optimizer.add_param_group({"params": body.parameters(), "lr": 1e-4})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.001, 0.0001]
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f"{type(self).__name__}.add_param_group: expected a dict with 'params', got {param_group!r}; write "
                '{"params": layer.parameters()}'
            )
        self._add([self._group(param_group)])

    @property
    def _group_count(self) -> int:
        return len(self.param_groups)

    @property
    def lr(self) -> float:
        """The learning rate of the first group; assigning sets it for all groups."""
        return self._groups_with_lr()[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        lr = number(type(self).__name__, "lr", value, 0)
        for group in self._groups_with_lr():
            group["lr"] = lr

    def _groups_with_lr(self) -> list[ParamGroup]:
        if "lr" not in self.param_groups[0]:
            raise AttributeError(f"{type(self).__name__} has no learning rate: it searches along each direction")
        return self.param_groups

    def zero_grad(self) -> None:
        """Reset the gradients of all parameters to None."""
        tg.watch(self, "_group_count")
        for bucket in self._buckets:
            for param in bucket.params:
                param.grad = None

    def step(self, closure: Callable[[], R] | None = None) -> R | None:
        """Update every parameter that has a gradient, in place; one without is left alone.

        Args:
            closure: called first; it computes the loss, calls ``backward()`` on it, and returns it.

        Returns:
            What ``closure`` returned.

        Raises:
            NonFiniteError: a gradient holds NaN or infinity. No parameter and no state was changed. With
                ``skip_nonfinite`` such a step is counted in ``skipped``, and changes nothing.
            GraphError: a parameter was replaced in its module, or cast, since the optimiser was made.
            ValueError: an option is out of range, or a parameter's array is read-only. Nothing was changed.
        """
        result = None if closure is None else closure()
        tg.watch(self, "_group_count")
        for bucket in self._buckets:
            self._check(bucket.group)  # an option may have been changed
            bucket.require_known(self._by)
        if self.skip_nonfinite or not type(self).__module__.startswith(__package__):
            self._apply()  # it branches on values, or may do anything else that cannot be replayed
        else:
            if self._replayed is None:
                self._replayed = tg.replayed(_weak(self._apply), by=self._writes_by)
            self._replayed()
        return result

    def _apply(self) -> None:
        """Update every parameter that has a gradient, without checks of options and parameters."""
        jobs = []
        for bucket in self._buckets:
            for run, gradients in bucket.ready(self._slots(bucket.group)):
                gathered = [part.gathered(gradients) for part in run.parts]
                bad = _nonfinite(gathered, gradients, run=run, by=self._by, skip=self.skip_nonfinite)
                if self.skip_nonfinite and self._skips(bad):
                    return
                jobs.append((bucket.group, run, gathered))
        with tg.uninterrupted():  # Ctrl-C finds all parameters and the state before this step, or after it
            for job in jobs:
                self._update(*job)
            for group, run, _ in jobs:
                tg.host(partial(self._advance, group, run))

    def _skips(self, bad: Any) -> bool:
        if not isinstance(bad, bool):
            raise tg.GraphError(
                f"{self._by}: skip_nonfinite branches on values, which a compiled step cannot do; call step() outside "
                "the compiled function, or make the optimiser without skip_nonfinite"
            )
        self.skipped += bad
        return bad

    def _update(self, group: ParamGroup, run: Run, gathered: list[Any]) -> None:
        memories = [tg.writes_to(param, by=self._writes_by) for param in run.params]
        decays = "weight_decay" in tg.watch(group, "in_use")
        decoupled = decays and self._decoupled(group)
        rule = self._rule(group, run)
        if decoupled:
            keep = tg.host(lambda: 1 - group["lr"] * group["weight_decay"], early=True)
        elif decays:
            decay = tg.host(lambda: group["weight_decay"], early=True)
        for part, g in zip(run.parts, gathered, strict=True):
            (u, w, d), state, updates = part.memory()
            if decays and not decoupled:
                np.multiply(part.gathered(memories), decay, out=d)
                np.add(d, g, out=d)
                g = d
            rule(g, u, w, **state)
            for (k, rows), update in zip(part.pieces, updates, strict=True):
                memory = memories[k] if rows is None else memories[k][rows]
                if decoupled:
                    np.multiply(memory, keep, out=memory)
                np.subtract(memory, update, out=memory)

    def _check(self, group: ParamGroup) -> None:
        """Raise ValueError if an option is out of range."""
        raise NotImplementedError(f"{type(self).__name__} must define _check")

    def _slots(self, group: ParamGroup) -> Mapping[str, float]:
        """The names of the state arrays that a group needs, and their initial values."""
        raise NotImplementedError(f"{type(self).__name__} must define _slots")

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        """Return the function that computes an update of a run for each of its parts.

        The function is called with g, the gradient, which it must not write to; u, which it fills with the amount to
        subtract from the parameters; w, a scratch array; and the state arrays by name, which it updates. All have the
        same shape. What changes from step to step comes from ``tensorgrad.host(..., early=True)``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _rule")

    @staticmethod  # as a method, it would keep the optimiser alive until the cyclic collector comes
    def _advance(group: ParamGroup, run: Run) -> None:
        """Count an update of a run after it, and set the other numbers of its history."""
        run.advance()

    def _decoupled(self, group: ParamGroup) -> bool:
        """Whether weight decay shrinks the weights, rather than being part of the gradient."""
        return bool(group.get("decoupled_weight_decay"))

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}({', '.join(self._progress())}"]
        for i, group in enumerate(self.param_groups):
            count = len(group["params"])
            members = "1 parameter" if count == 1 else f"{count} parameters"
            options = [f"{name}={value!r}" for name, value in group.items() if name != "params"]
            lines.append(f"  ({i}): {', '.join([members, *options])}")
        return "\n".join([*lines, ")"])

    def _progress(self) -> list[str]:
        """What the repr shows first: the most updates that a parameter has had, and what is unusual."""
        steps = max(t for bucket in self._buckets for t in bucket.numbers["t"])
        return [f"steps={steps}", *(["skip_nonfinite=True"] if self.skip_nonfinite else [])]

    # --- state -----------------------------------------------------------------------------------------

    def _indices(self) -> dict[int, int]:
        return {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}

    def state_dict(self) -> dict[str, Any]:
        """Copies of the state, so that training can resume elsewhere, bit for bit.

        "state" has each parameter's number of updates "t" and its arrays, by the parameter's position; "param_groups"
        has the options, with positions in place of parameters.

        >>> import numpy as np, nn
        >>> w = nn.Parameter([1.0])
        >>> optimizer = nn.SGD([w], lr=0.1, momentum=0.9)
        >>> w.grad = [2.0]
        >>> optimizer.step()
        >>> optimizer.state_dict()["state"]
        {0: {'t': 1, 'momentum': array([2.])}}
        """
        indices = self._indices()
        state: dict[int, dict[str, Any]] = {}
        for bucket in self._buckets:
            slots = self._slots(bucket.group)
            for k, (param, (a, b)) in enumerate(zip(bucket.params, pairwise(bucket.offsets), strict=True)):
                if bucket.numbers["t"][k]:
                    numbers = {name: values[k] for name, values in bucket.numbers.items()}
                    arrays = {name: np.full(param.shape, start, param.dtype) for name, start in slots.items()}
                    for name in slots.keys() & bucket.state.keys():  # others were switched on since the last step
                        arrays[name][...] = bucket.state[name][a:b].reshape(param.shape)
                    state[indices[id(param)]] = {**numbers, **arrays}
        groups = [{**group, "params": [indices[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state returned by :meth:`state_dict` of an optimiser of the same class with as many parameters.

        Raises:
            ValueError: groups, names, shapes or dtypes do not fit. The message lists all that is wrong; nothing was
                changed.
        """
        wrong = self._misfits(state)
        if wrong:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: nothing was loaded:\n  "
                + "\n  ".join(map(tg.words.escaped, wrong))
            )
        with tg.uninterrupted():
            self._take(state)

    def _take(self, state: Mapping[str, Any]) -> None:
        """Replace options and state by those of a state that fits."""
        for group, new in zip(self.param_groups, state["param_groups"], strict=True):
            group.update({key: value for key, value in new.items() if key != "params"})
        indices = self._indices()
        for bucket in self._buckets:
            slots = self._slots(bucket.group)
            bucket.allocate(slots)
            for k, (param, (a, b)) in enumerate(zip(bucket.params, pairwise(bucket.offsets), strict=True)):
                entry = state["state"].get(indices[id(param)])
                for name, values in bucket.numbers.items():
                    values[k] = bucket.initial[name] if entry is None else type(bucket.initial[name])(entry[name])
                for name, start in slots.items():
                    bucket.state[name][a:b] = start if entry is None else np.ravel(entry[name])

    def _misfits(self, state: Mapping[str, Any]) -> list[str]:
        """A list of what does not fit in a state, in words."""
        indices = self._indices()
        if not isinstance(state, Mapping) or not {"param_groups", "state"} <= set(state):
            got = list(state) if isinstance(state, Mapping) else type(state).__name__
            return [f"got {got}, expected 'state' and 'param_groups'"]
        groups, entries = state["param_groups"], state["state"]
        if not isinstance(entries, Mapping) or not all(isinstance(entry, Mapping) for entry in entries.values()):
            return ["state: expected a dict of dicts"]
        listed = isinstance(groups, list | tuple)
        if not listed or not all(isinstance(group, Mapping) and "params" in group for group in groups):
            return [f"param_groups: {groups!r}, expected dicts with 'params'"]
        own = [[indices[id(p)] for p in group["params"]] for group in self.param_groups]
        if [list(group["params"]) for group in groups] != own:
            return [f"param_groups: parameters {[list(g['params']) for g in groups]}, expected {own}"]
        wrong = []
        options = [ParamGroup(new) for new in groups]
        for position, (group, new) in enumerate(zip(self.param_groups, options, strict=True)):
            if set(group) != set(new):
                wrong.append(f"param_groups[{position}]: options {sorted(new)}, expected {sorted(group)}")
                options[position] = group
                continue
            try:
                self._check(new)
            except ValueError as error:
                wrong.append(f"param_groups[{position}]: {error}")
        known = set(indices.values())
        wrong += [f"state[{i!r}]: no such parameter" for i in entries if i not in known]
        planned = {id(group): new for group, new in zip(self.param_groups, options, strict=True)}
        for bucket in self._buckets:
            slots = self._slots(planned[id(bucket.group)])
            for param in bucket.params:
                i = indices[id(param)]
                if i in entries:
                    wrong += [f"state[{i}]{text}" for text in _misfit(entries[i], param, bucket.numbers, slots)]
        return wrong


def _weak(method: Callable[[], None]) -> Callable[[], None]:
    """A method that does not keep its object alive, which would then wait for the cyclic collector."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    return call


def _misfit(entry: Mapping[str, Any], param: Any, numbers: Iterable[str], slots: Iterable[str]) -> list[str]:
    """A list of what does not fit in one parameter's state, in words."""
    if set(entry) != {*numbers, *slots}:
        return [f": {sorted(map(str, entry))}, expected {sorted([*numbers, *slots])}"]
    wrong = []
    for name in numbers:
        try:
            if name != "t":
                number("state", name, entry[name], 0)
            elif count("state", name, entry[name], 0) >= 2**63:
                raise ValueError(f"state: t must be below 2**63, got {entry[name]!r}")
        except ValueError as error:
            wrong.append(f"[{name!r}]: {error}")
    for name in slots:
        array = np.asarray(entry[name])
        if (array.shape, array.dtype) != (param.shape, param.dtype):
            wrong.append(f"[{name!r}]: {array.shape} {array.dtype}, expected {param.shape} {param.dtype}")
    return wrong


@tg.indivisible
@tg.only_if_not_finite(returns=False)
def _nonfinite(gathered: list[Any], gradients: list[Any], *, run: Run, by: str, skip: bool) -> bool:
    """Whether a gradient is not finite. Raises NonFiniteError in that case unless ``skip`` is set."""
    if all(math.isfinite(np.vdot(g, g)) or np.isfinite(g).all() for g in gathered):
        return False
    if skip:
        return True
    for i, (param, gradient) in enumerate(zip(run.params, gradients, strict=True)):
        if bad := int(np.count_nonzero(~np.isfinite(gradient))):
            raise tg.NonFiniteError(
                f"{by}: the gradient of {param.name or f'parameter {i}'!r}, shape {param.shape}, holds NaN or "
                f"infinity in {bad} of {param.size} places; no parameter was changed"
            )
    raise AssertionError("a gradient that is not finite was found, but no parameter has it")


def _plain(option: Any) -> Any:
    """Convert NumPy numbers to Python's, which do not bring a precision of their own."""
    if isinstance(option, tuple | list):
        return tuple(map(_plain, option))
    return option.item() if isinstance(option, np.generic) else option
