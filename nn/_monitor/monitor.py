"""GradientMonitor: statistics of activations and gradients during training, and a verdict on them."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any, NamedTuple, Self

import numpy as np

import tensorgrad as tg

from .._checks import count
from .._module import Module
from .._running import members
from .._training.callbacks import Callback, Fit
from .._training.model import Model
from .figures import Figures
from .forecast import Forecast, forecast_of
from .probe import Observed, Part, Probe, parts_of
from .report import Report
from .verdict import Judged, Verdict, judge

__all__ = ["GradientMonitor", "Measurement"]

_KEPT = 256  # measurements, and verdicts; beyond it, every second is dropped


class Measurement(NamedTuple):
    """One step: its number, and the figures of each layer, by path."""

    step: int
    figures: dict[str, Figures]


class LayerInfo(NamedTuple):
    """What stays the same of a layer, and samples of a thousand values of its first and its latest measurement."""

    path: str
    title: str
    activation: str
    normed: bool
    activations: tuple[Any, Any]
    gradients: tuple[Any, Any]
    dead: Any  # for each unit, the number of measurements in which it was 0 for the whole batch
    measured: int  # the number of measurements


class GradientMonitor(Callback):
    """Measure activations and gradients at every tenth step or so, judge them, and say why a network does not learn.

    A layer is a module with a weight of two axes or more (such as :class:`nn.Linear`), together with the norm and
    activation after it, as modules or as functions without options (``tg.relu(...)`` in a ``forward``). Its gradient is
    that of the pre-activations, the results of the weighted module. At steps that are not measured, nothing is observed
    and nothing costs time. Of a small network, ``every=10`` costs about 4 % of the training time; of a compiled step
    more, since a measured step runs uncompiled. Memory is fixed: numbers are kept, and a thousand values of each layer,
    but no array of a batch; of more than 256 measurements every second is dropped. During a measured step there is a
    copy of the weights.

    In :meth:`nn.Model.fit`, give it as a callback. In a loop of your own, use it in a ``with`` statement and call
    :meth:`step` after each update. Of a step with several forward passes, the first one with a graph is measured.

    Args:
        model: the network; of an :class:`nn.Model`, its network is observed.
        every: the number of steps from one measurement to the next; the first step is measured.
        verbose: print the verdict, with its reasons and the remedy, when it changes.

    Attributes:
        verdict: the latest :class:`nn.Verdict`, or None before the first measurement.
        verdicts: each verdict that differed in kind from the one before it, the first one included.
        forecast: the :class:`nn.Forecast` made at the first measurement, or None if the network is not a chain of
            Linear layers.
        steps: the number of steps so far.

    Raises:
        TypeError: model is not a Module.
        ValueError: every is not a positive integer.

    >>> import numpy as np, nn
    >>> network = nn.MLP([8, *[32] * 10, 2], activation="sigmoid", init="lecun_normal", rng=0)
    >>> model, rng = nn.Model(network, rng=0), np.random.default_rng(0)
    >>> monitor = nn.GradientMonitor(model, verbose=False)
    >>> X, y = rng.standard_normal((256, 8)), rng.integers(0, 2, 256)
    >>> _ = model.fit(X, y, epochs=1, callbacks=[monitor])
    >>> monitor.verdict.kind, monitor.verdict.remedy
    ('vanishing', 'ReLU with init="he_normal", or norm="batch"')
    """

    def __init__(self, model: Module | Model, every: int = 10, *, verbose: bool = True) -> None:
        network = model.network if isinstance(model, Model) else model
        if not isinstance(network, Module):
            raise TypeError(f"GradientMonitor: model must be a Module, got {type(model).__name__}")
        self.model = network
        self.every = count("GradientMonitor", "every", every)
        self.verbose = verbose
        self.steps = 0
        self.verdicts: list[Verdict] = []
        self.forecast: Forecast | None = None
        self._verdict: Verdict | None = None
        self._layers: dict[str, LayerInfo] = {}
        self._rows: list[Measurement] = []
        self._latest: Measurement | None = None
        self._stride = 1  # of the measurements, how many are counted for one that is kept
        self._taken = 0
        self._fitting = False
        self._probe: Probe | None = None
        self._parts: tuple[int, list[Part]] = (-1, [])

    # --- steps ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._arm()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._finish()
        self._disarm()

    def step(self) -> None:
        """Say that a step is complete: call it after each update of the parameters."""
        self._finish()
        self.steps += 1
        if self.steps % self.every == 0:
            self._arm()
        else:
            self._disarm()

    def on_fit_begin(self, fit: Fit) -> None:
        if fit.model.network is not self.model:
            raise ValueError("fit: the GradientMonitor observes another network; write nn.GradientMonitor(model)")
        self._fitting = True
        if self.steps % self.every == 0:
            self._arm()

    def on_step_end(self, fit: Fit) -> None:
        self.step()

    def on_fit_end(self, fit: Fit) -> None:
        self._fitting = False
        self._disarm()

    def _arm(self) -> None:
        self._disarm()
        if self._parts[0] != members.changes:
            self._parts = members.changes, parts_of(self.model)
        self._probe = Probe(self.model, self._parts[1], moments=not self._layers)

    def _disarm(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _finish(self) -> None:
        """Take what has been observed of a step, if anything has."""
        probe = self._probe
        if probe is None or not probe.layers:
            return
        self._probe = None
        figures = dict(zip((layer.path for layer in probe.layers), probe.close(), strict=True))
        if not self._layers:
            # A user's activation may not take the points of a quadrature, and numbers may be out of range.
            with suppress(ArithmeticError, RuntimeError, TypeError, ValueError):
                self.forecast = forecast_of(probe.layers)
        for layer in probe.layers:
            self._layers[layer.path] = _updated(self._layers.get(layer.path), layer)
        self._keep(Measurement(self.steps, figures))
        self._judge(figures)

    def _keep(self, measurement: Measurement) -> None:
        self._latest = measurement
        if self._taken % self._stride == 0:
            self._rows.append(measurement)
        self._taken += 1
        if len(self._rows) > _KEPT:
            del self._rows[1::2]
            self._stride *= 2

    def _judge(self, figures: dict[str, Figures]) -> None:
        verdict = judge(self.steps, [self._judged(path, row) for path, row in figures.items()])
        before, self._verdict = self._verdict, verdict
        if before is None or before.kind != verdict.kind:
            self.verdicts.append(verdict)
            del self.verdicts[:-_KEPT]
            if self.verbose and not (before is None and verdict.kind == "healthy"):
                print(self._line_end() + tg.words.printable(str(verdict)))

    def _line_end(self) -> str:
        """What ends the line of the progress bar, if that is shown in the same terminal."""
        return "\n" if self._fitting and sys.stderr is not None and sys.stderr.isatty() else ""

    def _judged(self, path: str, figures: Figures) -> Judged:
        info = self._layers[path]
        return Judged(path, info.title, info.activation, info.normed, figures)

    # --- results ----------------------------------------------------------------------------------------------

    @property
    def verdict(self) -> Verdict | None:
        self._finish()  # a step that ended in an error
        return self._verdict

    @property
    def layers(self) -> list[LayerInfo]:
        """What is known of each layer beside its figures, in the order of execution."""
        return list(self._layers.values())

    @property
    def measurements(self) -> list[Measurement]:
        """The measured steps that are kept, the latest included; ``figures[path].grad_rms`` is a number.

        >>> import numpy as np, nn
        >>> model = nn.MLP([2, 3, 1], activation="tanh", rng=0)
        >>> with nn.GradientMonitor(model) as monitor:
        ...     model(np.ones((4, 2), np.float32)).sum().backward()
        ...     monitor.step()
        >>> [(m.step, list(m.figures)) for m in monitor.measurements]
        [(0, ['layers.0', 'layers.2'])]
        """
        self._finish()
        extra = self._latest is not None and (not self._rows or self._rows[-1] is not self._latest)
        return [*self._rows, self._latest] if extra and self._latest is not None else list(self._rows)

    def report(self) -> Report:
        """The latest measurement as a table with the verdict: text in a terminal, HTML in a notebook.

        Raises:
            RuntimeError: nothing has been measured yet.

        >>> import numpy as np, nn
        >>> model, x = nn.MLP([4, 3, 1], activation="tanh", rng=0), np.random.default_rng(0).random((50, 4), np.float32)
        >>> with nn.GradientMonitor(model) as monitor:
        ...     (model(x) ** 2).mean().backward()
        ...     monitor.step()
        >>> len(monitor.report().rows)
        2
        """
        measurement = self._require("report")
        rows = [self._judged(path, figures) for path, figures in measurement.figures.items()]
        assert self._verdict is not None
        return Report(measurement.step, rows, self._verdict, self.forecast)

    def plot(self, *views: str) -> Any:
        """Draw the statistics with matplotlib (extra ``notebook``). Returns the figure, with the verdict in its title.

        Args:
            views: what to draw; by default the first six.

                - "map": log10 of the gradient's RMS by layer and step
                - "gradient": by layer, at the first and the latest step, with the forecast
                - "spread": of the activations across the batch, likewise
                - "activations": histograms by layer, at the first and the latest step
                - "dead": the shares of dead units and saturated values
                - "updates": the RMS of the updates relative to the weights', over the steps
                - "gradients": histograms by layer, of log10 of the size
                - "units": by layer and unit, in what share of the measurements it was dead

        Raises:
            ValueError: there is no such view.
            RuntimeError: nothing has been measured yet.
            ImportError: matplotlib is not installed.
        """
        self._require("plot")
        try:
            from .views import drawn
        except ImportError as error:
            raise ImportError("GradientMonitor.plot needs matplotlib: pip install 'tensorgrad-np[notebook]'") from error
        return drawn(self, views)

    def _require(self, what: str) -> Measurement:
        self._finish()
        if self._latest is None:
            raise RuntimeError(
                f"GradientMonitor.{what}: nothing has been measured; write model.fit(..., callbacks=[monitor]), or use "
                "the monitor in a with statement and call monitor.step() after each update"
            )
        return self._latest

    def _repr_html_(self) -> str:
        return self.report()._repr_html_() if self.measurements else f"<code>{self!r}</code>"

    def __repr__(self) -> str:
        kind = "nothing measured" if self.verdict is None else self.verdict.kind
        return f"GradientMonitor({kind}, every={self.every}, {self.steps} steps)"


def _updated(known: LayerInfo | None, layer: Observed) -> LayerInfo:
    dead = layer.dead_units
    if dead is not None:
        same = known is not None and known.dead is not None and known.dead.shape == dead.shape
        dead = dead.astype(np.int64) + (known.dead if same and known is not None else 0)
    first = (layer.activations, layer.gradients) if known is None else (known.activations[0], known.gradients[0])
    return LayerInfo(
        layer.path,
        layer.title,
        layer.activation,
        layer.norm is not None,
        (first[0], layer.activations),
        (first[1], layer.gradients),
        dead,
        1 if known is None else known.measured + 1,
    )
