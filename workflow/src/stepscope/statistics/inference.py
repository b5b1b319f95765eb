"""Means over prompts with bootstrap intervals, permutation tests and Holm."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

# Of more prompts Student's t takes the place of draws, which say no more: ends differ by about as
# much as those of two seeds do.
MANY = 1000
GROUPS_AT_ONCE = 256  # bounds the memory of draws: groups x draws numbers
DRAWN_AT_ONCE = 2**21  # prompts of all draws that are held together
ROUNDING = 1e-12  # relative; values that differ by less are equal
# A draw of few prompts, or of values that are nearly all equal, may have no spread of its own; its
# standard error counts as a quarter of the prompts' at least, so that no interval is without end.
LEAST_ERROR = 0.25


def bootstrap(
    values: np.ndarray, draws: int, confidence: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Studentised interval of the mean over prompts, low and high (group,), of (group, prompt).

    `values` are float, NaN where a prompt has none. `scipy.stats.bootstrap` draws the prompts that
    a group has; groups that lack the same prompts are drawn together, so that they stay paired. The
    distance of a draw's mean in its own standard errors stands for that of the mean from the truth
    (Efron and Tibshirani 1993, chapter 12), which covers it more often than percentiles of the
    means do where prompts are few or skewed. Of more than `MANY` prompts it is Student's, which the
    draws' then is too. One prompt alone has no interval: NaN.
    """
    low, high = np.full((2, len(values)), np.nan)
    counts = np.isfinite(values).sum(-1)
    many = counts > MANY
    low[many], high[many] = _students(values[many], confidence)
    few = np.flatnonzero((counts > 1) & ~many)
    patterns, which = np.unique(np.isfinite(values[few]), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = few[which.ravel() == number]
        for block in np.array_split(rows, -(-len(rows) // GROUPS_AT_ONCE)):
            low[block], high[block] = _studentised(
                values[block][:, pattern], draws, confidence, seed
            )
    return low, high


def _students(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Student's interval of the mean, low and high (group,), of values (group, prompt)."""
    count, mean = np.isfinite(values).sum(-1), np.nanmean(values, -1)
    width = stats.t.ppf((1 + confidence) / 2, count - 1)
    width = width * np.nanstd(values, -1, ddof=1) / np.sqrt(count)
    return mean - width, mean + width


def _studentised(
    values: np.ndarray, draws: int, confidence: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Interval, low and high (group,), of values (group, prompt) without gaps."""
    count = values.shape[-1]
    mean, error = values.mean(-1), stats.sem(values, axis=-1)
    error = np.where(error > ROUNDING * np.abs(values).max(-1), error, 0)
    scale = np.where(error > 0, error, np.inf)  # values that are all equal have no width
    standard = (values - mean[:, None]) / scale[:, None]

    def distances(drawn: np.ndarray, axis: int) -> np.ndarray:
        times = _times_drawn(drawn, count).T
        return _standard_errors_away(standard @ times, np.square(standard) @ times, count)

    found = stats.bootstrap(
        (np.arange(count),),
        distances,
        axis=-1,
        n_resamples=draws,
        batch=max(1, min(draws, DRAWN_AT_ONCE // count)),
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return mean - found.high * error, mean - found.low * error


def _times_drawn(drawn: np.ndarray, count: int) -> np.ndarray:
    """How often each of `count` prompts is among those of each draw, (draw, prompt) f8."""
    places = drawn + count * np.arange(len(drawn))[:, None]
    times = np.bincount(places.ravel(), minlength=count * len(drawn))
    return times.reshape(len(drawn), count).astype(float)


def _standard_errors_away(sums: np.ndarray, squares: np.ndarray, count: int) -> np.ndarray:
    """Means over their standard errors of draws of so many values, whose own standard error is 1.

    `sums` and `squares` (group, draw) are those of the values and of their squares.
    """
    mean = sums / count
    variance = (squares / count - mean**2) / (count - 1)
    return mean / np.sqrt(np.maximum(variance, LEAST_ERROR**2))


def per_sample(frame: pd.DataFrame, by: Sequence[str], value: str) -> pd.Series:
    """Mean over each sample's words of one role, indexed by `by`, prompt_id and seed."""
    return frame.groupby([*by, "prompt_id", "seed"], sort=True)[value].mean()


def per_prompt(values: pd.Series) -> pd.Series:
    """Mean over each prompt's seeds, of values by (..., prompt_id, seed).

    Prompts are what intervals draw again, never seeds or steps.
    """
    return values.groupby(level=values.index.names[:-1], sort=True).mean()


class Gathered(NamedTuple):
    """What intervals are made of: a row a group, with a column a prompt or a seed."""

    means: pd.DataFrame  # over a prompt's seeds, NaN where it has none
    known: pd.DataFrame  # whether a seed has a value; it alone decides a sample's noise
    prompts: pd.Series  # that have a row, with a value or without


def gathered(values: pd.Series) -> Gathered:
    """Gather values by (..., prompt_id, seed)."""
    means, by = per_prompt(values), values.index.names[:-2]
    known = values.notna().groupby(level=[*by, "seed"], sort=True).any()
    return Gathered(
        means.unstack("prompt_id"),
        known.unstack("seed", fill_value=False),
        means.groupby(level=by, sort=True).size(),
    )


def joined(parts: Sequence[Gathered]) -> Gathered:
    """Put together what was gathered of other prompts each, in the order of their names."""
    if len(parts) == 1:
        return parts[0]
    means = pd.concat([part.means for part in parts], axis=1).sort_index()
    known = pd.concat([part.known for part in parts], axis=1).sort_index()
    prompts = pd.concat([part.prompts for part in parts], axis=1).sort_index()
    seeds = known.fillna(False).astype(bool).T.groupby(level=0).any().T
    return Gathered(means.sort_index(axis=1), seeds, prompts.sum(axis=1).astype(int))


def intervals(of: Gathered, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """n, noises, missing, estimate, ci_low and ci_high of each group.

    n is the number of prompts with a value, `noises` that of distinct seeds behind them, missing
    that of prompts without: a constant map, a concept that never stays, a region that is empty.
    """
    values, count = of.means.to_numpy(float), of.means.notna().sum(axis=1)
    frame = pd.DataFrame({"n": count, "noises": of.known.sum(axis=1)})
    low, high = bootstrap(values, draws, confidence, seed)
    return frame.assign(
        missing=of.prompts - count,
        estimate=_sums(values) / count.where(count > 0),
        ci_low=low,
        ci_high=high,
    )


def _sums(values: np.ndarray) -> np.ndarray:
    """Sums (group,) of values (group, prompt) with gaps, by Kahan's algorithm as pandas' means."""
    total, lost = np.zeros((2, len(values)))
    for column in values.T:
        known, added = np.isfinite(column), column - lost
        after = total + added
        lost = np.where(known, after - total - added, lost)
        total = np.where(known, after, total)
    return total


def with_intervals(values: pd.Series, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """Those `intervals` of values by (..., prompt_id, seed)."""
    return intervals(gathered(values), draws, confidence, seed)


def trend(frame: pd.DataFrame, value: str, by: Sequence[str] = ("prompt_id", "seed")) -> pd.Series:
    """Rank correlation of a value with log-SNR over each sample's steps, indexed by `by`.

    Spearman's; NaN where a sample has one step, or the same value at all.
    """
    frame = frame.dropna(subset=[value])
    keys = [frame[name] for name in by]
    x, y = (frame.groupby(keys)[name].rank() for name in ("log_snr", value))
    x, y = (ranks - ranks.groupby(keys).transform("mean") for ranks in (x, y))
    size = ((x * x).groupby(keys).sum() * (y * y).groupby(keys).sum()) ** 0.5
    return (x * y).groupby(keys).sum() / size.where(size > 0)


def sign_flip(values: np.ndarray, draws: int, seed: int) -> float:
    """Two-sided p-value of a mean of paired differences (prompt,) under exchanged pairs.

    The null of `scipy.stats.permutation_test`: for each prompt, which of the two was which is
    arbitrary. Each difference is one number of a prompt, so no step or seed is exchanged. Of more
    than `MANY` prompts it is that of Student's t-test.
    """
    if len(values) > MANY:
        return float(stats.ttest_1samp(values, 0).pvalue)
    return stats.permutation_test(
        (values, np.zeros_like(values)),
        lambda first, second, axis: np.mean(first - second, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=draws,
        rng=np.random.default_rng(seed),
    ).pvalue


def equivalence(values: np.ndarray, margin: float) -> float:
    """P-value of two one-sided t-tests (Schuirmann 1987) that a mean is within a margin of zero.

    Or beyond it, whichever is the likelier, and doubled for having asked both. values (prompt,).
    """

    def one_sided(bound: float, side: str) -> float:
        return float(stats.ttest_1samp(values, bound, alternative=side).pvalue)

    within = max(one_sided(-margin, "greater"), one_sided(margin, "less"))
    beyond = min(one_sided(margin, "greater"), one_sided(-margin, "less"))
    return min(2 * min(within, beyond), 1.0)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values (1979); NaN, a claim without a test, stays out of the count."""
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested])]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return adjusted


def interval(values: np.ndarray, draws: int, confidence: float, seed: int) -> tuple[float, float]:
    """Bootstrap interval, low and high, of the mean of one number a prompt, float (prompt,)."""
    low, high = bootstrap(values[None], draws, confidence, seed)
    return low.item(), high.item()
