"""The settings that a training run is begun with, and which of them differ from another run's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._files.registry import arguments_of
from .._optim.scheduler import Scheduler

if TYPE_CHECKING:
    from .model import Model

__all__ = ["differences", "settings_of"]


def settings_of(model: Model, **options: Any) -> dict[str, Any]:
    """The settings of a model and the options of a fit, by name, as plain values. It has not begun to train.

    A learning rate that a schedule has set is given by its base.
    """
    found: dict[str, Any] = {"optimizer": type(model.optimizer).__name__}
    groups = model.optimizer.param_groups
    for i, group in enumerate(groups):
        where = "optimizer" if len(groups) == 1 else f"optimizer.param_groups[{i}]"
        scheduled, base = group.scheduled
        for name, value in group.items():
            if name != "params":
                found[f"{where}.{name}"] = base if name == "lr" and value == scheduled else value
    schedule = model.schedule
    found["schedule"] = None if schedule is None else type(schedule).__name__
    if isinstance(schedule, Scheduler):
        found["schedule_every"] = model.schedule_every
        names = arguments_of(type(schedule)) - {"optimizer"}
        found |= {f"schedule.{name}": vars(schedule)[name] for name in sorted(names & vars(schedule).keys())}
    loss = model.loss
    found["loss"] = getattr(loss, "__qualname__", None) or repr(loss)
    found |= {"clip_norm": model.clip_norm, "clip_value": model.clip_value}
    found["ema"] = None if model.ema is None else model.ema.decay
    return {name: value if _is_plain(value) else repr(value) for name, value in (found | options).items()}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs, in words; a setting that only one of them knows is passed over. "" if nothing does."""
    changed = [name for name in old if name in new and old[name] != new[name]]
    return ", ".join(f"{name} {old[name]!r} (now {new[name]!r})" for name in changed)
