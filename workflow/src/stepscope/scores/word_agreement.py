"""RQ2: whether two methods say the same of words, steps and cells, by Spearman, with nulls."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata

from stepscope.language import slots, word_order
from stepscope.store import tables
from stepscope.store.maps import is_of_words
from stepscope.store.traces import prompt_ids_of, seeds_of
from stepscope.table_registry import TABLES

OVER = ("words", "steps", "cells")


class View(NamedTuple):
    """Rankings of a sample by a method: ranks (item, *axes), of length 1; NaN of a constant one.

    `keys` say what an item has in common with those of other prompts. Where `of_words`, items are
    words, or words at steps: `groups` numbers the steps, whose words may be exchanged.
    """

    keys: list[Hashable]
    ranks: np.ndarray
    groups: np.ndarray
    of_words: bool


def ranked(values: np.ndarray, axes: int = 1) -> np.ndarray:
    """Ranks over the last `axes`, centred and of length 1, f8; NaN where constant or not known."""
    flat = values.reshape(*values.shape[: values.ndim - axes], -1)
    known = np.isfinite(flat).all(-1, keepdims=True)
    ranks = rankdata(np.where(known, flat, 0), axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    length = np.linalg.norm(ranks, axis=-1, keepdims=True)
    ranks /= np.where(known & (length > 1e-9), length, np.nan)
    return ranks.reshape(values.shape)


def agreement(first: View, second: View, others: np.ndarray) -> dict[str, float]:
    """How much two rankings of a sample agree, and what exchanged or shifted ones would.

    `others` (item, *axes) is the mean of the second method's rankings of other prompts, NaN
    without any. `shifted` is the share of circular shifts of the second one, over steps or over
    rows and columns of the grid, that agree less, ties half: 0.5 by chance, whatever the
    autocorrelation.
    """
    known = np.isfinite(first.ranks + second.ranks).reshape(len(first.ranks), -1).all(1)
    if not known.any():
        return dict.fromkeys(("agreement", "swapped_words", "swapped_prompts", "shifted"), np.nan)
    a, b = first.ranks[known], second.ranks[known]
    axes = tuple(range(1, a.ndim)) if first.of_words else (0,)
    spectrum = np.fft.fftn(a, axes=axes) * np.conj(np.fft.fftn(b, axes=axes))
    shifts = np.fft.ifftn(spectrum, axes=axes).real
    beside = 0 if first.of_words else 1  # words' own rankings are not shifted, steps' are
    of_shift = (shifts.mean(beside) if first.of_words else shifts.sum(beside) / len(a)).ravel()
    own, rest = of_shift[0], of_shift[1:]
    tied = np.isclose(rest, own, rtol=0, atol=1e-9)
    below = np.where(tied, 0.5, rest < own).mean() if len(rest) else np.nan
    flat = a.reshape(len(a), -1)
    with_others = (flat * others[known].reshape(len(a), -1)).sum(1)
    return {
        "agreement": own,
        "swapped_words": _swapped(a, b, first.groups[known]) if first.of_words else np.nan,
        "swapped_prompts": _mean(with_others),
        "shifted": below,
    }


def _swapped(a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> float:
    """Mean agreement of each word with the other words of its group."""
    found = []
    for group in np.unique(groups):
        own = groups == group
        flat = [of[own].reshape(own.sum(), -1) for of in (a, b)]
        cross = flat[0] @ flat[1].T
        found += [*cross[~np.eye(len(cross), dtype=bool)]]
    return _mean(np.array(found))


def _mean(values: np.ndarray) -> float:
    """Mean of what exists."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


class Prompts:
    """Samples' words with a role (all where none has one), by which prompts are compared."""

    def __init__(self, tree: xr.DataTree) -> None:
        self.ids, self.seeds = prompt_ids_of(tree), seeds_of(tree)
        self.words, self.slots, self.order = [], [], []
        for words in tree.attrs["words"]:
            roles = [word["role"] for word in words]
            chosen = [i for i, role in enumerate(roles) if role] or list(range(len(roles)))
            self.words.append(chosen)
            self.slots.append([slots(roles)[i] for i in chosen])
            self.order.append(word_order(roles))

    def view(self, over: str, sample: int, values: np.ndarray, steps: Sequence[int]) -> View:
        """A sample's rankings by maps (step, word, y, x) or, over words and steps, by scores."""
        order, of = self.order[sample], self.slots[sample]
        if over == "words":
            keys: list[Hashable] = [(order, *of, step) for step in steps]
            return View(keys, ranked(values), np.zeros(len(steps), int), of_words=False)
        if over == "steps":
            keys = [(order, slot) if slot else (sample, i) for i, slot in enumerate(of)]
            return View(keys, ranked(values.T), np.zeros(len(of), int), of_words=True)
        keys = [(order, slot, step) for step in steps for slot in of]
        flat = values.reshape(-1, *values.shape[-2:])
        groups = np.repeat(np.arange(len(steps)), len(of))
        return View(keys, ranked(flat, axes=2), groups, of_words=True)


def agreement_table(
    maps: Mapping[str, xr.DataArray], tree: xr.DataTree, keys: Mapping[str, str]
) -> pd.DataFrame:
    """rq2_agreement of a batch: a row per sample, pair of methods that map words, and `OVER`.

    Steps are those that both methods explain in a sample, words those with a role that both have.
    Other prompts are those of the batch with the same order of words, word by word of the same
    slot (see `language.slots`); over words, those whose words have the same slots.
    """
    prompts, rows = Prompts(tree), []
    of_words = {
        name: values.transpose("sample", "step", "word", "y", "x").to_numpy()
        for name, values in maps.items()
        if is_of_words(values)
    }
    for first, second in combinations(of_words, 2):
        for over in OVER:
            for found in _of_pair(prompts, over, of_words[first], of_words[second]):
                rows.append({"method": first, "other": second, "over": over, **found})
    empty = pd.DataFrame(columns=TABLES["rq2_agreement"].columns)
    frame = pd.DataFrame(rows).assign(**keys) if rows else empty
    frame["beyond_words"] = frame["agreement"] - frame["swapped_words"]
    frame["beyond_prompts"] = frame["agreement"] - frame["swapped_prompts"]
    return tables.ordered(frame, "rq2_agreement")


def _of_pair(
    prompts: Prompts, over: str, first: np.ndarray, second: np.ndarray
) -> Iterator[dict[str, object]]:
    """Agreements of two methods' maps (sample, step, word, y, x), for each sample they share."""
    pairs: dict[int, tuple[View, View]] = {}
    for sample, chosen in enumerate(prompts.words):
        both = [of[sample][:, chosen] for of in (first, second)]
        known = np.logical_and(*(np.isfinite(of).all((-2, -1)) for of in both))
        words, steps = known.any(0), known.any(1)
        if words.sum() < 2 or not words.all() or not known[steps].all() or not steps.any():
            continue
        if over != "cells":
            both = [of.sum((-2, -1), dtype=np.float64) for of in both]
        if over == "steps" and steps.sum() < 3:
            continue
        numbers = np.flatnonzero(steps).tolist()
        a, b = (prompts.view(over, sample, of[steps], numbers) for of in both)
        pairs[sample] = a, b
    means = _means({sample: second for sample, (_, second) in pairs.items()}, prompts.ids)
    for sample, (a, b) in pairs.items():
        found = agreement(a, b, means[sample])
        yield {"prompt_id": prompts.ids[sample], "seed": prompts.seeds[sample], **found}


def _means(views: Mapping[int, View], ids: np.ndarray) -> dict[int, np.ndarray]:
    """For each sample the mean rankings of other prompts' items with the same keys, or NaN."""
    sums: dict[Hashable, np.ndarray] = {}
    counts: dict[Hashable, int] = {}
    for sample, view in views.items():
        for key, ranks in zip(view.keys, view.ranks, strict=True):
            if np.isfinite(ranks).all():
                for name in ((key, ranks.shape), (key, ranks.shape, ids[sample])):
                    sums[name] = sums.get(name, 0) + ranks
                    counts[name] = counts.get(name, 0) + 1
    found = {}
    for sample, view in views.items():
        means = np.full(view.ranks.shape, np.nan)
        for item, key in enumerate(view.keys):
            all_, own = (key, view.ranks[item].shape), (key, view.ranks[item].shape, ids[sample])
            if (count := counts.get(all_, 0) - counts.get(own, 0)) > 0:
                means[item] = (sums[all_] - sums.get(own, 0)) / count
        found[sample] = means
    return found
