"""What optimisers have in common.

Gradients of all parameters are laid end to end in one array, and so is the state: an update costs a dozen
NumPy calls on that array and one for each parameter, however many parameters there are. Parameters stay where
they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

import tensorgrad as tg

from .._module import Module

__all__ = ["Optimizer", "ParamGroup", "Run", "require", "require_rates"]


class ParamGroup(dict[str, Any]):
    """Parameters ("params") and the options they are updated with, which may be changed between steps."""

    @property
    def branches(self) -> tuple[bool, ...]:
        """Which options are in use, as far as they decide what is computed."""
        return bool(self["weight_decay"]), bool(self.get("momentum")), bool(self.get("nesterov"))


class Run:
    """Neighbouring parameters with a gradient and the same number of updates: what is updated together."""

    def __init__(self, bucket: _Bucket, start: int, stop: int) -> None:
        here = slice(bucket.offsets[start], bucket.offsets[stop])
        self.params = bucket.params[start:stop]
        self.offsets = [offset - here.start for offset in bucket.offsets[start : stop + 1]]
        self.pieces = [
            (param, slice(a, b), param.shape) for param, (a, b) in zip(self.params, pairwise(self.offsets), strict=True)
        ]
        self.state = {name: array[here] for name, array in bucket.state.items()}
        self.scratch = np.empty(here.stop - here.start, bucket.dtype)
        self._counts = bucket.counts
        self._range = range(start, stop)

    @property
    def t(self) -> int:
        """How many updates these parameters have had."""
        return self._counts[self._range.start]

    def advance(self) -> int:
        """Count an update."""
        for i in self._range:
            self._counts[i] += 1
        return self.t


class _Bucket:
    """The parameters of one group that have one dtype, and their state, end to end."""

    def __init__(self, group: ParamGroup, params: list[Any], names: tuple[str, ...]) -> None:
        self.group = group
        self.params = params
        self.dtype = params[0].dtype
        self.offsets = [0, *accumulate(param.size for param in params)]
        self.counts = [0] * len(params)
        self.names = names
        self.state: dict[str, Any] = {}
        self._runs: dict[tuple[int, int], Run] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runs": {}}  # a copy has views of its own state

    def allocate(self) -> None:
        """Make the state, all zero, when it is first needed."""
        if not self.state:
            self.state = {name: np.zeros(self.offsets[-1], self.dtype) for name in self.names}

    def ready(self, by: str) -> list[tuple[Run, list[Any]]]:
        """What can be updated, with the gradients."""
        gradients = [param.grad for param in self.params]
        present = [i for i, gradient in enumerate(gradients) if gradient is not None]
        if not present:
            return []
        self.allocate()
        counts = self.counts
        edges = [present[0]]
        for before, after in pairwise(present):
            if after != before + 1 or counts[after] != counts[before]:
                edges += [before + 1, after]
        edges.append(present[-1] + 1)
        result = []
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            run = self._runs.get((start, stop))
            if run is None:
                run = self._runs[start, stop] = Run(self, start, stop)
            self._require_unchanged(run, by)
            result.append((run, [tg.array_of(gradient) for gradient in gradients[start:stop]]))
        return result

    def _require_unchanged(self, run: Run, by: str) -> None:
        for param, _, shape in run.pieces:
            data = param.data
            if data.dtype != self.dtype or data.shape != shape:
                raise tg.GraphError(
                    f"{by}: parameter {param.name or ''!r} was of shape {shape} and {self.dtype} when the "
                    f"optimiser was made, and is {data.shape} and {data.dtype} now; make the optimiser after "
                    "changing the model"
                )


class Optimizer:
    """Base class of optimisers: parameters in groups, each with its options.

    Ctrl-C during :meth:`step` ends the program after it, so that parameters, state and counts of updates are always
    those of one step. (The running statistics of a batch normalisation belong to the forward pass: they may be one
    step ahead.)

    A subclass names its state arrays in ``slots``, passes on the defaults of its options, and defines ``_check``
    and ``_update``.

    Attributes:
        param_groups: the groups; an option may be changed between steps, ``param_groups[0]["lr"] = 0.1``.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self._by = f"{type(self).__name__}.step"
        self.param_groups = self._grouped(params, defaults)
        self._buckets = []
        for group in self.param_groups:
            self._check(group)
            for dtype in dict.fromkeys(param.dtype for param in group["params"]):
                same = [param for param in group["params"] if param.dtype == dtype]
                self._buckets.append(_Bucket(group, same, self.slots))

    def _grouped(self, params: Iterable[Any], defaults: dict[str, Any]) -> list[ParamGroup]:
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
        groups = []
        for item in given if isinstance(given[0], dict) else [{"params": given}]:
            if not isinstance(item, dict) or "params" not in item:
                raise TypeError(
                    f"{me}: params mixes groups and parameters; a group is a dict with 'params', got {item!r}"
                )
            if unknown := [key for key in item if key != "params" and key not in defaults]:
                raise TypeError(f"{me}: a group has the unknown option {unknown[0]!r}, expected {', '.join(defaults)}")
            members = item["params"]
            members = [members] if isinstance(members, tg.Tensor) else list(members)
            if not members:
                raise ValueError(f"{me}: params of a group is empty")
            groups.append(ParamGroup({**defaults, **item, "params": members}))
        seen: set[int] = set()
        for i, param in enumerate(param for group in groups for param in group["params"]):
            if not isinstance(param, tg.Tensor):
                raise TypeError(f"{me}: params[{i}] must be a Parameter, got {type(param).__name__}")
            name = f"params[{i}]" + (f" ({param.name!r})" if param.name else "")
            if not param.is_leaf:
                raise tg.GraphError(f"{me}: {name} is the result of an operation; give the leaf it was computed from")
            if param.dtype.kind != "f":
                raise tg.DTypeError(f"{me}: {name} must be of floating point, got {param.dtype}")
            if id(param) in seen:
                raise ValueError(f"{me}: {name} is given twice; it would be updated twice a step")
            seen.add(id(param))
        return groups

    @property
    def lr(self) -> float:
        """The learning rate of the first group; assigning sets it for all groups."""
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        require(type(self).__name__, "lr", value, 0 <= value < math.inf, "a finite number of at least 0")
        for group in self.param_groups:
            group["lr"] = value

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters: ``grad`` is None."""
        for bucket in self._buckets:
            for param in bucket.params:
                param.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient, in place; one without is left alone.

        Raises:
            NonFiniteError: a gradient holds NaN or infinity. No parameter and no state was changed.
            GraphError: a parameter was replaced in its module, or cast, since the optimiser was made.
        """
        for group in self.param_groups:
            self._check(group)  # an option may have been changed
        jobs = []
        for bucket in self._buckets:
            for param in bucket.params:
                if getattr(param, "held", 1) == 0:
                    raise tg.GraphError(
                        f"{self._by}: parameter {param.name!r} was replaced in its module since the "
                        "optimiser was made, and the new one is not known; make the optimiser after changing the model"
                    )
            for run, gradients in bucket.ready(self._by):
                flat = np.concatenate(gradients, axis=None)
                _require_finite(flat, run=run, by=self._by)
                jobs.append((bucket.group, run, flat))
        with tg.uninterrupted():  # Ctrl-C finds all parameters and the state before this step, or after it
            for group, run, flat in jobs:
                decay, _, _ = tg.watch(group, "branches")
                state = [tg.array_of(array) for array in run.state.values()]
                weights = np.concatenate([tg.array_of(p) for p in run.params], axis=None) if decay else None
                scratch = tg.array_of(run.scratch)
                self._update(group, run, flat, weights, scratch, *state)
                for param, piece, shape in run.pieces:
                    memory = tg.writes_to(param, by=f"optimizer.step() of {type(self).__name__}")
                    np.subtract(memory, flat[piece].reshape(shape), out=memory)

    def _check(self, group: ParamGroup) -> None:
        """Raise ValueError for an option out of range."""
        raise NotImplementedError(f"{type(self).__name__} must define _check")

    def _update(self, group: ParamGroup, run: Run, g: Any, weights: Any, scratch: Any, *state: Any) -> None:
        """Turn the gradients in ``g`` into what is to be subtracted from the parameters; update the state.

        ``weights`` is a copy of the parameters, or None without weight decay.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _update")

    # --- state -----------------------------------------------------------------------------------------

    def _indices(self) -> dict[int, int]:
        return {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}

    def state_dict(self) -> dict[str, Any]:
        """Copies of the state, so that training can go on elsewhere, bit for bit.

        "state" has, by the parameter's position, its number of updates "t" and its arrays; "param_groups" has
        the options, with positions for parameters.

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
            for param, t, (a, b) in zip(bucket.params, bucket.counts, pairwise(bucket.offsets), strict=True):
                if t:
                    arrays = {name: array[a:b].reshape(param.shape).copy() for name, array in bucket.state.items()}
                    state[indices[id(param)]] = {"t": t, **arrays}
        groups = [{**group, "params": [indices[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave, from an optimiser of the same class and as many parameters.

        Raises:
            ValueError: groups, names, shapes or dtypes do not fit. It lists all that is wrong; nothing was
                changed.
        """
        indices = self._indices()
        wrong = []
        groups = state["param_groups"]
        own = [[indices[id(p)] for p in group["params"]] for group in self.param_groups]
        if [list(group["params"]) for group in groups] != own:
            wrong.append(f"param_groups: parameters {[g['params'] for g in groups]}, expected {own}")
        else:
            for position, (group, new) in enumerate(zip(self.param_groups, groups, strict=True)):
                if set(group) != set(new):
                    wrong.append(f"param_groups[{position}]: options {sorted(new)}, expected {sorted(group)}")
        wrong += [f"state[{i}]: no such parameter" for i in state["state"] if i not in indices.values()]
        parts = []
        for bucket in self._buckets:
            for k, param in enumerate(bucket.params):
                i = indices[id(param)]
                entry = state["state"].get(i)
                if entry is not None and set(entry) != {"t", *self.slots}:
                    wrong.append(f"state[{i}]: {sorted(entry)}, expected {sorted(['t', *self.slots])}")
                    continue
                arrays = {name: np.asarray(entry[name]) for name in self.slots} if entry is not None else {}
                for name, array in arrays.items():
                    if (array.shape, array.dtype) != (param.shape, param.dtype):
                        wrong.append(
                            f"state[{i}][{name!r}]: {array.shape} {array.dtype}, expected {param.shape} {param.dtype}"
                        )
                parts.append((bucket, k, 0 if entry is None else int(entry["t"]), arrays))
        if wrong:
            raise ValueError(f"{type(self).__name__}.load_state_dict: nothing was loaded:\n  " + "\n  ".join(wrong))
        for bucket, k, t, arrays in parts:
            bucket.allocate()
            bucket.counts[k] = t
            for name, whole in bucket.state.items():
                whole[bucket.offsets[k] : bucket.offsets[k + 1]] = arrays[name].ravel() if arrays else 0
        for group, new in zip(self.param_groups, groups, strict=True):
            group.update({key: value for key, value in new.items() if key != "params"})


@tg.indivisible
def _require_finite(flat: Any, *, run: Run, by: str) -> None:
    with np.errstate(all="ignore"):
        if math.isfinite(np.vdot(flat, flat)) or np.isfinite(flat).all():
            return
    for i, (param, piece, shape) in enumerate(run.pieces):
        bad = flat.size and int(np.count_nonzero(~np.isfinite(flat[piece])))
        if bad:
            raise tg.NonFiniteError(
                f"{by}: the gradient of {param.name or f'parameter {i}'!r}, shape {shape}, holds NaN or "
                f"infinity in {bad} of {param.size} places; no parameter was changed"
            )


def require(me: str, name: str, value: Any, condition: Any, expected: str) -> None:
    """Raise ValueError for an option, unless the condition holds."""
    if not condition:
        raise ValueError(f"{me}: {name} must be {expected}, got {value!r}")


def require_rates(me: str, group: ParamGroup) -> None:
    """Raise ValueError unless the learning rate and the weight decay are finite and not negative."""
    for name in ("lr", "weight_decay"):
        value = group[name]
        require(me, name, value, math.isfinite(value) and value >= 0, "a finite number of at least 0")
