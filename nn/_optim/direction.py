"""Whether more or less of a column of the history is better."""

from __future__ import annotations

import re

__all__ = ["better_way"]

# Whole words of a column's name: "val_balanced_accuracy", "f1_macro". A loss of anything is a loss, but not the
# negative of one, "neg_log_loss", as scikit-learn's scorers have it.
_LESS = "loss error mse mae rmse mape l1 l2 nll perplexity brier deviance"
_MORE = "accuracy r2 f1 fbeta auc precision recall sensitivity specificity iou jaccard dice mcc kappa score"


def better_way(me: str, monitor: str, mode: str) -> str:
    """Return "min" or "max": the mode, or for "auto" what the column's name says.

    Raises ValueError if the mode is unknown or contradicts the name, or if it is "auto" and the name says nothing.
    """
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"{me}: mode must be 'auto', 'min' or 'max', got {mode!r}")
    words = set(re.split(r"[^a-z0-9]+", monitor.lower()))
    less, more = ("max", "min") if "neg" in words else ("min", "max")
    known = less if words & set(_LESS.split()) else more if words & set(_MORE.split()) else ""
    if mode == "auto" and not known:
        raise ValueError(
            f"{me}: whether more or less of {monitor!r} is better cannot be told from its name; write mode='min' or "
            "mode='max'"
        )
    if mode != "auto" and known and mode != known:
        better = "less" if known == "min" else "more"
        raise ValueError(f"{me}: mode={mode!r} contradicts {monitor!r}, of which {better} is better; leave mode out")
    return known if mode == "auto" else mode
