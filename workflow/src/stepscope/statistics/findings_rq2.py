"""What the tables say about RQ2: courses of words over steps, and their order."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from stepscope.statistics import matching, word_courses
from stepscope.statistics.finding import Finding, noises_of
from stepscope.statistics.word_courses import SOURCES, curves, matched

LEAST_WORDS = 3  # fewer have no order to speak of


def words(measured: Mapping[str, pd.DataFrame], draws: int, seed: int) -> Iterator[Finding]:
    """R2a: courses of words' shares beyond their slots' generic ones, and the order of words.

    By relevance, and by what a step loses without the word.
    """
    for source, name in SOURCES.items():
        yield from _courses(measured["rq2_relevance"], source, name, draws, seed)
        yield from _orders(measured["rq2_order"], source, name, draws, seed)


def _courses(
    frame: pd.DataFrame, source: str, name: str, draws: int, seed: int
) -> Iterator[Finding]:
    """R2a of one source: courses of words, beyond what all words of their slot have in common."""
    frame = frame[frame["method"] == source].dropna(subset=["share"])
    pairs = word_courses.seed_pairs(curves(frame, "share"))
    beyond = word_courses.beyond_generic(pairs, frame)
    blocks = [
        matching.correlations(first.to_numpy(), second.to_numpy())
        for first, second in beyond.values()
    ]
    course = f"correlation of the course of a word's share of {name}, beyond its slot's generic one"
    text = f"{course}, with its own under another seed minus with other words'"
    needs = f"needs {source}, two seeds a prompt and two prompts of the same order of words"
    found = matched("R2a", text, blocks, list(beyond), draws, seed, needs)
    yield replace(found, noises=noises_of(frame, beyond))
    groups = word_courses.by_slot(beyond, frame)
    blocks, prompts = word_courses.across_prompts(groups)
    text = f"{course}, with its own under another seed minus with other prompts'"
    found = matched("R2a", text, blocks, prompts, draws, seed, needs)
    yield replace(found, noises=noises_of(frame, chain(*prompts)))


def _orders(
    frame: pd.DataFrame, source: str, name: str, draws: int, seed: int
) -> Iterator[Finding]:
    """R2a of one source: the order of words by their centres of mass on the log-SNR axis."""
    frame = frame[(frame["method"] == source) & frame["centre_rank"].notna()]
    ranks = frame.assign(step=0)  # one number a word
    by_prompt: dict[Hashable, list[pd.Series]] = {}
    for (prompt, _), of_sample in curves(ranks, "centre_rank").items():
        by_prompt.setdefault(prompt, []).append(of_sample[0])
    pairs = {}
    for prompt, (own, *others) in by_prompt.items():
        if others:
            other = others[0] if len(others) == 1 else pd.concat(others).groupby(level=0).mean()
            both = own.index.intersection(other.index)
            if len(both) >= LEAST_WORDS:
                pairs[prompt] = own[both], other[both]
    blocks = [
        len(first) * np.outer(_unit(first.to_numpy()), _unit(second.to_numpy()))
        for first, second in pairs.values()
    ]
    order = f"rank correlation of the order of words, by the centre of mass of {name}"
    text = f"{order}, with that under another seed minus with words swapped"
    needs = f"needs {source}, two seeds a prompt and three words with roles"
    found = matched("R2a", text, blocks, list(pairs), draws, seed, needs)
    yield replace(found, noises=noises_of(frame, pairs))
    blocks, prompts = [], []
    places = word_courses.placed(frame)
    for group in word_courses.same_order(pairs, places):
        block = _between(group, pairs, places)
        if np.isfinite(block).all():
            blocks.append(block)
            prompts.append(group)
    text = f"{order}, with that under another seed minus with other prompts' of the same word order"
    found = matched("R2a", text, blocks, prompts, draws, seed, needs)
    yield replace(found, noises=noises_of(frame, chain(*prompts)))


def _between(
    group: Sequence[Hashable],
    pairs: Mapping[Hashable, tuple[pd.Series, pd.Series]],
    places: Mapping[Hashable, tuple[str, dict[int, str]]],
) -> np.ndarray:
    """[p, q]: Spearman's correlation of p's ranks with q's under another seed, slot by slot.

    NaN where two prompts share fewer than three slots.
    """
    first, second = (
        pd.DataFrame({prompt: pairs[prompt][half].rename(places[prompt][1]) for prompt in group})
        for half in (0, 1)
    )
    own, others = first.to_numpy(), second.loc[first.index].to_numpy()
    block = np.full((len(group), len(group)), np.nan)
    for own_slots, rows in _alike(own):
        for slots, columns in _alike(others):
            both = own_slots & slots
            if both.sum() >= LEAST_WORDS:
                pair = (_unit(rankdata(own[both][:, rows], axis=0)).T, others[both][:, columns])
                block[np.ix_(rows, columns)] = pair[0] @ _unit(rankdata(pair[1], axis=0))
    return block


def _alike(ranks: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Columns of ranks (slot, prompt) that know the same slots: which slots, and their numbers."""
    known, which = np.unique(np.isfinite(ranks), axis=1, return_inverse=True)
    return [(slots, np.flatnonzero(which == number)) for number, slots in enumerate(known.T)]


def _unit(values: np.ndarray) -> np.ndarray:
    """Values (word, ...) without their mean, of length 1; 0 where they are all equal."""
    centred = values - values.mean(0)
    length = np.linalg.norm(centred, axis=0)
    return centred / np.where(length > 0, length, 1)
