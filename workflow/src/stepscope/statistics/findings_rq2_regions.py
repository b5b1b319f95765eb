"""What the tables say about RQ2: the regions that DF-CAM lights."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd

from stepscope.statistics import matching
from stepscope.statistics.finding import Finding, References
from stepscope.statistics.word_courses import NO_WORDS, SOURCES, Curves, curves, matched


def df_cam_follows_relevance(
    measured: Mapping[str, pd.DataFrame], draws: int, seed: int
) -> Iterator[Finding]:
    """R2b: a word's DF-CAM in its region, against the word's share, and against other words' maps.

    By relevance, and by what a step loses without the word.
    """
    grounding, gains = measured["rq2_grounding"], measured["rq2_regions"]
    relevance = measured["rq2_relevance"]
    mass, chance = (
        curves(grounding[grounding["method"] == method], "mass")
        for method in ("df_cam_word", "random")
    )
    gain = curves(gains[gains["method"] == "df_cam_word"], "gain")
    for source, name in SOURCES.items():
        shares = curves(relevance[relevance["method"] == source], "share")
        reason = f"needs df_cam_word and {source} at three steps, and two words with regions"
        yield _covaries(mass, chance, shares, name, draws, seed, reason)
        yield from _lights(gain, shares, name, draws, seed, reason)


def _covaries(
    mass: Curves, chance: Curves, shares: Curves, name: str, draws: int, seed: int, reason: str
) -> Finding:
    """Whether the mass of a word's map in its region goes with its share over steps."""
    of_seeds = _followed(mass, shares)
    text = (
        "correlation over steps of the mass of a word's DF-CAM in its region with the word's share "
        f"of {name} minus with other words'"
    )
    found = matched("R2b", text, _over_seeds(of_seeds), list(of_seeds), draws, seed, reason)
    references: References = {
        "without_objects": NO_WORDS,
        "with_centre": "the same map at every step",
    }
    if by_chance := _over_seeds(_followed(chance, shares)):
        effects = [matching.beyond_others(block).mean() for block in by_chance]
        references["at_chance"] = float(np.mean(effects))
    noises = len({*chain(*of_seeds.values())})
    return replace(found, noises=noises, references=references)


def _lights(
    gains: Curves, shares: Curves, name: str, draws: int, seed: int, reason: str
) -> Iterator[Finding]:
    """Whether a word's map is on its region more than others' are, where its share is high."""
    high: dict[tuple[Hashable, ...], float] = {}
    blocks: dict[Hashable, dict[Hashable, np.ndarray]] = {}
    for (prompt, number), gain in gains.items():
        both = _shared(gain, shares.get((prompt, number)))
        if both is not None:
            contrast, at_high = _by_share(*both)
            high[prompt, number] = at_high
            blocks.setdefault(prompt, {})[number] = contrast
    references: References = {
        "without_objects": NO_WORDS,
        "at_chance": "measured from chance, which is 0",
        "with_centre": "the same map for every word",
    }
    text = (
        "how much denser a word's DF-CAM is in its region than other words' are, at the half of "
        f"the steps where its share of {name} is high"
    )
    index = pd.MultiIndex.from_tuples(high, names=["prompt_id", "seed"]) if high else None
    values = pd.Series(list(high.values()), index, float)
    if index is None:
        yield Finding("R2b", text, reason=reason)
    else:
        yield Finding.of_samples("R2b", text, 1, values, reason, references)
    of_seeds = _same_words(blocks)
    text = f"{text} minus where it is low, minus at the steps of other words' shares"
    found = matched("R2b", text, _over_seeds(of_seeds), list(of_seeds), draws, seed, reason)
    noises = len({*chain(*of_seeds.values())})
    yield replace(found, noises=noises, references=references)


def _by_share(gain: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, float]:
    """[i, j]: gain of word i where j's share is above its median minus elsewhere; mean above."""
    above = share > np.median(share, axis=1, keepdims=True)
    counts = above.sum(1)
    if not counts.all():  # a constant share has no high steps
        above = above | ~above.any(1, keepdims=True)
        counts = above.sum(1)
    low = np.maximum(share.shape[1] - counts, 1)
    block = gain @ above.T / counts - gain @ (~above).T / low
    return block, float((np.where(above, gain, 0).sum(1) / counts).mean())


def _shared(
    value: pd.DataFrame, share: pd.DataFrame | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Both curves (word, step) at words and steps they share; None of few."""
    if share is None:
        return None
    words, steps = share.index.get_indexer(value.index), share.columns.get_indexer(value.columns)
    own = np.ix_(words >= 0, steps >= 0)
    words, steps = words[words >= 0], steps[steps >= 0]
    if len(words) < 2 or len(steps) < 3:
        return None
    return value.to_numpy()[own], share.to_numpy()[np.ix_(words, steps)]


def _followed(masses: Curves, shares: Curves) -> dict[Hashable, dict[Hashable, np.ndarray]]:
    """Correlations over steps of words' mass with their shares: a block a prompt and seed."""
    by_prompt: dict[Hashable, dict[Hashable, np.ndarray]] = {}
    for (prompt, number), mass in masses.items():
        if (pair := _shared(mass, shares.get((prompt, number)))) is not None:
            by_prompt.setdefault(prompt, {})[number] = matching.correlations(*pair)
    return _same_words(by_prompt)


def _same_words(
    by_prompt: Mapping[Hashable, dict[Hashable, np.ndarray]],
) -> dict[Hashable, dict[Hashable, np.ndarray]]:
    """Blocks of those prompts whose seeds have the same words."""
    return {prompt: of for prompt, of in by_prompt.items() if len({*map(len, of.values())}) == 1}


def _over_seeds(of_seeds: Mapping[Hashable, Mapping[Hashable, np.ndarray]]) -> list[np.ndarray]:
    """Each prompt's block, the mean of its seeds'."""
    return [np.mean(list(by_seed.values()), axis=0) for by_seed in of_seeds.values()]
