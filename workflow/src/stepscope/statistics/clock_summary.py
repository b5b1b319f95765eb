"""rq3_clocks_summary: medians of clocks, lags between them, and the order of concept families."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from stepscope.statistics import clocks, survival
from stepscope.statistics.gathering import with_intervals
from stepscope.store import tables
from stepscope.table_columns import CLOCKS_SUMMARY

CLOCK = ["family", "clock", "reader"]
AXES = [*clocks.UNIT, "step", "log_snr"]  # columns of any table of steps
WHO = ["prompt_id", "seed"]
WORDS = [*clocks.UNIT, *WHO, "log_snr", "step", "word", "word_index", "method", "relevance"]
ENOUGH = 3  # families that a rank correlation is over
# Clocks that are of pairs of noises and of no sample, by the quantity that has them.
EARLIEST = {"log_snr_clean": "earliest", "log_snr_state": "earliest_state"}


def measure(
    emergence: pd.DataFrame,
    axes: pd.DataFrame,
    words: Iterable[pd.DataFrame],
    families: Mapping[str, Sequence[str]],
    between: Mapping[str, pd.DataFrame],
    world: pd.DataFrame | None,
    models: Sequence[str],
    *,
    earliest: pd.DataFrame | None = None,
    draws: int,
    confidence: float,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """rq3_clocks and rq3_clocks_summary of a study.

    `emergence` is rq3_emergence, `words` are blocks of rq2_relevance, `axes` has the log-SNR of
    every step, `between` are tables with `lower` and `upper` by the clock's name, and `world` is
    world_clock_families, which is the truth of `models`; `earliest` is rq3_earliest_summary,
    whose clocks are of no sample and stand in the summary alone.
    """
    seen = [(read, *clocks.visible(read)) for read in clocks.readings(emergence, axes)]
    rows = [found for _, found, _ in seen]
    exact = [clocks.worked_on(words, families, axes)]
    exact += [clocks.between(table, name, axes) for name, table in between.items()]
    rows += exact
    if world is not None and seen:
        rows.append(clocks.truth(world, pd.concat(rows), models))
    medians = [_of_curves(read, decided, confidence) for read, _, decided in seen]
    medians += [_of_intervals(frame, draws, confidence, seed) for frame in exact]
    if earliest is not None:
        medians.append(_of_pairs(earliest))
    table = clocks.ordered(rows)
    compared = [
        with_intervals(of, draws, confidence, seed).reset_index()
        for of in _compared(table)
        if len(of)
    ]
    summary = pd.concat([*medians, *compared], ignore_index=True)
    return table, tables.ordered(summary.reindex(columns=CLOCKS_SUMMARY), "rq3_clocks_summary")


def _of_curves(read: clocks.Readings, decided: np.ndarray, confidence: float) -> pd.DataFrame:
    """The row of a median from what readings say is decided by each step (sample, step)."""
    of_prompts = pd.DataFrame(decided).groupby(read.samples["prompt_id"].to_numpy()).mean()
    curves = of_prompts.dropna().to_numpy()
    row: dict[str, float] = {
        "n": len(curves),
        "noises": read.samples["seed"].nunique(),
        "missing": len(of_prompts) - len(curves),
    }
    if len(curves):
        found = survival.median_of_curves(curves, read.log_snr, confidence)
        row |= _within(*map(float, found))
    return pd.DataFrame([read.key | {"quantity": "log_snr", "compared": "median"} | row])


def _of_intervals(frame: pd.DataFrame, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """Rows of the medians of clocks that are known within intervals."""
    rows = []
    by = [*clocks.UNIT, *CLOCK]
    for values, group in frame.groupby(by, sort=False):
        found = survival.median_of_intervals(
            group["lower"].to_numpy(float),
            group["upper"].to_numpy(float),
            group["prompt_id"].to_numpy(),
            draws,
            confidence,
            seed,
        )
        count = {"n": group["prompt_id"].nunique(), "noises": group["seed"].nunique()}
        key = dict(zip(by, values, strict=True)) | {"quantity": "log_snr", "compared": "median"}
        rows.append(key | count | {"missing": 0} | _within(*found))
    return pd.DataFrame(rows)


def _of_pairs(earliest: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first steps at which flips are told from stable pairs of noises."""
    clock = earliest["quantity"].map(EARLIEST)
    return earliest.assign(clock=clock, quantity="log_snr")[clock.notna()]


def _within(estimate: float, low: float, high: float) -> dict[str, float]:
    """A median and its interval; what lies beyond the steps is not known."""
    numbers = {"estimate": estimate, "ci_low": low, "ci_high": high}
    return {name: value if np.isfinite(value) else np.nan for name, value in numbers.items()}


def _compared(table: pd.DataFrame) -> list[pd.Series]:
    """Values by (unit, family, clock, reader, quantity, compared, prompt_id, seed) to average."""
    of_sample = table.set_index([*clocks.UNIT, *CLOCK, *WHO])["within_steps"].astype(float)
    wide = of_sample.unstack([*CLOCK[1:]])
    found = [_labelled(of_sample, "log_snr", "mean within the steps")]
    columns: list[Any] = list(wide.columns)
    grids = {clock: wide[clock].unstack("family") for clock in columns}
    for one, other in combinations(columns, 2):
        lag = (wide[one] - wide[other]).dropna()
        found.append(_of_pair(lag, one, other, "log_snr", "minus"))
    found += [_rank_correlations(grids, *pair) for pair in combinations(columns, 2)]
    found += [_orders(wide[clock], clock) for clock in columns]
    return found


def _labelled(values: pd.Series, quantity: str, compared: str) -> pd.Series:
    """Values of samples under what they are of and what is compared."""
    frame = values.dropna().rename("value").reset_index()
    frame = frame.assign(quantity=quantity, compared=compared)
    return frame.set_index([*clocks.UNIT, *CLOCK, "quantity", "compared", *WHO])["value"]


def _of_pair(
    values: pd.Series, one: tuple[str, str], other: tuple[str, str], quantity: str, how: str
) -> pd.Series:
    """Values of samples and families under the first clock's name, against the other's."""
    frame = values.rename("value").reset_index().assign(clock=one[0], reader=one[1])
    named = f"{how} {clock_name(*other)}, paired by sample"
    return _labelled(frame.set_index([*clocks.UNIT, *CLOCK, *WHO])["value"], quantity, named)


def clock_name(clock: str, reader: str) -> str:
    """A clock and who reads it."""
    return f"{clock} by {reader}" if reader else clock


def _rank_correlations(
    grids: Mapping[Any, pd.DataFrame], one: tuple[str, str], other: tuple[str, str]
) -> pd.Series:
    """Spearman's correlation over families of two clocks in each sample that has enough of them.

    `grids` has the times of each clock, a row a sample and a column a family.
    """
    times = np.stack([grids[clock].to_numpy() for clock in (one, other)])
    times = np.where(np.isfinite(times).all(0), times, np.nan)
    enough = np.isfinite(times[0]).sum(-1) >= ENOUGH
    if not enough.any():
        return pd.Series(dtype=float)
    ranks = stats.rankdata(times[:, enough], axis=-1, nan_policy="omit")
    first, second = ranks - np.nanmean(ranks, -1, keepdims=True)
    size = np.sqrt(np.nansum(first**2, -1) * np.nansum(second**2, -1))
    values = np.nansum(first * second, -1) / np.where(size > 0, size, np.nan)
    found = pd.Series(values, grids[one].index[enough])
    frame = found.rename("value").reset_index().assign(family="").dropna(subset="value")
    values = frame.set_index([*clocks.UNIT, "family", *WHO])["value"]
    return _of_pair(values, one, other, "rank_correlation", "over families, with")


def _orders(values: pd.Series, clock: tuple[str, str]) -> pd.Series:
    """Whether each family comes before the one that follows it in the mean order of a clock.

    1 or 0, and one half where both come at once: the mean is in how many prompts the order holds.
    """
    found = []
    for unit, of_unit in values.dropna().rename("time").reset_index().groupby(clocks.UNIT):
        times = of_unit.pivot_table(index=WHO, columns="family", values="time")
        order = times.mean().sort_values().index
        for first, second in pairwise(order):
            lag = (times[second] - times[first]).dropna()
            key = dict(zip(clocks.UNIT, unit, strict=True)) | {"family": first}
            key |= {"clock": clock[0], "reader": clock[1]}
            frame = ((np.sign(lag) + 1) / 2).rename("value").reset_index().assign(**key)
            frame = frame.assign(quantity="share_in_order", compared=f"before {second}")
            found.append(frame)
    if not found:
        return pd.Series(dtype=float)
    keys = [*clocks.UNIT, *CLOCK, "quantity", "compared", *WHO]
    return pd.concat(found).set_index(keys)["value"]
