"""What is read off the curves of a prompt's words over steps: which is on top, and from when."""

from typing import NamedTuple

import numpy as np

LEAD = 0.1  # of the runner-up's share, by which the top word must lead


class Reign(NamedTuple):
    """A word's time on top: its row, and where on the log-SNR axis it took over.

    Between `low` and `high` neither the word before it nor it leads; `log_snr` is where their
    curves cross there. The first reign has low = high = log_snr, its first step.
    """

    word: int
    log_snr: float
    low: float
    high: float


def tops(low: np.ndarray, mean: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Row of the word on top at each step, (step,), -1 where none leads; curves (word, step).

    A word leads if the least of its seeds is above the largest of every other word's by `LEAD`.
    """
    top = mean.argmax(0)
    steps = np.arange(mean.shape[1])
    others = np.where(np.arange(len(mean))[:, None] == top, -np.inf, high)
    most = others.max(0) if len(mean) > 1 else np.zeros(len(steps))
    least = low[top, steps]
    return np.where((least > 0) & (least >= (1 + LEAD) * most), top, -1)


def reigns(low: np.ndarray, mean: np.ndarray, high: np.ndarray, log_snr: np.ndarray) -> list[Reign]:
    """Reigns of the top word, from curves (word, step): mean over seeds, with their range.

    A reign begins at the first step at which its word leads (see `tops`) and lasts until another
    word leads: a lead by a hair, or of some seeds, is no switch.
    """
    found: list[Reign] = []
    last = 0  # the last step at which the reigning word led
    for step, top in enumerate(tops(low, mean, high)):
        if top < 0:
            continue
        if not found:
            found.append(Reign(int(top), *[float(log_snr[step])] * 3))
        elif top != found[-1].word:
            part = slice(last, step + 1)
            ahead = mean[top, part] - mean[found[-1].word, part]
            where = _crossing(log_snr[part], ahead)
            found.append(Reign(int(top), where, float(log_snr[last]), float(log_snr[step])))
        last = step
    return found


def _crossing(x: np.ndarray, y: np.ndarray) -> float:
    """Where a line through points, below 0 first and above at last, crosses 0 for the last time."""
    before = np.flatnonzero(y <= 0)[-1]
    return float(np.interp(0, y[before : before + 2], x[before : before + 2]))


def centre(log_snr: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Centre of mass (...) on the log-SNR axis of curves (..., step) >= 0; NaN of empty ones.

    A step stands for half the way to its neighbours, so that dense steps count no more.
    """
    widths = np.gradient(log_snr) if len(log_snr) > 1 else np.ones(1)
    weights = curves * np.abs(widths)
    total = weights.sum(-1)
    return (weights * log_snr).sum(-1) / np.where(total > 0, total, np.nan)
