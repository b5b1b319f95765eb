"""Summaries of tables: means over prompts and paired comparisons, with intervals."""

import pandas as pd

from stepscope.scores.emergence import SEVERAL
from stepscope.statistics import commitment
from stepscope.statistics.inference import per_sample, trend, with_intervals
from stepscope.store import tables
from stepscope.table_registry import INTERVAL, KEYS, SAMPLE, STEP, TABLES

BASELINES = ("random", "centre", "edge")


def against(values: pd.Series, baseline: str, level: str = "method") -> pd.Series:
    """Each method's values minus a baseline's of the same sample and step; the index as it was.

    Or at another `level`, such as each prediction's minus the null's.
    """
    names = list(values.index.names)
    others = [name for name in names if name not in (level, "similarity")]
    frame = values.rename("left").reset_index()
    of_baseline = frame[frame[level] == baseline].rename(columns={"left": "right"})
    pairs = frame[~frame[level].isin({*BASELINES, baseline})].merge(
        of_baseline[[*others, "right"]], on=others
    )
    return (pairs["left"] - pairs["right"]).set_axis(pd.MultiIndex.from_frame(pairs[names]))


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
    table: str, frame: pd.DataFrame, *, draws: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Compute a table's summary: means over prompts, paired differences, their intervals.

    Columns: what a row is about, `quantity`, `compared`, n, noises, missing, estimate, ci_low,
    ci_high. A row over all steps has none of its own.
    """
    about = TABLES[table]
    by = ["model", "dataset", "sampling", *about.groups]
    frame = prepared(table, frame)
    parts = []
    for quantity in about.quantities:
        rows = frame
        if "score" in by:  # a distance has no auc_similarity, nor the other way round
            rows = frame[frame.groupby("score")[quantity].transform("count") > 0]
        values = per_sample(rows, by, quantity)
        compared = {"mean over prompts, seeds averaged": values}
        for baseline in BASELINES if about.paired else ():
            compared[f"minus {baseline}, paired by sample"] = against(values, baseline)
        if about.null:
            beyond = against(values, about.null, "prediction")
            compared["minus the Gaussian null, paired by sample"] = beyond
        if quantity in about.pooled:
            compared |= {f"{name}, over steps": pooled(of) for name, of in compared.items()}
        if quantity in about.courses:
            compared["minus the step before, paired by sample"] = over_step_before(values)
            compared["rank correlation with log-SNR, over steps"] = over_log_snr(values)
        for comparison, by_sample in compared.items():
            if len(by_sample):
                estimates = with_intervals(by_sample, draws, confidence, seed).reset_index()
                parts.append(estimates.assign(quantity=quantity, compared=comparison))
    if table == "rq3_commitment":
        parts.append(commitment.curves(frame, draws, confidence, seed))
    columns = [*by, "quantity", "compared", *INTERVAL]
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return whole.reindex(columns=columns)


def prepared(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of a table that its summary is about.

    Relevance as shares of its step, summed over a role's words, for words that have a role;
    grounding for words that have one; of the concepts, those of the final picture.
    """
    if table == "rq2_relevance":
        frame = frame.assign(share=tables.share(frame))
        keys = [*KEYS, "role", "method"]
        return frame[frame["role"] != ""].groupby(keys, as_index=False)[["share"]].sum()
    if table in ("rq2_grounding", "rq2_summed", "rq2_information", "rq2_heads"):
        return frame[frame["role"] != ""]
    if table == "rq3_concepts":
        return final_concepts(frame)
    return frame


def counted_probabilities(frame: pd.DataFrame, emergence: pd.DataFrame) -> pd.DataFrame:
    """Probability that a prediction shows any concept which is true of its final picture.

    Summed over the concepts that rq3_emergence counts for a sample, as both objects of a scene with
    two. `frame` is rq3_concepts.
    """
    keys = [*SAMPLE, "family", "reader"]
    counted = emergence[[*keys, "counted"]].drop_duplicates(keys)
    counted = counted.assign(concept=counted["counted"].str.split(SEVERAL)).explode("concept")
    rows = frame.astype({"concept": str}).merge(counted[[*keys, "concept"]], on=[*keys, "concept"])
    by = [name for name in rows if name not in ("concept", "probability", "margin")]
    return rows.groupby(by, as_index=False, observed=True)[["probability"]].sum()


def final_concepts(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of rq3_concepts about the concept on top in the guided prediction of the last step.

    Where a reader has no row of it, its probability is 0.
    """
    keys = [*SAMPLE, "family", "reader"]
    guided = frame[frame["prediction"] == "guided"]
    last = guided[guided["step"] == guided.groupby(keys)["step"].transform("max")]
    top = last.loc[last.groupby(keys)["probability"].idxmax(), [*keys, "concept"]]
    when = [*keys, "prediction", *(name for name in STEP if name in frame)]
    every = frame[when].drop_duplicates().merge(top, on=keys)
    found = every.merge(frame, on=[*when, "concept"], how="left")
    return found.fillna({"probability": 0.0})
