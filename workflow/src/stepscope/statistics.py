"""Means over prompts with bootstrap intervals, paired comparisons, permutation tests and Holm."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from stepscope import tables

STEP = ("step", "timestep", "log_snr")
BASELINES = ("random", "centre")
# Of each table: what a row of the summary is about besides model, dataset and sampling; the
# numbers that are summarised; and whether methods are also compared with the baselines.
SUMMARIES = {
    "rq1_recovery": ((*STEP, "region", "band"), ("recovered",), False),
    "rq1_saliency": ((*STEP, "method"), ("semantic_mass", "detail_correlation"), True),
    "rq1_auc": ((*STEP, *tables.GAME), ("auc_distance", "auc_similarity"), True),
    "rq1_curves": ((*STEP, *tables.GAME, "move"), ("value",), False),
    "rq2_relevance": ((*STEP, "role", "method"), ("share",), False),
    "rq2_grounding": (
        (*STEP, "role", "method"),
        ("pointing", "iou", "average_precision", "mass"),
        True,
    ),
    "rq3_concepts": (
        (*STEP, "prediction", "family"),
        ("probability", "margin"),
        False,
    ),
    "rq3_emergence": (("prediction", "family"), ("onset_step", "onset_log_snr"), False),
    "rq3_roles": (("role",), ("relevance",), False),
}
GROUPS_AT_ONCE = 64  # bounds the memory of a bootstrap: groups x draws x prompts numbers


def bootstrap(
    values: np.ndarray, draws: int, confidence: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the mean over prompts, low and high (group,), of (group, prompt).

    ``scipy.stats.bootstrap`` on the prompts of a group without NaN; groups that lack the same
    prompts are drawn together, so that they stay paired. One prompt alone has no interval: NaN.
    """
    low, high = np.full((2, len(values)), np.nan)
    patterns, which = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.sum() < 2:
            continue
        rows = np.flatnonzero(which.ravel() == number)
        for some in np.array_split(rows, -(-len(rows) // GROUPS_AT_ONCE)):
            interval = stats.bootstrap(
                (values[some][:, pattern],),
                np.mean,
                axis=-1,
                n_resamples=draws,
                confidence_level=confidence,
                method="percentile",
                rng=np.random.default_rng(seed),
            ).confidence_interval
            low[some], high[some] = interval.low, interval.high
    return low, high


def per_sample(frame: pd.DataFrame, by: Sequence[str], value: str) -> pd.Series:
    """Mean over each sample's words of one role, indexed by ``by``, prompt_id and seed."""
    return frame.groupby([*by, "prompt_id", "seed"], sort=True)[value].mean()


def per_prompt(values: pd.Series) -> pd.Series:
    """Mean over each prompt's seeds, of values by (..., prompt_id, seed).

    Prompts are what intervals draw again, never seeds or steps.
    """
    return values.groupby(level=values.index.names[:-1], sort=True).mean()


def described(values: pd.Series, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """n, missing, estimate, ci_low and ci_high per group, of values by (..., prompt_id).

    n is the number of prompts with a value, missing that of prompts without: a constant map, a
    concept that never stays, a region that is empty.
    """
    grouped = values.groupby(level=values.index.names[:-1], sort=True)
    frame = pd.DataFrame({"n": grouped.count(), "estimate": grouped.mean()})
    frame.insert(1, "missing", grouped.size() - frame["n"])
    wide = values.unstack("prompt_id").loc[frame.index]
    frame["ci_low"], frame["ci_high"] = bootstrap(wide.to_numpy(float), draws, confidence, seed)
    return frame


def against(values: pd.Series, baseline: str) -> pd.Series:
    """Each method's values minus a baseline's of the same sample and step; the index as it was."""
    names = list(values.index.names)
    others = [name for name in names if name not in ("method", "similarity")]
    frame = values.rename("left").reset_index()
    of_baseline = frame[frame["method"] == baseline].rename(columns={"left": "right"})
    pairs = frame[~frame["method"].isin(BASELINES)].merge(
        of_baseline[[*others, "right"]], on=others
    )
    return (pairs["left"] - pairs["right"]).set_axis(pd.MultiIndex.from_frame(pairs[names]))


def summary(
    table: str, frame: pd.DataFrame, *, draws: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Compute a table's summary: means over prompts, paired differences, their intervals.

    Columns: what a row is about, ``quantity``, ``compared``, n, missing, estimate, ci_low, ci_high.
    """
    by, quantities, paired = SUMMARIES[table]
    by = [*tables.SAMPLE[:3], *by]
    frame = prepared(table, frame)
    parts = []
    for quantity in quantities:
        some = frame
        if "score" in by:  # a distance has no auc_similarity, nor the other way round
            some = frame[frame.groupby("score")[quantity].transform("count") > 0]
        values = per_sample(some, by, quantity)
        compared = {"mean over prompts, seeds averaged": values}
        for baseline in BASELINES if paired else ():
            compared[f"minus {baseline}, paired by sample"] = against(values, baseline)
        for what, numbers in compared.items():
            if len(numbers):
                means = per_prompt(numbers)
                found = described(means, draws, confidence, seed).reset_index()
                parts.append(found.assign(quantity=quantity, compared=what))
    columns = [*by, "quantity", "compared", *tables.INTERVAL]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def prepared(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of a table that its summary is about.

    Relevance as shares of its step, summed over a role's words, for words that have a role;
    grounding for words that have one; of the concepts, those of the final picture.
    """
    if table == "rq2_relevance":
        frame = frame.assign(share=tables.share(frame))
        keys = [*tables.KEYS, "role", "method"]
        return frame[frame["role"] != ""].groupby(keys, as_index=False)["share"].sum()
    if table == "rq2_grounding":
        return frame[frame["role"] != ""]
    if table == "rq3_concepts":
        return final_concepts(frame)
    return frame


def final_concepts(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of rq3_concepts about the concept on top in the guided prediction of the last step."""
    keys = [*tables.SAMPLE, "family"]
    guided = frame[frame["prediction"] == "guided"]
    last = guided[guided["step"] == guided.groupby(keys)["step"].transform("max")]
    top = last.loc[last.groupby(keys)["probability"].idxmax(), [*keys, "concept"]]
    return frame.merge(top, on=[*keys, "concept"])


def sign_flip(values: np.ndarray, draws: int, seed: int) -> float:
    """Two-sided p-value of a mean of paired differences (prompt,) under exchanged pairs.

    The null of ``scipy.stats.permutation_test``: for each prompt, which of the two was which is
    arbitrary. Each difference is one number of a prompt, so no step or seed is exchanged.
    """
    return stats.permutation_test(
        (values, np.zeros_like(values)),
        lambda first, second, axis: np.mean(first - second, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=draws,
        rng=np.random.default_rng(seed),
    ).pvalue


def matching(
    blocks: Sequence[np.ndarray], weights: Sequence[float], draws: int, seed: int
) -> tuple[list[np.ndarray], float]:
    """Do curves match their own partner better than another's? Effects (curve,) a block, p-value.

    A block is a square matrix, [i, j] the correlation over steps of curve i with partner j. The
    effect of curve i is [i, i] minus the mean of row and column i: 0 where partners do not matter.
    The null of ``scipy.stats.monte_carlo_test`` swaps whole partner curves within a block: each
    keeps its trend and autocorrelation, which steps shuffled one by one would lose, and the curves
    of a block keep their dependence (shares sum to 1). Two-sided, on the mean of the diagonals.
    """
    effects = [np.diag(each) - (each.mean(0) + each.mean(1)) / 2 for each in blocks]
    ends = np.cumsum([len(each) for each in blocks])
    rng = np.random.default_rng(seed)

    def swapped(size: tuple[int, int]) -> np.ndarray:
        orders = [np.tile(np.arange(len(each)), (size[0], 1)) for each in blocks]
        return np.concatenate([rng.permuted(each, axis=1) for each in orders], axis=1)

    def statistic(orders: np.ndarray, axis: int) -> np.ndarray:
        parts = np.split(orders.astype(int), ends[:-1], axis=-1)
        means = [
            each[np.arange(len(each)), part].mean(-1)
            for each, part in zip(blocks, parts, strict=True)
        ]
        return np.average(means, axis=0, weights=weights)

    own = np.concatenate([np.arange(len(each)) for each in blocks])
    result = stats.monte_carlo_test(own, swapped, statistic, vectorized=True, n_resamples=draws)
    return effects, float(result.pvalue)


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation over steps of every curve with every partner, (i, j), of (curve, step) arrays.

    Pearson's; 0 for a constant curve, which goes with none.
    """
    scaled = []
    for curves in (first, second):
        centred = curves - curves.mean(-1, keepdims=True)
        length = np.linalg.norm(centred, axis=-1, keepdims=True)
        scaled.append(centred / np.where(length > 1e-12 * np.abs(curves).max(), length, np.inf))
    return scaled[0] @ scaled[1].T


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values (1979); NaN, a claim without a test, stays out of the count."""
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known])]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return adjusted


def interval(values: np.ndarray, draws: int, confidence: float, seed: int) -> tuple[float, float]:
    """Bootstrap interval of the mean of one number a prompt."""
    low, high = bootstrap(values[None], draws, confidence, seed)
    return float(low[0]), float(high[0])
