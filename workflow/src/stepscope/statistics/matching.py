"""Whether curves match their own partners: correlations, and a test that swaps partners."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from stepscope.statistics.inference import MANY

SWAPPED_AT_ONCE = 2**24  # curves of all draws that are held together


def matching(
    blocks: Sequence[np.ndarray], weights: Sequence[float], draws: int, seed: int, prompts: int
) -> tuple[list[np.ndarray], float]:
    """Do curves match their own partner better than another's? Effects (curve,) a block, p-value.

    A block is a square matrix, [i, j] the correlation over steps of curve i with partner j; effects
    are those of `beyond_others`.
    The null swaps whole partner curves within a block: each keeps its trend and autocorrelation,
    which steps shuffled one by one would lose, and the curves of a block keep their dependence
    (shares sum to 1). Two-sided, on the mean of the diagonals; of more than `MANY` prompts, whose
    swaps say no more, by the normal distribution that it tends to.
    """
    effects = [beyond_others(block) for block in blocks]
    if prompts > MANY:
        return effects, _of_normal(blocks, weights)
    return effects, _of_swaps(blocks, weights, draws, seed)


def _of_normal(blocks: Sequence[np.ndarray], weights: Sequence[float]) -> float:
    """P-value by the mean and variance of a diagonal under all swaps (Hoeffding 1951)."""
    own, means = ([np.mean(of(block)) for block in blocks] for of in (np.diag, np.ravel))
    variances = []
    for block in blocks:
        centred = block - block.mean(0) - block.mean(1, keepdims=True) + block.mean()
        size = len(block)
        variances.append(np.square(centred).sum() / (max(size - 1, 1) * size**2))
    lag = np.dot(weights, np.subtract(own, means))
    error = np.sqrt(np.dot(np.square(weights), variances))
    return float(2 * stats.norm.sf(abs(lag) / error)) if error > 0 else 1.0


def _of_swaps(
    blocks: Sequence[np.ndarray], weights: Sequence[float], draws: int, seed: int
) -> float:
    """P-value of `scipy.stats.monte_carlo_test` by drawn swaps."""
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
    result = stats.monte_carlo_test(
        own,
        swapped,
        statistic,
        vectorized=True,
        n_resamples=draws,
        batch=max(1, min(draws, SWAPPED_AT_ONCE // len(own))),
    )
    return float(result.pvalue)


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
