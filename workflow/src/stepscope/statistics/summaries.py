"""Summaries of tables: means over prompts and paired comparisons, with intervals."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from stepscope.scores.emergence import SEVERAL
from stepscope.statistics import commitment, earliest, head_games
from stepscope.statistics.gathering import FAMILY, UNIT, over_blocks
from stepscope.statistics.inference import all_per_sample, per_sample, trend
from stepscope.store import tables
from stepscope.table_columns import INTERVAL, KEYS, SAMPLE, STEP
from stepscope.table_registry import TABLES, Table

BASELINES = ("random", "centre", "edge")
BEYOND = " of the baseline"  # columns of what a quantity is compared with
# What a summary has beside means, of the table's rows.
CURVES = {"rq3_commitment": commitment.curves, "rq3_earliest": earliest.curves}


def against(values: pd.DataFrame, baseline: str, level: str = "method") -> pd.DataFrame:
    """Each method's values minus a baseline's of the same sample and step; the index as it was.

    Or at another `level`, such as each prediction's minus the null's. A column a quantity.
    """
    names, quantities_ = list(values.index.names), list(values)
    others = [name for name in names if name not in (level, "similarity")]
    frame = values.reset_index()
    of_baseline = frame.loc[frame[level] == baseline, [*others, *quantities_]]
    rows = frame[~frame[level].isin({*BASELINES, baseline})]
    pairs = rows.merge(of_baseline, on=others, suffixes=("", BEYOND))
    beyond = pairs[[f"{name}{BEYOND}" for name in quantities_]].to_numpy()
    return pairs.set_index(names)[quantities_] - beyond


def over_step_before(values: pd.Series) -> pd.Series:
    """Each step's value minus that of the step before it of the same sample; the first has none.

    The steps are those that a sample has values of: the shape of a course, whose trend alone may
    be that of its first step against all others.
    """
    of_sample = [name for name in values.index.names if name not in STEP]
    known = values.dropna().sort_index(level="step", sort_remaining=False)
    return known.groupby(level=of_sample, sort=False).diff().dropna()


def over_log_snr(values: pd.Series) -> pd.Series:
    """Rank correlation with log-SNR over each sample's steps, indexed without them."""
    kept = [str(name) for name in values.index.names if name not in STEP]
    return trend(values.rename("value").reset_index(), "value", kept).dropna()


def pooled(values: pd.Series) -> pd.Series:
    """Mean over each sample's steps, indexed without them."""
    kept = [name for name in values.index.names if name not in STEP]
    return values.groupby(level=kept, sort=True).mean()


def summary(
    table: str, blocks: Iterable[pd.DataFrame], *, draws: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Compute a table's summary: means over prompts, paired differences, their intervals.

    `blocks` are the table's rows, those of a sample in one block and the blocks of a model, dataset
    and sampling one after another: of a large table no more than one is held.
    Columns: what a row is about, `quantity`, `compared`, n, noises, missing, estimate, ci_low,
    ci_high. A row over all steps has none of its own.
    """
    about = TABLES[table]
    settings: dict[str, Any] = {"draws": draws, "confidence": confidence, "seed": seed}
    kept: dict[Hashable, list[pd.DataFrame]] = {}

    def values(block: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.Series]]:
        for family, of_family in block.groupby(FAMILY, sort=False) if table in CURVES else ():
            kept.setdefault(family, []).append(of_family)
        yield from quantities(about, prepared(table, block))

    found = {
        key: {unit: of.assign(quantity=key[0], compared=key[1]) for unit, of in of_units.items()}
        for key, of_units in over_blocks(blocks, values, **settings).items()
    }
    order = about.quantities.index
    ordered = [found[key] for key in sorted(found, key=lambda key: order(key[0]))]
    rows = [of_key[unit] for of_key in ordered for unit in sorted(of_key)]
    rows += [CURVES[table](tables.joined(kept.pop(of)), **settings) for of in list(kept)]
    whole = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    if "score" in whole:  # a distance has no auc_similarity, nor the other way round
        whole = whole[whole.groupby(["quantity", "score"])["n"].transform("sum") > 0]
    return whole.reindex(columns=[*UNIT, *about.groups, "quantity", "compared", *INTERVAL])


def quantities(about: Table, frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.Series]]:
    """Values by sample of each quantity of a table, and of what it is compared with, by both."""
    means = all_per_sample(frame, [*UNIT, *about.groups], about.quantities)
    every = {"mean over prompts, seeds averaged": means}
    for baseline in BASELINES if about.paired else ():
        every[f"minus {baseline}, paired by sample"] = against(means, baseline)
    if about.null:
        beyond = against(means, about.null, "prediction")
        every["minus the Gaussian null, paired by sample"] = beyond
    for quantity in about.quantities:
        compared = {comparison: values[quantity] for comparison, values in every.items()}
        if quantity in about.pooled:
            compared |= {f"{name}, over steps": pooled(of) for name, of in compared.items()}
        if quantity in about.courses:
            of_course = means[quantity]
            compared["minus the step before, paired by sample"] = over_step_before(of_course)
            compared["rank correlation with log-SNR, over steps"] = over_log_snr(of_course)
        for comparison, by_sample in compared.items():
            if len(by_sample):
                yield (quantity, comparison), by_sample


def prepared(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of a table that its summary is about.

    Relevance as shares of its step, summed over a role's words, for words that have a role;
    grounding for words that have one; of the concepts, those of the final picture; of the heads'
    game, the areas under its curves.
    """
    if table == "rq2_relevance":
        frame = frame.assign(share=tables.share(frame))
        keys = [*KEYS, "role", "method"]
        return frame[frame["role"] != ""].groupby(keys, as_index=False)[["share"]].sum()
    if table in ("rq2_grounding", "rq2_summed", "rq2_information", "rq2_heads"):
        return frame[frame["role"] != ""]
    if table == "rq2_head_games":
        return head_games.areas_of(frame)
    if table == "rq3_concepts":
        return final_concepts(frame)
    return frame


def counted_probabilities(frame: pd.DataFrame, emergence: pd.DataFrame) -> pd.DataFrame:
    """Probability that a prediction shows any concept which is true of its final picture.

    Summed over the concepts that rq3_emergence counts for a sample, as both objects of a scene with
    two. `frame` is rq3_concepts.
    """
    keys = [*SAMPLE, "family", "reader"]
    group, groups = _groups(frame, keys)
    counted = emergence[[*keys, "counted"]].drop_duplicates(keys)
    counted = counted.assign(concept=counted["counted"].str.split(SEVERAL)).explode("concept")
    pairs = tables.plain(groups).merge(counted[[*keys, "concept"]], on=keys)
    concepts = frame["concept"].astype("category").cat
    codes = concepts.categories.get_indexer(pd.Index(pairs["concept"]))
    wanted = pairs["group"] * len(concepts.categories) + codes
    of_row = group * len(concepts.categories) + concepts.codes.to_numpy()
    rows = frame[np.isin(of_row, wanted[codes >= 0])]
    by = [name for name in rows if name not in ("concept", "probability", "margin")]
    return rows.groupby(by, as_index=False)[["probability"]].sum()


def _groups(frame: pd.DataFrame, keys: list[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """The number of each row's group by keys, and keys and `group` of each, in order of number."""
    group = frame.groupby(keys).ngroup().to_numpy()
    numbers, first = np.unique(group, return_index=True)
    return group, frame[keys].iloc[first].assign(group=numbers)


def concept_courses(
    blocks: Iterable[pd.DataFrame],
    emergence: pd.DataFrame,
    reader: str,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Means over prompts of `counted_probabilities` as a reader sees them, with their intervals.

    `blocks` are rows of rq3_concepts, as of `summary`, `emergence` is rq3_emergence.
    """
    by = [*UNIT, "family", "prediction", "step", "log_snr"]

    def values(block: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
        rows = block[block["reader"] == reader]
        yield reader, per_sample(counted_probabilities(rows, emergence), by, "probability")

    found = over_blocks(blocks, values, draws=draws, confidence=confidence, seed=seed)
    means = list(found.get(reader, {}).values()) or [pd.DataFrame(columns=[*by, *INTERVAL])]
    whole = pd.concat(means)
    return whole[whole["n"] > 0]


def final_concepts(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of rq3_concepts about the concept on top in the guided prediction of the last step.

    Where a reader has no row of it, its probability is 0.
    """
    keys = [*SAMPLE, "family", "reader"]
    group, groups = _groups(frame, keys)
    concept = frame["concept"].astype("category").cat.codes.to_numpy()
    step, prediction = frame["step"].to_numpy(), frame["prediction"].astype("category").cat
    guided = np.flatnonzero(frame["prediction"] == "guided")
    end = np.full(len(groups), -1)
    np.maximum.at(end, group[guided], step[guided])
    last = guided[step[guided] == end[group[guided]]]
    likely = last[np.lexsort((-frame["probability"].to_numpy()[last], group[last]))]
    highest = likely[np.unique(group[likely], return_index=True)[1]]
    top = np.full(len(groups), -1)
    top[group[highest]] = concept[highest]
    found = frame[concept == top[group]].reset_index(drop=True)
    of_row = group * len(prediction.categories) + prediction.codes.to_numpy()
    there = np.zeros((len(groups) * len(prediction.categories), step.max() + 1), bool)
    there[of_row, step] = True
    if there.sum() == len(found):
        return found
    when = [*keys, "prediction", *(name for name in STEP if name in frame)]
    every = frame[when].drop_duplicates().merge(frame[[*keys, "concept"]].iloc[highest], on=keys)
    return every.merge(found, on=[*when, "concept"], how="left").fillna({"probability": 0.0})
