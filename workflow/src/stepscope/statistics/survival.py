"""Medians of times that are known within intervals, or as curves of what is decided by when."""

import functools

import numpy as np
from scipy import optimize, stats

ROUNDS = 50  # of self-consistency; later ones move a median by less than its digits
AT_ONCE = 2**22  # numbers of draws that are held together


def rising(curves: np.ndarray) -> np.ndarray:
    """Curves (..., step) as the nearest that never fall, by least squares."""
    flat = curves.reshape(-1, curves.shape[-1])
    return np.array([optimize.isotonic_regression(row).x for row in flat]).reshape(curves.shape)


def crossing(curves: np.ndarray, times: np.ndarray, level: float = 0.5) -> np.ndarray:
    """Time (...,) at which rising curves (..., step) pass a level, between steps linearly.

    -inf where they begin above it, inf where they end below it. times (step,) rise.
    """
    curves = np.asarray(curves, float)
    above = curves >= level
    step = np.clip(above.argmax(-1), 1, None)[..., None]
    before, after = (np.take_along_axis(curves, step - back, -1)[..., 0] for back in (1, 0))
    share = (level - before) / np.where(after > before, after - before, 1)
    low, high = times[step[..., 0] - 1], times[step[..., 0]]
    inside = low + np.clip(share, 0, 1) * (high - low)
    return np.where(above[..., 0], -np.inf, np.where(above.any(-1), inside, np.inf))


def median_of_curves(
    curves: np.ndarray, times: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median with its interval, (...,) each, of curves (..., prompt, step) of what is decided.

    The interval holds the times at which the share of prompts is not told from one half
    (Brookmeyer and Crowley 1982), by Student's t over prompts. Infinite ends lie beyond the steps.
    """
    mean = rising(curves.mean(-2))
    count = curves.shape[-2]
    if count < 2:
        nothing = np.full(mean.shape[:-1], np.nan)
        return crossing(mean, times), nothing, nothing
    width = stats.t.ppf((1 + confidence) / 2, count - 1) * stats.sem(curves, axis=-2)
    low, high = rising(curves.mean(-2) + width), rising(curves.mean(-2) - width)
    return crossing(mean, times), crossing(low, times), crossing(high, times)


def turnbull(
    lower: np.ndarray, upper: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distribution of times known to lie in (lower, upper], of largest likelihood.

    lower, upper (sample,) in any unit, infinite where there is no bound; weights (draw, sample).
    Returns the ends of the pieces (piece + 1,) and their probabilities (draw, piece), by Turnbull's
    self-consistency (1976).
    """
    ends = np.unique(np.concatenate([lower, upper, [-np.inf, np.inf]]))
    inside = (lower[:, None] <= ends[:-1]) & (ends[1:] <= upper[:, None])
    inside = inside.astype(float)  # (sample, piece)
    weights = weights / weights.sum(-1, keepdims=True)
    share = np.full((len(weights), len(ends) - 1), 1 / (len(ends) - 1))
    for _ in range(ROUNDS):
        share = share * ((weights / np.maximum(share @ inside.T, 1e-300)) @ inside)
    return ends, share


def median_of_intervals(
    lower: np.ndarray,
    upper: np.ndarray,
    prompts: np.ndarray,
    draws: int,
    confidence: float,
    seed: int,
) -> tuple[float, float, float]:
    """Median with its bootstrap interval over prompts, of times in (lower, upper], (sample,) each.

    Exact times have equal ends. prompts (sample,) are what is drawn again. Infinite medians lie
    beyond what is known; one prompt has no interval.
    """
    lower = np.where(lower == upper, np.nextafter(lower, -np.inf), lower)
    names, which = np.unique(prompts, return_inverse=True)
    # samples of one interval count together
    intervals, kinds = np.unique(np.stack([lower, upper], 1), axis=0, return_inverse=True)
    first_ends, last_ends = intervals.T
    order = np.argsort(kinds.ravel(), kind="stable")
    first = np.searchsorted(kinds.ravel()[order], np.arange(len(intervals)))
    drawn = np.vstack([np.ones(len(names), np.int32), _drawn(len(names), draws, seed)])
    blocks = np.array_split(drawn, -(-len(drawn) * len(lower) // AT_ONCE))
    medians = np.concatenate(
        [
            _medians(first_ends, last_ends, np.add.reduceat(block[:, which[order]], first, axis=1))
            for block in blocks
        ]
    )
    if len(names) < 2:
        return float(medians[0]), np.nan, np.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians[1:], [tail, 1 - tail], method="inverted_cdf")
    return float(medians[0]), float(low), float(high)


@functools.lru_cache(1)  # groups of as many prompts draw the same
def _drawn(count: int, draws: int, seed: int) -> np.ndarray:
    """How often each of `count` prompts is in each draw, (draw, prompt) i4."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), draws).astype(np.int32)


def _medians(lower: np.ndarray, upper: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Medians (draw,) of times in (lower, upper], (interval,) each, weights (draw, interval).

    The intervals are in order. Of such that are apart, as those of exact times, the shares are the
    weights themselves.
    """
    if (upper[:-1] <= lower[1:]).all():
        return _halves(weights / weights.sum(-1, keepdims=True), lower, upper)
    ends, share = turnbull(lower, upper, weights)
    return _halves(share, ends[:-1], ends[1:])


def _halves(share: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Where distributions (draw, piece) over pieces with these ends pass one half, (draw,)."""
    passed = share.cumsum(-1)
    piece = (passed >= 0.5 - 1e-9).argmax(-1)
    rows = np.arange(len(share))
    low, high = lower[piece], upper[piece]
    part = np.clip(1 - (passed[rows, piece] - 0.5) / share[rows, piece], 0, 1)
    with np.errstate(invalid="ignore"):
        inside = low + part * (high - low)
    return np.where(np.isinf(low), -np.inf, np.where(np.isinf(high), np.inf, inside))
