"""Means over prompts with bootstrap intervals, permutation tests and Holm."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

GROUPS_AT_ONCE = 64  # bounds the memory of a bootstrap: groups x draws x prompts numbers
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
    means do where prompts are few or skewed. One prompt alone has no interval: NaN.
    """
    low, high = np.full((2, len(values)), np.nan)
    patterns, which = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.sum() < 2:
            continue
        rows = np.flatnonzero(which.ravel() == number)
        for block in np.array_split(rows, -(-len(rows) // GROUPS_AT_ONCE)):
            low[block], high[block] = _studentised(
                values[block][:, pattern], draws, confidence, seed
            )
    return low, high


def _studentised(
    values: np.ndarray, draws: int, confidence: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Interval, low and high (group,), of values (group, prompt) without gaps."""
    mean, error = values.mean(-1), stats.sem(values, axis=-1)
    error = np.where(error > ROUNDING * np.abs(values).max(-1), error, 0)
    scale = np.where(error > 0, error, np.inf)  # values that are all equal have no width
    distances = stats.bootstrap(
        ((values - mean[:, None]) / scale[:, None],),
        _standard_errors_away,
        axis=-1,
        n_resamples=draws,
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return mean - distances.high * error, mean - distances.low * error


def _standard_errors_away(drawn: np.ndarray, axis: int) -> np.ndarray:
    """Means of draws over their standard errors, of values whose own standard error is 1."""
    count, mean = drawn.shape[axis], drawn.mean(axis)
    variance = (np.square(drawn).mean(axis) - mean**2) / (count - 1)
    return mean / np.sqrt(np.maximum(variance, LEAST_ERROR**2))


def per_sample(frame: pd.DataFrame, by: Sequence[str], value: str) -> pd.Series:
    """Mean over each sample's words of one role, indexed by `by`, prompt_id and seed."""
    return frame.groupby([*by, "prompt_id", "seed"], sort=True)[value].mean()


def per_prompt(values: pd.Series) -> pd.Series:
    """Mean over each prompt's seeds, of values by (..., prompt_id, seed).

    Prompts are what intervals draw again, never seeds or steps.
    """
    return values.groupby(level=values.index.names[:-1], sort=True).mean()


def noises(values: pd.Series) -> pd.Series:
    """Number of distinct seeds per group among the values that exist, by (..., prompt_id, seed).

    The seed alone decides a sample's initial noise, whatever its prompt.
    """
    by = values.index.names[:-2]
    seeds = values.dropna().reset_index("seed")["seed"].groupby(level=by).nunique()
    return seeds.reindex(values.groupby(level=by, sort=True).size().index, fill_value=0)


def with_intervals(values: pd.Series, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """n, noises, missing, estimate, ci_low and ci_high per group, of (..., prompt_id, seed) values.

    n is the number of prompts with a value, `noises` that of distinct seeds behind them, missing
    that of prompts without: a constant map, a concept that never stays, a region that is empty.
    """
    means = per_prompt(values)
    grouped = means.groupby(level=means.index.names[:-1], sort=True)
    frame = pd.DataFrame({"n": grouped.count(), "noises": noises(values)})
    frame = frame.assign(missing=grouped.size() - frame["n"], estimate=grouped.mean())
    wide = means.unstack("prompt_id").loc[frame.index]
    frame["ci_low"], frame["ci_high"] = bootstrap(wide.to_numpy(float), draws, confidence, seed)
    return frame


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
    arbitrary. Each difference is one number of a prompt, so no step or seed is exchanged.
    """
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


def matching(
    blocks: Sequence[np.ndarray], weights: Sequence[float], draws: int, seed: int
) -> tuple[list[np.ndarray], float]:
    """Do curves match their own partner better than another's? Effects (curve,) a block, p-value.

    A block is a square matrix, [i, j] the correlation over steps of curve i with partner j; effects
    are those of `beyond_others`.
    The null of `scipy.stats.monte_carlo_test` swaps whole partner curves within a block: each
    keeps its trend and autocorrelation, which steps shuffled one by one would lose, and the curves
    of a block keep their dependence (shares sum to 1). Two-sided, on the mean of the diagonals.
    """
    effects = [beyond_others(block) for block in blocks]
    ends = np.cumsum([len(block) for block in blocks])
    rng = np.random.default_rng(seed)

    def swapped(size: tuple[int, int]) -> np.ndarray:
        count, _ = size
        orders = [np.tile(np.arange(len(block)), (count, 1)) for block in blocks]
        return np.concatenate([rng.permuted(order, axis=1) for order in orders], axis=1)

    def statistic(orders: np.ndarray, axis: int) -> np.ndarray:
        of_blocks = np.split(orders.astype(int), ends[:-1], axis=-1)
        means = [
            block[np.arange(len(block)), order].mean(-1)
            for block, order in zip(blocks, of_blocks, strict=True)
        ]
        return np.average(means, axis=0, weights=weights)

    own = np.concatenate([np.arange(len(block)) for block in blocks])
    result = stats.monte_carlo_test(own, swapped, statistic, vectorized=True, n_resamples=draws)
    return effects, float(result.pvalue)


def beyond_others(block: np.ndarray) -> np.ndarray:
    """[i, i] minus the mean of row and column i, (curve,): 0 where partners do not matter."""
    return np.diag(block) - (block.mean(0) + block.mean(1)) / 2


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation over steps of every curve with every partner, (i, j), of (curve, step) arrays.

    Pearson's; 0 for a constant curve, which goes with none.
    """
    return _standardised(first) @ _standardised(second).T


def _standardised(curves: np.ndarray) -> np.ndarray:
    """Curves (curve, step) without their means, of length 1; 0 where a curve is constant."""
    centred = curves - curves.mean(-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return centred / np.where(length > 1e-12 * np.abs(curves).max(), length, np.inf)


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
