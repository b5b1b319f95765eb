"""Made-up activations that hold the concepts of some prompts' pictures, or do not."""

import numpy as np

from stepscope.scores import linear_probes

PROMPTS, SEEDS = 24, (0, 1)
WIDTH = 60  # features


def names_of(count):
    """Prompts of samples, two samples each."""
    return np.array([f"p{number // len(SEEDS):02}" for number in range(count)])


def target(concepts=4, *, shown=None, named=None, seed=0, draws=20, family="colour"):
    """What probes learn of a family; without `shown` each prompt has one concept, all as often."""
    if shown is None:
        shown = np.repeat(np.arange(PROMPTS) % concepts, len(SEEDS))
    named = np.ones(len(shown), dtype=bool) if named is None else named
    return linear_probes.target(
        "clip",
        family,
        [f"c{number}" for number in range(concepts)],
        np.asarray(shown),
        names_of(len(shown)),
        np.arange(len(shown)),
        named,
        least=3,
        draws=draws,
        seed=seed,
    )


def features(labels, strength, seed=0):
    """Noise (sample, feature), with a direction of its own for each concept of the labels."""
    rng = np.random.default_rng([seed, 1])
    directions = rng.normal(size=(len(labels.concepts), WIDTH))
    noise = rng.normal(size=(len(labels.rows), WIDTH))
    return (noise + strength * directions[labels.labels[0]]).astype("f4")
