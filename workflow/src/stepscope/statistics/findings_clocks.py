"""What the tables say about the clocks of a concept: which is first, and what order they give."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from stepscope.statistics.clock_summary import clock_name
from stepscope.statistics.finding import Finding, References, noises_of, over_prompts

LACKING: References = {
    "without_objects": "the Gaussian null reads no words",
    "at_chance": "chance and the reader's errors are taken out of what is visible",
    "with_centre": "measured without a map",
}
OTHERS = ("information", "relevance", "overridable", "decided", "bayes")  # clocks beside visible
FEWEST = 3  # families that an order is of


def order(measured: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    """C1 to C3, of rq3_clocks: lags between clocks over all families, and their orders."""
    wide, beside = _wide(measured["rq3_clocks"]), measured["rq3_clocks_null"]
    null = _wide(beside[beside["denoiser"] == "gaussian_null"])
    lags = (
        ("C1", "visible", "decided", "needs the clock decided, of rq3_decided"),
        ("C1", "visible", "bayes", "needs the world's clock: run the target world_clock first"),
        ("C2", "information", "overridable", "needs word information and rq3_commitment"),
        ("C2", "visible", "information", "needs word information, and concepts that prompts name"),
    )
    for claim, later, earlier, reason in lags:
        for one, other in _pairs(wide, later, earlier):
            values = (wide[one] - wide[other]).dropna().groupby(level=["prompt_id", "seed"]).mean()
            text = f"log-SNR, {clock_name(*one)} minus {clock_name(*other)}, over families"
            references = dict(LACKING)
            if {one, other} <= {*null.columns}:
                lags_of_null = (null[one] - null[other]).dropna()
                references["without_objects"] = over_prompts(lags_of_null).mean()
            yield Finding.of_samples(claim, text, 1, values, reason, references)
        if not list(_pairs(wide, later, earlier)):
            yield Finding(claim, f"log-SNR, {later} minus {earlier}", reason=reason)
    for name in OTHERS:
        for one, other in _pairs(wide, "visible", name):
            yield _same_order(wide, one, other)
        if not list(_pairs(wide, "visible", name)):
            reason = f"the study has no clock {name}"
            yield Finding("C3", f"order of families by {name} and visible", reason=reason)


def _wide(clocks: pd.DataFrame) -> pd.DataFrame:
    """Times within the steps by (prompt_id, seed, family), a column a clock and reader."""
    keys = ["prompt_id", "seed", "family", "clock", "reader"]
    return clocks.set_index(keys)["within_steps"].astype(float).unstack(["clock", "reader"])


def _pairs(
    wide: pd.DataFrame, one: str, other: str
) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Columns of two clocks, by each of the readers of both."""
    columns: list[Any] = list(wide.columns)
    firsts, seconds = ([of for of in columns if of[0] == name] for name in (one, other))
    return [(first, second) for first in firsts for second in seconds]


def _same_order(wide: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]) -> Finding:
    """C3: whether families come later by one clock the later they come by another.

    A prompt's number is the slope of its times by the first clock over the ranks of the families by
    the second in all other prompts, in nats a rank: noise of single times makes it no smaller.
    """
    both = wide[[one, other]].dropna().groupby(level=["prompt_id", "family"]).mean()
    times, others = both[one].unstack("family"), both[other].unstack("family")
    known = others.notna().to_numpy()
    counted = known.sum(0) - known
    sums = np.nan_to_num(others.to_numpy())
    means = np.where(counted > 0, (sums.sum(0) - sums) / np.maximum(counted, 1), np.nan)
    values = {}
    for prompt, row, mean in zip(times.index, times.to_numpy(), means, strict=True):
        kept = np.isfinite(row) & np.isfinite(mean)
        rank = stats.rankdata(mean[kept]) - (kept.sum() + 1) / 2
        if kept.sum() >= FEWEST and rank.any():
            values[prompt] = rank @ row[kept] / (rank @ rank)
    text = (
        f"slope of {clock_name(*one)} over the rank of families by {clock_name(*other)} in other "
        "prompts, nats a rank"
    )
    found = np.array(list(values.values()))
    noises = noises_of(wide.reset_index(), values)
    reason = f"needs {FEWEST} families with both clocks in two prompts"
    return Finding("C3", text, 1, found, reason=reason, noises=noises, references=LACKING)
