"""Since when flips are told from stable pairs of noises: areas under ROC curves, first steps."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from stepscope.scores.emergence import onset
from stepscope.statistics import inference
from stepscope.statistics.gathering import FAMILY

NOISE = ["prompt_id", "seed"]
FEWEST = 8  # flips, and stable pairs, below which a family is not tested
AREA = "area under the ROC curve, flips against stable pairs"
FIRST = "first step from which the area stays above chance"
BY = {"clean": "clean predictions", "state": "states"}  # what distances are of


def placements(distance: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """Share of the other kind that each pair is on the right side of, (..., pair) f8.

    Of a flip that of the stable pairs which are less apart, of a stable pair that of the flips
    which are further; equal ones count half. distance (..., pair), flipped (pair,) bool with both
    kinds. The mean over either kind is the area under the ROC curve (DeLong et al. 1988), by ranks
    (Sun and Xu 2014).
    """
    ranks = stats.rankdata(distance, axis=-1)
    found = np.empty(ranks.shape)
    for kind in (flipped, ~flipped):
        own = stats.rankdata(distance[..., kind], axis=-1)
        found[..., kind] = (ranks[..., kind] - own) / (~kind).sum()
    return np.where(flipped, found, 1 - found)


def areas(distance: np.ndarray, flipped: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Values (..., noise) whose mean is the area under the ROC curve over pairs.

    A noise's value is the area with what its pairs add to it, not bound to 0..1 (Obuchowski 1997):
    pairs of one noise are not independent, noises are. Arguments as of `placements`, and `noise`
    (pair,) int from 0.
    """
    placed = placements(distance, flipped)
    area = placed[..., flipped].mean(-1, keepdims=True)
    weight = np.where(flipped, 1 / flipped.sum(), 1 / (~flipped).sum())
    added, noises = (placed - area) * weight, noise.max() + 1
    sums = [np.bincount(noise, row, noises) for row in added.reshape(-1, len(noise))]
    return area + noises * np.reshape(sums, (*added.shape[:-1], noises))


def curves(frame: pd.DataFrame, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """Rows of rq3_earliest's summary, by family and reader, of rows of the table.

    A row a step with the area by each kind of distance, one without a step with its first step, and
    one with the share of pairs that flip. Intervals are over noises, which are drawn again with
    their pairs. A family with too few pairs of either kind has a row that says so.
    """
    rows: list[dict[str, Any]] = []
    for group, of_group in frame.groupby(FAMILY, sort=False, observed=True):
        key = dict(zip(FAMILY, group, strict=True))
        rows += [key | row for row in _rows(of_group, draws, confidence, seed)]
    return pd.DataFrame(rows)


def _rows(
    of_group: pd.DataFrame, draws: int, confidence: float, seed: int
) -> Iterator[dict[Any, Any]]:
    """Rows of one family and reader."""
    when = of_group.drop_duplicates("step").sort_values("step")[["step", "timestep", "log_snr"]]
    by = [*NOISE, "pair"]
    pairs = of_group.drop_duplicates(by).sort_values(by)
    flipped = pairs["flipped"].to_numpy() > 0
    noise = pairs.groupby(NOISE).ngroup().to_numpy()
    count = {"n": pairs["prompt_id"].nunique(), "noises": noise.max() + 1, "missing": 0}

    def intervals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        low, high = inference.bootstrap(values, draws, confidence, seed)
        return values.mean(-1), np.clip(low, 0, 1), np.clip(high, 0, 1)

    shares = pairs["flipped"].groupby(noise).mean().to_numpy(float)
    share = (float(number[0]) for number in intervals(shares[None]))
    names = ("estimate", "ci_low", "ci_high")
    yield {"quantity": "flipped", "compared": "share of pairs", **count} | dict(
        zip(names, share, strict=True)
    )
    for column, what in BY.items():
        first = {"quantity": f"log_snr_{column}", "compared": FIRST, **count}
        if min(flipped.sum(), (~flipped).sum()) < FEWEST:
            lacking = f"not testable: {flipped.sum()} of {len(flipped)} pairs flip"
            yield first | {"compared": f"{lacking}, and {FEWEST} of either kind are needed"}
            continue
        wide = of_group.pivot_table(index="step", columns=by, values=column).sort_index(axis=1)
        found = intervals(areas(wide.to_numpy(), flipped, noise))
        for step, *numbers in zip(when.to_dict("records"), *found, strict=True):
            values = dict(zip(names, map(float, numbers), strict=True))
            yield step | {"quantity": column, "compared": AREA, **count} | values
        place = onset(found[1] > 0.5)
        if np.isfinite(place):
            step = when.iloc[int(place)].to_dict()
            yield first | step | {"estimate": step["log_snr"]}
        else:
            yield first | {"compared": f"never above chance: by {what}"}
