"""Posterior of a configuration's parts given a noised latent, by importance sampling."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

PROPOSALS = np.arange(-9, 4.25, 0.5)  # log-SNR whose typical configurations are drawn first
REFINED = np.arange(-6, -0.25, 0.5)  # and where most is undecided, and more are drawn
TIE = 1e-9  # relative difference below which probabilities are the same
FLOOR = 0.05  # share of each part's draws that are blind, so that what is decided is still tried


@dataclass(frozen=True)
class Candidates:
    """Distinct configurations that may have made a latent.

    rows int (n, parts); log_prior and drawn, the probability of being among
    them, float64 (n,).
    """

    rows: np.ndarray
    log_prior: np.ndarray
    drawn: np.ndarray


def alternatives(truth: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The truth (parts,), then each other value of each part alone, int (1 + changes, parts)."""
    rows = [truth]
    for part, size in enumerate(sizes):
        for value in np.delete(np.arange(size), truth[part]):
            rows.append(truth.copy())
            rows[-1][part] = value
    return np.stack(rows)


def proposals(single: np.ndarray, energies: np.ndarray, log_snr: np.ndarray) -> np.ndarray:
    """Probability of each part's values at each log-SNR, float64 (levels, parts, values).

    As if the parts were independent: a value at squared distance `energies` (changes,) from the
    truth has odds exp(-energy x SNR / 4) against it, between their mean, 1, and their median.
    `single` is what `alternatives` returns.
    """
    truth, changed = single[0], single[1:] != single[0]
    found = np.full((len(truth), single.max() + 1), np.inf)
    found[np.arange(len(truth)), truth] = 0
    found[changed.nonzero()[1], single[1:][changed]] = energies
    odds = np.exp(-found * np.exp(log_snr)[:, None, None] / 4)
    return _tried(odds / odds.sum(2, keepdims=True), np.isfinite(found).sum(1))


def refined(found: Candidates, share: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Proposals (noises, parts, values) from the posterior of first candidates (n, noises)."""
    chances = np.zeros((share.shape[1], len(sizes), sizes.max()))
    for part, size in enumerate(sizes):
        chances[:, part, :size] = of_part(found, share, part, size).T
    return _tried(chances, sizes)


def _tried(chances: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The proposals (..., parts, values) with a share of blind draws from `sizes` values a part."""
    blind = (np.arange(chances.shape[-1]) < sizes[:, None]) / sizes[:, None]
    return (1 - FLOOR) * chances + FLOOR * blind


def drawn(chances: np.ndarray, each: int, rng: np.random.Generator) -> np.ndarray:
    """`each` configurations from each proposal (proposals, parts, values), int (n, parts)."""
    below = chances.cumsum(2)[:, None, :, :-1]  # the last is 1, up to rounding
    rows = (rng.random((len(chances), each, chances.shape[1], 1)) > below).sum(3)
    return rows.reshape(-1, chances.shape[1])


def candidates(
    rows: np.ndarray,
    chances: np.ndarray,
    each: int,
    log_prior: Callable[[np.ndarray], np.ndarray],
) -> Candidates:
    """The `rows` drawn, each once, in order of appearance.

    `each` of them are from each of the `chances` (proposals, parts, values). What does not occur by
    `log_prior` is left out.
    """
    rows = rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
    missed = np.zeros(len(rows))
    for chance in chances:
        share = chance[np.arange(rows.shape[1]), rows].prod(1)
        missed += each * np.log1p(-np.minimum(share, 1 - TIE))
    prior = log_prior(rows)
    possible = np.isfinite(prior)
    return Candidates(rows[possible], prior[possible], -np.expm1(missed[possible]))


@dataclass(frozen=True)
class Nuisance:
    """What no caption names and is Gaussian in latents.

    `shift` (d,), its mean; `axes` (d, d) and `variance` (d,) of its covariance.
    """

    shift: np.ndarray
    axes: np.ndarray
    variance: np.ndarray


def nuisance_of(differences: np.ndarray) -> Nuisance:
    """Mean and covariance of latents' differences (n, d).

    Axes are the eigenvectors of one half, variances those of the other half along them: of the same
    differences, hardly more than dimensions, the smallest would come out far too small.
    """
    first, second = np.array_split(differences.astype(np.float64), 2)
    _, axes = np.linalg.eigh(np.cov(first.T, bias=True))
    shift = differences.mean(0, dtype=np.float64)
    return Nuisance(shift, axes, np.square((second - shift) @ axes).mean(0))


def log_likelihood(
    means: np.ndarray, truth: np.ndarray, noise: np.ndarray, snr: float, variance: np.ndarray
) -> np.ndarray:
    """Log-density of noised latents for every candidate up to a constant, float64 (n, noises).

    All in the axes of the nuisance, whose `variance` is (d,), relative to the candidate `truth`:
    `means` (n, d) of the candidates, `truth` (d,) the latent, `noise` (noises, d) of deviation 1.
    """
    weights = 1 / (variance + 1 / snr)
    seen = (truth + noise / np.sqrt(snr)) * weights
    return means @ seen.T - 0.5 * (means**2 @ weights)[:, None]


def weights(found: Candidates, likelihood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior of each candidate, (n, noises), and their effective number, (noises,).

    Horvitz and Thompson (1952): each counts by its density over its probability of being drawn. The
    effective number is one over the relative variance of the sum, at most n.
    """
    logs = (found.log_prior - np.log(found.drawn))[:, None] + likelihood
    share = special.softmax(logs, axis=0)
    variance = (share**2 * (1 - found.drawn)[:, None]).sum(0)
    return share, 1 / (variance + 1 / len(share))


def of_part(found: Candidates, share: np.ndarray, part: int, size: int) -> np.ndarray:
    """Posterior of a part's values, (size, noises), of that of the candidates (n, noises).

    All values are as probable beforehand; what the draw of candidates makes of that is undone.
    """
    member = (found.rows[:, part] == np.arange(size)[:, None]).astype(float)
    before = member @ np.exp(found.log_prior - np.log(found.drawn))
    of_value = (member @ share) / np.where(before > 0, before, np.inf)[:, None]
    return of_value / of_value.sum(0)


def right(of_value: np.ndarray, truth: int) -> np.ndarray:
    """Whether the truth is the most probable value (size, noises); a share of it if several are."""
    most = of_value >= of_value.max(0) * (1 - TIE)
    return most[truth] / most.sum(0)


def posteriors(
    truth: np.ndarray,
    sizes: np.ndarray,
    log_prior: Callable[[np.ndarray], np.ndarray],
    latents_of: Callable[[np.ndarray], np.ndarray],
    latent: np.ndarray,
    noise: np.ndarray,
    added: Nuisance,
    levels: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> Iterator[tuple[float, list[np.ndarray], np.ndarray]]:
    """Posterior of every part's values (size, noises) at each log-SNR, and effective numbers.

    `truth` (parts,) made the `latent` (d,), which is noised by `noise` (noises, d); `latents_of`
    gives those of configurations (n, parts) without what is `added`. About `draws` are drawn: some
    for what is typical at a log-SNR, the others from what these say of the noised latents.
    """
    each = -(-draws // (len(PROPOSALS) + len(REFINED) * len(noise)))
    single = alternatives(truth, sizes)
    changed = latents_of(single)
    origin = changed[0]
    seen = (latent - origin - added.shift) @ added.axes

    def share(found: Candidates, means: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        likelihood = log_likelihood(means, seen, noise, np.exp(level), added.variance)
        return weights(found, likelihood)

    chances = proposals(single, np.square(changed[1:] - origin).sum(1), PROPOSALS)
    rows = drawn(chances, each, rng)
    found = candidates(rows, chances, each, log_prior)
    means = (latents_of(found.rows) - origin) @ added.axes
    finer = np.concatenate(
        [refined(found, share(found, means, level)[0], sizes) for level in REFINED]
    )
    rows = np.vstack([rows, drawn(finer, each, rng)])
    every = candidates(rows, np.concatenate([chances, finer]), each, log_prior)
    more = every.rows[len(means) :]  # the first ones are the same
    if len(more):
        means = np.vstack([means, (latents_of(more) - origin) @ added.axes])
    for level in levels:
        of_candidates, effective = share(every, means, level)
        parts = enumerate(sizes)
        yield level, [of_part(every, of_candidates, part, size) for part, size in parts], effective
