"""Shapley and Banzhaf values, and interactions of two, of games with few or with many players.

A game gives each coalition a worth, here an array by cell: values are linear in it, so that those
of every cell's game add up. `kept` (coalition, player) bool says who is in a coalition.
"""

from collections.abc import Callable
from math import comb
from typing import NamedTuple

import numpy as np

MOST = 10  # players whose coalitions are enumerated: 1,024
Worth = Callable[[np.ndarray], np.ndarray]  # worth (coalition, ...) float64 of `kept`


class Values(NamedTuple):
    """Values (player, ...) with standard errors of their sums over cells (player,).

    Interactions (player, player) are of the sums over cells, NaN on the diagonal.
    """

    shapley: np.ndarray
    shapley_error: np.ndarray
    banzhaf: np.ndarray
    banzhaf_error: np.ndarray
    shapley_interaction: np.ndarray
    banzhaf_interaction: np.ndarray


def every(players: int) -> np.ndarray:
    """All coalitions (2 ** players, players), the empty one first, that of all last."""
    numbers = np.arange(2**players)[:, None]
    return (numbers >> np.arange(players)) & 1 == 1


def exact(kept: np.ndarray, worth: np.ndarray) -> Values:
    """Values from the worth (coalition, ...) of `every` coalition; their errors are 0.

    Shapley (1953), Banzhaf (1965); interactions by Grabisch and Roubens (1999).
    """
    players = kept.shape[1]
    sizes = kept.sum(1, keepdims=True) - kept  # of the coalition without the player
    signs = np.where(kept, 1.0, -1.0)
    shares = np.array([1 / (players * comb(players - 1, s)) for s in range(players)])
    shapley = np.tensordot(signs * shares[sizes], worth, (0, 0))
    banzhaf = np.tensordot(signs / 2 ** (players - 1), worth, (0, 0))
    total, none = _total(worth), np.zeros(players)
    of_two = np.full((2, players, players), np.nan)
    for i in range(players):
        for j in range(i):
            both, others = signs[:, i] * signs[:, j], sizes[:, i] - kept[:, j]
            weight = np.array([1 / ((players - 1) * comb(players - 2, s)) for s in others])
            of_two[0, i, j] = of_two[0, j, i] = (both * weight * total).sum()
            of_two[1, i, j] = of_two[1, j, i] = (both * total).sum() / 2 ** (players - 2)
    return Values(shapley, none, banzhaf, none, *of_two)


def sampled(worth: Worth, players: int, draws: int, seed: int) -> Values:
    """Values from `draws` pairs of permutations, and as many pairs of coalitions as these visit.

    A permutation goes with its reverse (antithetic: Mitchell et al., 2022), so that the values of
    a pair sum to the whole effect; of Banzhaf's pairs one coalition is the other's complement, and
    each estimates every value (Wang and Jia, 2023). Errors are those of the mean over pairs.
    Banzhaf's interactions come from the same coalitions; Shapley's are NaN.
    """
    rng = np.random.default_rng(seed)
    orders = np.stack([rng.permutation(players) for _ in range(draws)])
    orders = np.stack([orders, orders[:, ::-1]], 1)  # (draw, 2, player)
    places = np.argsort(orders, -1)
    joined = places[..., None, :] < np.arange(players + 1)[:, None]  # (draw, 2, size, player)
    of_prefix = worth(joined.reshape(-1, players))
    of_prefix = of_prefix.reshape(draws, 2, players + 1, *of_prefix.shape[1:])
    added = np.diff(of_prefix, axis=2)  # by the place in the order
    index = places.reshape(*places.shape, *[1] * (added.ndim - 3))
    by_pair = np.take_along_axis(added, index, 2).mean(1)
    firsts = rng.random((draws * (players - 1), players)) < 0.5
    of_first, of_second = worth(firsts), worth(~firsts)
    signs = np.where(firsts, 1.0, -1.0)
    banzhaf = np.tensordot(signs, of_first - of_second, (0, 0)) / len(firsts)
    single = signs * _total(of_first - of_second)[:, None]
    mean = _total(of_first + of_second) / 2
    both = 4 * (signs.T @ (signs * (mean - mean.mean())[:, None])) / len(firsts)
    np.fill_diagonal(both, np.nan)
    return Values(
        by_pair.mean(0),
        _error(np.stack([_total(pair) for pair in by_pair])),
        banzhaf,
        _error(single),
        np.full((players, players), np.nan),
        both,
    )


def _total(values: np.ndarray) -> np.ndarray:
    """Sum over all but the first axis."""
    return values.reshape(len(values), -1).sum(1)


def _error(observations: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis; NaN of a single observation."""
    count = len(observations)
    if count < 2:
        return np.full(observations.shape[1:], np.nan)
    return observations.std(0, ddof=1) / count**0.5
