"""Intervals of values that come in blocks of rows, of which no more than one is held."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from stepscope.statistics.inference import bootstrap

UNIT = ["model", "dataset", "sampling"]
FAMILY = [*UNIT, "family", "reader"]  # what a family of concepts is to a reader
Key = TypeVar("Key", bound=Hashable)


class Gathered(NamedTuple):
    """What intervals are made of: a row a group, with a column a prompt or a seed."""

    means: pd.DataFrame  # over a prompt's seeds, NaN where it has none
    known: pd.DataFrame  # whether a seed has a value; it alone decides a sample's noise
    prompts: pd.Series  # that have a row, with a value or without


def gathered(values: pd.Series) -> Gathered:
    """Gather values by (..., prompt_id, seed), whose texts may be categories."""
    index: Any = values.index
    known = values.notna().to_numpy()
    *by, prompt, seed = index.codes
    *shape, prompts, seeds = index.levshape
    _, first, group = np.unique(
        np.ravel_multi_index(by, shape), return_index=True, return_inverse=True
    )
    groups = _plain(index[first].droplevel([-2, -1]))

    def sums(codes: np.ndarray, many: int, weights: np.ndarray) -> np.ndarray:
        of_cell = np.bincount(group * many + codes, weights, len(groups) * many)
        return of_cell.reshape(len(groups), many)

    rows, count = (sums(prompt, prompts, of.astype(float)) for of in (np.ones(len(known)), known))
    total = sums(prompt, prompts, np.where(known, values.to_numpy(float), 0))
    means = total / np.where(count > 0, count, np.nan)
    some, of_seed = rows.any(0), sums(seed, seeds, known.astype(float)) > 0
    names = [_plain(level) for level in index.levels[-2:]]
    return Gathered(
        pd.DataFrame(means[:, some], groups, names[0][some]).sort_index().sort_index(axis=1),
        pd.DataFrame(of_seed, groups, names[1]).sort_index(),
        pd.Series((rows > 0).sum(1), groups).sort_index(),
    )


def _plain(index: Any) -> Any:
    """An index whose texts are no categories: those of two blocks of rows differ."""
    if isinstance(index, pd.MultiIndex):
        return index.set_levels([_plain(level) for level in index.levels])
    return index.astype(str) if isinstance(index, pd.CategoricalIndex) else index


def joined(parts: Sequence[Gathered]) -> Gathered:
    """Put together what was gathered of other prompts each, in the order of their names."""
    if len(parts) == 1:
        return parts[0]
    means = pd.concat([part.means for part in parts], axis=1).sort_index()
    known = pd.concat([part.known for part in parts], axis=1).sort_index()
    prompts = pd.concat([part.prompts for part in parts], axis=1).sort_index()
    seeds = known.fillna(False).astype(bool).T.groupby(level=0).any().T
    return Gathered(means.sort_index(axis=1), seeds, prompts.sum(axis=1).astype(int))


def intervals(of: Gathered, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """n, noises, missing, estimate, ci_low and ci_high of each group.

    n is the number of prompts with a value, `noises` that of distinct seeds behind them, missing
    that of prompts without: a constant map, a concept that never stays, a region that is empty.
    """
    values, count = of.means.to_numpy(float), of.means.notna().sum(axis=1)
    frame = pd.DataFrame({"n": count, "noises": of.known.sum(axis=1)})
    low, high = bootstrap(values, draws, confidence, seed)
    return frame.assign(
        missing=of.prompts - count,
        estimate=_sums(values) / count.where(count > 0),
        ci_low=low,
        ci_high=high,
    )


def _sums(values: np.ndarray) -> np.ndarray:
    """Sums (group,) of values (group, prompt) with gaps, by Kahan's algorithm as pandas' means."""
    total, lost = np.zeros((2, len(values)))
    for column in values.T:
        known, added = np.isfinite(column), column - lost
        after = total + added
        lost = np.where(known, after - total - added, lost)
        total = np.where(known, after, total)
    return total


def with_intervals(values: pd.Series, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """Those `intervals` of values by (..., prompt_id, seed)."""
    return intervals(gathered(values), draws, confidence, seed)


def over_blocks(
    blocks: Iterable[pd.DataFrame],
    values: Callable[[pd.DataFrame], Iterable[tuple[Key, pd.Series]]],
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> dict[Key, dict[tuple[str, ...], pd.DataFrame]]:
    """Those `intervals` of all that `values` says of a block, by its key, then by unit.

    A unit is a model, dataset and sampling, whose blocks come one after another, the rows of a
    sample in one block. Values are by (..., prompt_id, seed).
    """
    found: dict[Key, dict[tuple[str, ...], pd.DataFrame]] = {}
    for unit, of_unit in groupby(blocks, unit_of):
        parts: dict[Key, list[Gathered]] = {}
        for block in of_unit:
            for key, of_block in values(block):
                parts.setdefault(key, []).append(gathered(of_block))
        for key in list(parts):
            estimates = intervals(joined(parts.pop(key)), draws, confidence, seed)
            found.setdefault(key, {})[unit] = estimates.reset_index()
    return found


def unit_of(block: pd.DataFrame) -> tuple[str, ...]:
    """Model, dataset and sampling of a block of rows."""
    return tuple(block[UNIT].iloc[0])
