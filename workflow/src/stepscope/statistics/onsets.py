"""When readings turn from chance to a concept: change points, and curves that chance is taken from.

Until a sample's onset its picture shows the concept by chance, perhaps for several steps, since a
picture changes little from step to step; from then on the reader is right but for its errors.
"""

from typing import NamedTuple

import numpy as np

ERRORS = (0.003, 0.01, 0.03, 0.06, 0.1, 0.2)  # of a reader after the onset, a step
PERSISTENCES = (0.5, 0.0, 0.8, 0.9, 0.95, 0.99)  # of what a picture shows before it
EQUAL = 1e-6  # log-likelihoods that differ by less do not tell two pairs apart
ROUNDS = 60  # of expectation and maximisation, with which two digits of the likelihood stand
SUPPORT = 8.0  # times less likely than the likeliest is still possible (about 95 %)
LEAST = 1e-6  # probability that is still counted, as no chance is nought or one


class Fitted(NamedTuple):
    """A reader's errors after the onset, and the persistence of what is shown before it."""

    error: float
    persistence: float


def log_likelihood(
    right: np.ndarray, chance: np.ndarray, error: float, persistence: float
) -> np.ndarray:
    """Log-likelihood (..., step + 1) of every change point, given readings.

    right (..., step) bool: whether a step's reading is the sample's concept; chance (...) that a
    picture which is not decided shows it. Change point k: step k (from 0) is the first after the
    onset, the number of steps is never. Before it a picture keeps what it shows with probability
    `persistence` and shows something new otherwise; after it, readings are wrong with `error`.
    """
    chance = np.clip(chance, LEAST, 1 - LEAST)[..., None]
    to_right = (1 - persistence) * chance
    stays = np.log(np.clip(persistence + to_right, LEAST, 1 - LEAST))
    leaves = np.log(np.clip(1 - persistence - to_right, LEAST, 1 - LEAST))
    comes = np.log(np.clip(to_right, LEAST, 1 - LEAST))
    stays_out = np.log(np.clip(1 - to_right, LEAST, 1 - LEAST))
    was, now = right[..., :-1], right[..., 1:]
    moved = np.where(was, np.where(now, stays, leaves), np.where(now, comes, stays_out))
    first = np.where(right[..., :1], np.log(chance), np.log1p(-chance))
    before = np.concatenate([np.zeros_like(first), first, moved], axis=-1).cumsum(-1)
    after = np.where(right, np.log1p(-error), np.log(error))
    left = np.flip(np.flip(after, -1).cumsum(-1), -1)
    return before + np.concatenate([left, np.zeros_like(first)], axis=-1)


def fit(right: np.ndarray, chance: np.ndarray) -> Fitted:
    """The error and persistence that make all samples' readings likeliest, of those tried.

    right (sample, step), chance (sample,). Change points may be distributed in any way, which is
    found by expectation and maximisation for each pair that is tried. Of equal pairs, as where no
    reading turns, the first counts.
    """
    tried = [Fitted(error, kept) for error in ERRORS for kept in PERSISTENCES]
    alike, counts = np.unique(np.column_stack([right, chance]), axis=0, return_counts=True)
    right, chance = alike[:, :-1] > 0, alike[:, -1]
    logs = np.stack([log_likelihood(right, chance, *pair) for pair in tried])
    largest = logs.max(-1, keepdims=True)
    likely = np.exp(logs - largest)  # (pair, reading, change point)
    share = np.full((len(tried), likely.shape[-1], 1), 1 / likely.shape[-1])
    for _ in range(ROUNDS):
        weights = counts / (likely @ share)[..., 0]
        share = share * np.swapaxes(weights[:, None] @ likely, 1, 2) / counts.sum()
    totals = ((np.log((likely @ share)[..., 0]) + largest[..., 0]) * counts).sum(-1)
    return tried[int((totals > totals.max() - EQUAL).argmax())]


def change_points(
    right: np.ndarray, chance: np.ndarray, fitted: Fitted
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Likeliest change point of each sample, and the first and last possible one, (sample,) int.

    Possible are those at most `SUPPORT` times less likely. Numbers as in `log_likelihood`.
    """
    logs = log_likelihood(right, chance, *fitted)
    possible = logs >= logs.max(-1, keepdims=True) - np.log(SUPPORT)
    last = possible.shape[-1] - 1 - possible[..., ::-1].argmax(-1)
    return logs.argmax(-1), possible.argmax(-1), last


def decided(right: np.ndarray, chance: np.ndarray, error: float) -> np.ndarray:
    """Pseudo-values (sample, step) whose mean is the share of samples decided by each step.

    A share F of decided samples makes (1 - error) F + chance (1 - F) of the readings right, however
    long a picture keeps what it shows by chance. F is the ratio of sums over samples, so that one
    which chance alone makes right counts little; a sample's pseudo-value is F with what the sample
    adds to it (Andersen and Perme 2010), not bound to 0..1. NaN where chance leaves nothing to see.
    """
    room = np.clip(1 - error - chance, 0, None)[:, None]
    if not room.any():
        return np.full(right.shape, np.nan)
    beyond = np.where(room > 0, right - chance[:, None], 0)
    share = beyond.sum(0) / room.sum()
    return share + (beyond - share * room) / room.mean()


def mean_until_end(shares: np.ndarray, log_snr: np.ndarray) -> np.ndarray:
    """Mean onset in nats within the steps, (...,), of shares decided (..., step).

    The area above the curve: what is decided before the first step counts as there, what never is
    as at the last. log_snr (step,) in nats.
    """
    between = (shares[..., 1:] + shares[..., :-1]) / 2
    return log_snr[0] + ((1 - between) * np.diff(log_snr)).sum(-1)
