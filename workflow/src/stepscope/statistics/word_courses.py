"""Courses of a prompt's words over steps, as the findings of RQ2 compare them."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from stepscope.language import slots, word_order
from stepscope.statistics import matching
from stepscope.statistics.finding import Finding, References

NO_WORDS = "the Gaussian null has no words"
# What words' scores say, by the method that has them: also by what a step loses without the word.
SOURCES = {"relevance": "relevance", "word_removal": "word removal"}
AMONG = 256  # prompts, at most, that partners are swapped among: time and memory go by its square
Curves = dict[tuple[Hashable, ...], pd.DataFrame]  # word_index by step, by (prompt_id, seed)
Pairs = dict[Hashable, tuple[pd.DataFrame, pd.DataFrame]]


def curves(frame: pd.DataFrame, value: str) -> Curves:
    """Curves (word_index by step) of each (prompt_id, seed).

    Words without any value are left out, then steps at which a word has none.
    """
    wide = frame.pivot_table(
        index=["prompt_id", "seed", "word_index"], columns="step", values=value
    )
    words, values = wide.index.get_level_values("word_index"), wide.to_numpy(float)
    found: Curves = {}
    of_sample: Any = wide.groupby(level=[0, 1]).indices
    for key, rows in of_sample.items():
        rows = rows[np.isfinite(values[rows]).any(1)]
        steps = np.isfinite(values[rows]).all(0)
        found[key] = pd.DataFrame(values[rows][:, steps], words[rows], wide.columns[steps])
    return found


def seed_pairs(by_sample: Curves) -> Pairs:
    """Curves (word_index by step) of each prompt under its first seed, and averaged over others.

    A prompt is left out where fewer than two words or two steps are in both.
    """
    by_prompt: dict[Hashable, list[pd.DataFrame]] = {}
    for (prompt, _), of_sample in by_sample.items():
        by_prompt.setdefault(prompt, []).append(of_sample)
    pairs = {}
    for prompt, (own, *others) in by_prompt.items():
        if others:
            other = others[0] if len(others) == 1 else pd.concat(others).groupby(level=0).mean()
            first, second = own.align(other, join="inner")
            complete = first.notna().all() & second.notna().all()
            if min(first.loc[:, complete].shape) > 1:
                pairs[prompt] = first.loc[:, complete], second.loc[:, complete]
    return pairs


def placed(frame: pd.DataFrame) -> dict[Hashable, tuple[str, dict[int, str]]]:
    """The order of words of each prompt, and the slot of each of its words, by word_index.

    `frame` has the rows of words with a role alone; see `language.slots`.
    """
    found: dict[Hashable, tuple[str, dict[int, str]]] = {}
    words = frame.drop_duplicates(["prompt_id", "word_index"]).sort_values("word_index")
    for prompt, rows in words.groupby("prompt_id"):
        roles = rows["role"].tolist()
        found[prompt] = (
            word_order(roles),
            dict(zip(rows["word_index"], slots(roles), strict=True)),
        )
    return found


def same_order(
    prompts: Iterable[Hashable], places: Mapping[Hashable, tuple[str, dict[int, str]]]
) -> list[list[Hashable]]:
    """Groups of 2 to `AMONG` prompts with the same order of words; `places` are `placed`."""
    groups: dict[str, list[Hashable]] = {}
    for prompt in prompts:
        groups.setdefault(places[prompt][0], []).append(prompt)
    return [part for group in groups.values() if len(group) > 1 for part in divided(group)]


def divided(group: list[Hashable]) -> list[list[Hashable]]:
    """A group of prompts in as few parts as `AMONG` allows, of about one size."""
    count = -(-len(group) // AMONG)
    return [group[start::count] for start in range(count)]


def by_slot(pairs: Pairs, frame: pd.DataFrame) -> list[dict[Hashable, tuple[pd.Series, pd.Series]]]:
    """Both curves of each prompt's word in a slot, for each slot of prompts of the same order.

    Slots that a single prompt has are left out, and so are prompts with other steps than the first.
    """
    places, groups = placed(frame), {}  # type: ignore[var-annotated]
    for prompt, (first, second) in pairs.items():
        order, slot_of = places[prompt]
        for index in first.index:
            key = (order, slot_of[index], tuple(first.columns))
            groups.setdefault(key, {})[prompt] = first.loc[index], second.loc[index]
    return [group for group in groups.values() if len(group) > 1]


def beyond_generic(pairs: Pairs, frame: pd.DataFrame) -> Pairs:
    """Curves minus the generic one of their slot, the mean over prompts of the same order.

    Words whose slot no other prompt has are left out, and prompts with a single word left.
    """
    left: dict[Hashable, tuple[dict[Hashable, pd.Series], dict[Hashable, pd.Series]]] = {}
    for group in by_slot(pairs, frame):
        generic = [sum(halves) / len(group) for halves in zip(*group.values(), strict=True)]
        for prompt, halves in group.items():
            rows = left.setdefault(prompt, ({}, {}))
            for own, half, mean in zip(rows, halves, generic, strict=True):
                own[half.name] = half - mean
    return {
        prompt: (pd.DataFrame(first).T, pd.DataFrame(second).T)
        for prompt, (first, second) in left.items()
        if len(first) > 1
    }


def across_prompts(
    groups: Sequence[Mapping[Hashable, tuple[pd.Series, pd.Series]]],
) -> tuple[list[np.ndarray], list[list[Hashable]]]:
    """Blocks [p, q]: correlation of p's curve with q's under another seed; and their prompts.

    A group of more than `AMONG` prompts makes several.
    """
    blocks, prompts = [], []
    for group in groups:
        for part in divided(list(group)):
            first, second = (np.stack([group[prompt][half] for prompt in part]) for half in (0, 1))
            blocks.append(matching.correlations(first, second))
            prompts.append(part)
    return blocks, prompts


def per_prompt(effects: Sequence[np.ndarray], prompts: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Mean effect of each prompt, (prompt,), of what it has in several blocks."""
    pairs = [
        (prompt, effect)
        for block, names in zip(effects, prompts, strict=True)
        for prompt, effect in zip(names, block, strict=True)
    ]
    return (
        pd.DataFrame(pairs, columns=["prompt", "effect"])
        .groupby("prompt")["effect"]
        .mean()
        .to_numpy()
    )


def matched(
    claim: str,
    text: str,
    blocks: Sequence[np.ndarray],
    prompts: Sequence[Hashable] | Sequence[list[Hashable]],
    draws: int,
    seed: int,
    reason: str,
) -> Finding:
    """Make a finding from blocks: one a prompt, or over prompts, which `prompts` then lists."""
    if not blocks:
        return Finding(claim, text, reason=reason)
    across = isinstance(prompts[0], list)
    weights = list(map(len, blocks)) if across else [1] * len(blocks)
    count = len({*chain(*prompts)}) if across else len(blocks)
    effects, p_value = matching.matching(blocks, weights, draws, seed, count)
    values = (
        per_prompt(effects, prompts)  # type: ignore[arg-type]
        if across
        else np.array([effect.mean() for effect in effects])
    )
    references: References = {
        "without_objects": NO_WORDS,
        "at_chance": "measured from chance, which is 0",
        "with_centre": "read of words' scores, without a map",
    }
    return Finding(claim, text, 1, values, p_value, reason, references=references)
