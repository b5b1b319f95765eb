"""When a noised latent holds a concept, by the generator itself: the truth in time.

The number of objects is given, since every caption says it. Grain and tinge are Gaussian in
latents; all else is drawn by importance. That training never shows some combinations is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from stepscope.embedded import posterior, scenes
from stepscope.embedded.clock_tables import BAYES
from stepscope.embedded.configurations import Space

LEVELS = np.arange(-10, 6.25, 0.5)  # log-SNR at which accuracies are measured
GRAINS = 4  # of each scene, to learn what grain does to latents
Encoder = Callable[[np.ndarray], np.ndarray]  # pictures uint8 (n, 64, 64, 3) to float64 (n, d)


@dataclass(frozen=True)
class Noised:
    """Held-out scenes with grain, their configurations, latents (d,), and noise (noises, d)."""

    shown: list[scenes.Scene]
    rows: list[np.ndarray]
    latents: np.ndarray
    noise: np.ndarray


def noised(encode: Encoder, count: int, noises: int, seed: int) -> Noised:
    """`count` held-out scenes, one object and two in turn, each with its own noise."""
    shown: list[scenes.Scene] = []
    rows: list[np.ndarray] = []
    number = 30_000_000 + seed * 1_000_000
    while len(shown) < count:
        scene = scenes.compose(number, "test")
        if len(scene.objects) == 1 + len(shown) % 2:
            rng = np.random.default_rng([seed, number])
            space = Space(len(scene.objects))
            rows.append(space.row(scene.spec, rng))
            shown.append(replace(scene, picture=space.picture(rows[-1], rng)))
        number += 1
    latents = encode(np.stack([scene.picture for scene in shown]))
    drawn = np.random.default_rng([seed, 1]).normal(size=(count, noises, latents.shape[1]))
    return Noised(shown, rows, latents, drawn)


def nuisance(encode: Encoder, count: int, seed: int) -> posterior.Nuisance:
    """What grain and tinge add to the latents of `count` scenes."""
    rng = np.random.default_rng([seed, 2])
    plain, grainy = [], []
    for _ in range(count):
        spec = scenes.random_spec(rng)
        space = Space(len(spec.objects))
        row = space.row(spec, rng)
        plain.append(space.picture(row))
        grainy += [space.picture(row, rng) for _ in range(GRAINS)]
    latents = encode(np.stack(plain))
    return posterior.nuisance_of(encode(np.stack(grainy)) - np.repeat(latents, GRAINS, axis=0))


def energies(encode: Encoder, space: Space, count: int, seed: int) -> np.ndarray:
    """Squared distance of latents, one part's value changed and all else equal, (count, parts)."""
    rng = np.random.default_rng([seed, 3, space.objects])
    rows: list[np.ndarray] = []
    while len(rows) < count * (len(space.parts) + 1):
        spec = scenes.random_spec(rng)
        if len(spec.objects) == space.objects:
            row = space.row(spec, rng)
            others = np.tile(row, (len(row), 1))
            others[np.diag_indices(len(row))] += rng.integers(1, space.sizes)
            rows += [row, *(others % space.sizes)]
    latents = encode(space.pictures(np.stack(rows))).reshape(count, len(space.parts) + 1, -1)
    return np.square(latents[:, 1:] - latents[:, :1]).sum(-1)


def _latents_of(encode: Encoder, space: Space) -> Encoder:
    """Configurations (n, parts) to latents without grain and tinge."""
    return lambda rows: encode(space.pictures(rows))


def bayes(
    encode: Encoder,
    given: Noised,
    added: posterior.Nuisance,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """What the posterior of every family says of each noised latent, a row each.

    Columns scene, noise, family, log_snr, reader, right (top-1, in 0..1), posterior (of the truth),
    ess.
    """
    records = []
    for number, row in enumerate(tqdm(given.rows, desc="weigh scenes", mininterval=5)):
        space = Space(len(given.shown[number].objects))
        for level, of_parts, effective in posterior.posteriors(
            row,
            space.sizes,
            space.log_prior,
            _latents_of(encode, space),
            given.latents[number],
            given.noise[number],
            added,
            LEVELS,
            draws,
            np.random.default_rng([seed, 4, number]),
        ):
            for family in space.families:
                part = space.parts.index(family)
                records.append(
                    {
                        "family": family,
                        "log_snr": level,
                        "scene": number,
                        "noise": np.arange(len(effective)),
                        "right": posterior.right(of_parts[part], row[part]),
                        "posterior": of_parts[part][row[part]],
                        "ess": effective,
                    }
                )
    rows = pd.concat([pd.DataFrame(record) for record in records], ignore_index=True)
    return rows.assign(reader=BAYES)


def distances(encode: Encoder, count: int, seed: int) -> dict[str, np.ndarray]:
    """Energies of each family over `count` scenes with one object and `count` with two."""
    found: dict[str, np.ndarray] = {}
    for space in (Space(1), Space(2)):
        of_parts = energies(encode, space, count, seed)
        for part, family in enumerate(space.families):
            before = found.get(family, np.empty(0))
            found[family] = np.concatenate([before, of_parts[:, part]])
    return found
