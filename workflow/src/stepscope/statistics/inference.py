"""Means over prompts with bootstrap intervals, permutation tests and Holm."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

# Of more prompts Student's t takes the place of draws, which say no more: ends differ by about as
# much as those of two seeds do.
MANY = 1000
GROUPS_AT_ONCE = 256  # bounds memory: groups x draws, or groups x prompts, numbers
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
    for block in _blocks(np.flatnonzero(counts > MANY)):
        low[block], high[block] = _students(values[block], confidence)
    few = np.flatnonzero((counts > 1) & (counts <= MANY))
    patterns, which = np.unique(np.isfinite(values[few]), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        for block in _blocks(few[which.ravel() == number]):
            low[block], high[block] = _studentised(
                values[block][:, pattern], draws, confidence, seed
            )
    return low, high


def _blocks(groups: np.ndarray) -> list[np.ndarray]:
    """Groups in parts of `GROUPS_AT_ONCE` at most."""
    return np.array_split(groups, max(1, -(-len(groups) // GROUPS_AT_ONCE)))


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
    return all_per_sample(frame, by, [value])[value]


def all_per_sample(frame: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Those of several values, a column each."""
    return frame.groupby([*by, "prompt_id", "seed"], sort=True)[list(values)].mean()


def per_prompt(values: pd.Series) -> pd.Series:
    """Mean over each prompt's seeds, of values by (..., prompt_id, seed).

    Prompts are what intervals draw again, never seeds or steps.
    """
    return values.groupby(level=values.index.names[:-1], sort=True).mean()


def trend(frame: pd.DataFrame, value: str, by: Sequence[str] = ("prompt_id", "seed")) -> pd.Series:
    """Rank correlation of a value with log-SNR over each sample's steps, indexed by `by`.

    Spearman's; NaN where a sample has one step, or the same value at all.
    """
    frame = frame.dropna(subset=[value])
    samples = frame.groupby(list(by), sort=True)
    sample = samples.ngroup()
    x, y = (frame[name].groupby(sample).rank() for name in ("log_snr", value))
    x, y = (ranks - ranks.groupby(sample).transform("mean") for ranks in (x, y))
    size = ((x * x).groupby(sample).sum() * (y * y).groupby(sample).sum()) ** 0.5
    found = (x * y).groupby(sample).sum() / size.where(size > 0)
    return found.set_axis(samples.size().index)


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
        batch=max(1, DRAWN_AT_ONCE // len(values)),
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
