"""Until when prompt switches win: falling curves through shares, their medians and intervals."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize

from stepscope.statistics.gathering import FAMILY

BOTH = "both"  # stands for both trajectories
CURVE = "isotonic, falling with log-SNR"
MEDIAN = "median, the isotonic curve at one half"


class Curve(NamedTuple):
    """A falling curve (step,) through means over prompts, and draws of it (draw, step)."""

    log_snr: np.ndarray
    steps: np.ndarray
    estimate: np.ndarray
    drawn: np.ndarray
    prompts: int
    noises: int
    missing: int


def falling(means: np.ndarray) -> np.ndarray:
    """Least-squares curve (start,) through means (start,) that never rises."""
    return optimize.isotonic_regression(means, increasing=False).x


def half(curve: np.ndarray, log_snr: np.ndarray) -> float:
    """Log-SNR at which a falling curve (start,) passes one half, linearly between starts.

    Infinite where it does so before the first start or behind the last: it is censored there.
    """
    if curve[0] < 0.5:
        return -np.inf
    if curve[-1] >= 0.5:
        return np.inf
    below = int(np.argmax(curve < 0.5))
    share = (curve[below - 1] - 0.5) / (curve[below - 1] - curve[below])
    return float(log_snr[below - 1] + share * (log_snr[below] - log_snr[below - 1]))


def curve_of(rows: pd.DataFrame, draws: int, seed: int) -> Curve | None:
    """Curve of rows of rq3_commitment, of one family and reader; None where no switch is read.

    Prompts are drawn again with their seeds and directions. Of a prompt, switches that the reader
    cannot tell apart are left out.
    """
    wide = rows.pivot_table(index="prompt_id", columns="step", values="wins", aggfunc="mean")
    if wide.empty:
        return None
    when = rows.drop_duplicates("step").set_index("step").loc[wide.columns]
    values = wide.to_numpy()
    again = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    known = rows.dropna(subset="wins")
    return Curve(
        when["log_snr"].to_numpy(),
        wide.columns.to_numpy(),
        falling(values.mean(0)),
        np.stack([falling(means) for means in values[again].mean(1)]),
        len(wide),
        known["seed"].nunique(),
        rows["prompt_id"].nunique() - len(wide),
    )


def interval(drawn: np.ndarray, confidence: float, prompts: int) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval, low and high (...), of draws (draw, ...), infinite ones among them.

    One prompt alone has none: NaN.
    """
    if prompts < 2:
        unknown = np.full(drawn.shape[1:], np.nan)
        return unknown, unknown
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(drawn, tails, axis=0, method="nearest")
    return low, high


def curves(frame: pd.DataFrame, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """Isotonic curves and medians of rq3_commitment, by family and reader, as rows of a summary.

    A curve has a row a step, a median (infinite where it is censored) one without a step.
    """
    rows: list[dict[str, Any]] = []
    for group, of_group in frame.groupby(FAMILY, sort=False, observed=True):
        key = dict(zip(FAMILY, group, strict=True)) | {"trajectory": BOTH}
        if curve := curve_of(of_group, draws, seed):
            rows += _rows(curve, key, of_group, confidence)
    return pd.DataFrame(rows)


def _rows(
    curve: Curve, key: dict[str, Any], of_group: pd.DataFrame, confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of a curve's steps, then that of its median."""
    numbers = {"n": curve.prompts, "noises": curve.noises, "missing": curve.missing}
    when = of_group.drop_duplicates("step").set_index("step")["timestep"]
    low, high = interval(curve.drawn, confidence, curve.prompts)
    for place, step in enumerate(curve.steps):
        yield {
            **key,
            **{"step": step, "timestep": when[step], "log_snr": curve.log_snr[place]},
            **{"quantity": "wins", "compared": CURVE, **numbers},
            **{"estimate": curve.estimate[place], "ci_low": low[place], "ci_high": high[place]},
        }
    medians = np.array([half(drawn, curve.log_snr) for drawn in curve.drawn])
    of_median = interval(medians, confidence, curve.prompts)
    yield {
        **key,
        **{"quantity": "log_snr", "compared": MEDIAN, **numbers},
        "estimate": half(curve.estimate, curve.log_snr),
        **dict(zip(("ci_low", "ci_high"), map(float, of_median), strict=True)),
    }
