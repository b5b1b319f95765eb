"""What the tables say about RQ2: words, and the regions that DF-CAM lights."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd

from stepscope.statistics import inference
from stepscope.statistics.finding import Finding, References, noises_of
from stepscope.store import tables

NO_WORDS = "the Gaussian null has no words"


def curves(frame: pd.DataFrame, value: str) -> dict[tuple[Hashable, ...], pd.DataFrame]:
    """Curves (word_index by step) of each (prompt_id, seed).

    Words without any value are left out, then steps at which a word has none.
    """
    wide = frame.pivot_table(
        index=["prompt_id", "seed", "word_index"], columns="step", values=value
    )
    return {
        key: rows.droplevel([0, 1]).dropna(how="all").dropna(axis="columns")
        for key, rows in wide.groupby(level=[0, 1])
    }


def words(measured: Mapping[str, pd.DataFrame], draws: int, seed: int) -> Iterator[Finding]:
    """R2a: the course of a word's share against that under another seed, its own and others'."""
    frame = measured["rq2_relevance"]
    frame = frame[frame["method"] == "relevance"]
    frame = frame.assign(share=tables.share(frame)).dropna(subset=["share"])
    frame = frame[frame["role"] != ""]
    pairs = _seed_pairs(frame)
    blocks = [
        inference.correlations(first.to_numpy(), second.to_numpy())
        for first, second in pairs.values()
    ]
    text = "correlation of a word's share with its own under another seed minus with other words'"
    reason = "needs relevance, two seeds a prompt and two words with roles"
    found = _matched("R2a", text, blocks, [1] * len(blocks), draws, seed, reason)
    yield replace(found, noises=noises_of(frame, pairs))
    groups = [group for group in _same_roles(frame, pairs) if len(group) > 1]
    blocks = [_over_prompts(list(group.values())) for group in groups]
    text = "correlation of a word's share with its own under another seed minus with other prompts'"
    reason = "needs relevance, two seeds a prompt and two prompts of the same roles"
    weights = list(map(len, blocks))
    found = _matched("R2a", text, blocks, weights, draws, seed, reason, by_curve=True)
    yield replace(found, noises=noises_of(frame, chain(*groups)))


def _seed_pairs(frame: pd.DataFrame) -> dict[Hashable, tuple[pd.DataFrame, pd.DataFrame]]:
    """Shares (word_index by step) of each prompt under its first seed, and averaged over others.

    A prompt is left out where fewer than two words or two steps are in both.
    """
    by_prompt: dict[Hashable, list[pd.DataFrame]] = {}
    for (prompt, _), shares in curves(frame, "share").items():
        by_prompt.setdefault(prompt, []).append(shares)
    pairs = {}
    for prompt, (own, *others) in by_prompt.items():
        if others:
            first, second = own.align(pd.concat(others).groupby(level=0).mean(), join="inner")
            complete = first.notna().all() & second.notna().all()
            if min(first.loc[:, complete].shape) > 1:
                pairs[prompt] = first.loc[:, complete], second.loc[:, complete]
    return pairs


def _same_roles(
    frame: pd.DataFrame, pairs: Mapping[Hashable, tuple[pd.DataFrame, pd.DataFrame]]
) -> list[dict[Hashable, tuple[np.ndarray, np.ndarray]]]:
    """Pairs of shares (word, step), words by role, by prompt: those of the same roles and steps."""
    keys = ["prompt_id", "word_index"]
    roles = frame.drop_duplicates(keys).set_index(keys)["role"]
    groups: dict[tuple, dict[Hashable, tuple[np.ndarray, np.ndarray]]] = {}
    for prompt, (first, second) in pairs.items():
        of_words = roles.xs(prompt).loc[first.index].tolist()
        order = np.argsort(of_words, kind="stable")
        key = tuple(sorted(of_words)), tuple(first.columns)
        ordered = first.to_numpy()[order], second.to_numpy()[order]
        groups.setdefault(key, {})[prompt] = ordered
    return list(groups.values())


def _over_prompts(group: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Correlation of each prompt's shares with every prompt's other seed, averaged over words."""
    first, second = (np.stack(half, axis=1) for half in zip(*group, strict=True))
    return np.mean(
        [
            inference.correlations(of_first, of_second)
            for of_first, of_second in zip(first, second, strict=True)
        ],
        axis=0,
    )


def df_cam_follows_relevance(
    measured: Mapping[str, pd.DataFrame], draws: int, seed: int
) -> Iterator[Finding]:
    """R2b: the mass of a word's DF-CAM in its region against the word's share, over steps."""
    of_seeds = _followed(measured, "df_cam_word")
    text = (
        "correlation over steps of the mass of a word's DF-CAM in its region with the word's share "
        "of relevance minus with other words'"
    )
    reason = "needs df_cam_word and relevance at three steps or more, and two words with regions"
    blocks = _over_seeds(of_seeds)
    found = _matched("R2b", text, blocks, [1] * len(blocks), draws, seed, reason)
    references: References = {
        "without_objects": NO_WORDS,
        "with_centre": "the same map at every step",
    }
    if by_chance := _over_seeds(_followed(measured, "random")):
        effects = [inference.beyond_others(block).mean() for block in by_chance]
        references["at_chance"] = float(np.mean(effects))
    noises = len({*chain(*of_seeds)})
    yield replace(found, noises=noises, references=references)


def _followed(measured: Mapping[str, pd.DataFrame], method: str) -> list[dict]:
    """Correlations over steps of the words' mass with their shares, a block a seed, of each prompt.

    A prompt whose seeds have different words is left out.
    """
    weights, regions = measured["rq2_relevance"], measured["rq2_grounding"]
    weights = weights[weights["method"] == "relevance"]
    shares = curves(weights.assign(share=tables.share(weights)), "share")
    regions = regions[(regions["method"] == method) & (regions["role"] != "")]
    by_prompt: dict[Hashable, dict[Hashable, np.ndarray]] = {}
    for (prompt, number), mass in curves(regions, "mass").items():
        share = shares.get((prompt, number), pd.DataFrame())
        steps = mass.columns.intersection(share.columns)
        both = mass.index.intersection(share.index)
        if len(both) > 1 and len(steps) > 2:
            pair = (of_word.loc[both, steps].to_numpy() for of_word in (mass, share))
            by_prompt.setdefault(prompt, {})[number] = inference.correlations(*pair)
    return [of for of in by_prompt.values() if len({*map(len, of.values())}) == 1]


def _over_seeds(of_seeds: list[dict]) -> list[np.ndarray]:
    """Each prompt's block, the mean of its seeds'."""
    return [np.mean(list(by_seed.values()), axis=0) for by_seed in of_seeds]


def _matched(
    claim: str,
    text: str,
    blocks: list[np.ndarray],
    weights: list[int],
    draws: int,
    seed: int,
    reason: str,
    by_curve: bool = False,
) -> Finding:
    """Make a finding from blocks of correlations; one value a block, or one a curve."""
    if not blocks:
        return Finding(claim, text, reason=reason)
    effects, p_value = inference.matching(blocks, weights, draws, seed)
    values = (
        np.concatenate(effects) if by_curve else np.array([effect.mean() for effect in effects])
    )
    references: References = {
        "without_objects": NO_WORDS,
        "at_chance": "measured from chance, which is 0",
        "with_centre": "read of relevance, without a map",
    }
    return Finding(claim, text, 1, values, p_value, reason, references=references)
