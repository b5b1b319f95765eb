"""The paper's claims, judged by the study's own tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stepscope.statistics import findings_rq1, findings_rq2, findings_rq3, inference
from stepscope.statistics.finding import Finding
from stepscope.store import tables
from stepscope.table_registry import CLAIMS

STATEMENTS = {
    "R1a": "Early steps recover regions with semantic content, later steps finer detail.",
    "R1b": "DF-RISE explains a step better than LIME and than a random map.",
    "R1c": "The structure term of SSIM is the best similarity for DF-RISE.",
    "R2a": "A step works on particular words; their order differs by prompt and by word.",
    "R2b": "DF-CAM lights the region of the word whose relevance is high at that step.",
    "R3a": "Stages carry visual concepts of their own; sampling a stage densely emphasises them.",
    "R3b": "Early sampling lowers the subject's relevance and raises the object's; latter neither.",
}
LEVEL = 0.05  # of Holm's p-value
PERMUTATIONS = 9999  # enough for Holm over some twenty findings, however few draws intervals have


def verdict(expected: int, low: float, high: float, p_value: float) -> str:
    """Supported or contradicted if the interval lies on one side of zero and Holm's p is small."""
    if not (low > 0 or high < 0) or p_value >= LEVEL:
        return "undecided"
    return "supported" if (low > 0) == (expected > 0) else "contradicted"


def with_verdicts(
    found: Sequence[Finding], draws: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Rows of claims.tsv without model and dataset; p-values by Holm over all findings."""
    rows = []
    for each in found:
        values = np.array([]) if each.values is None else each.values
        row = {"claim": each.claim, "statement": STATEMENTS[each.claim], "n": len(values)}
        row |= {"statistic": each.statistic, "expected": each.expected, "p_value": np.nan}
        if len(values) > 1:
            low, high = inference.interval(values, draws, confidence, seed)
            p_value = each.p_value  # of the finding's own null
            if p_value is None:
                p_value = inference.sign_flip(values, PERMUTATIONS, seed)
            row |= {"estimate": values.mean(), "ci_low": low, "ci_high": high, "p_value": p_value}
            row |= {"reason": ""}
        else:
            row |= {"reason": "one prompt has no interval" if len(values) else each.reason}
        rows.append(row)
    frame = pd.DataFrame(rows).reindex(columns=[*CLAIMS[2:-2], "reason", "expected"])
    frame["p_value"] = inference.holm(frame["p_value"].to_numpy(float))
    limits = zip(*(frame[key] for key in ("expected", "ci_low", "ci_high", "p_value")), strict=True)
    frame["verdict"] = ["not_testable" if np.isnan(each[-1]) else verdict(*each) for each in limits]
    return frame


def claims_table(
    found: dict[str, pd.DataFrame],
    *,
    samplings: dict[str, str],
    draws: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """claims.tsv: every claim by every statistic that the tables hold, per model and dataset.

    ``found``: tables by name; ``samplings``: the kind of each sampling. All but R3b are judged on
    the first sampling of kind uniform, or the study's first.
    """
    uniform = [name for name, kind in samplings.items() if kind == "uniform"] or list(samplings)
    frames = []
    units = found["rq1_recovery"][["model", "dataset"]].drop_duplicates()
    for model, dataset in units.itertuples(index=False):
        some = {
            name: frame[(frame["model"] == model) & (frame["dataset"] == dataset)]
            for name, frame in found.items()
        }
        first = {name: frame[frame["sampling"] == uniform[0]] for name, frame in some.items()}
        words = some["rq2_relevance"]
        kinds = {"rq2_relevance": words.assign(kind=words["sampling"].map(samplings))}
        tested = [
            *findings_rq1.regions_and_detail(first),
            *findings_rq1.areas(first),
            *findings_rq2.words(first, PERMUTATIONS, seed),
            *findings_rq2.df_cam_follows_relevance(first, PERMUTATIONS, seed),
            *findings_rq3.stages(first),
            *findings_rq3.roles(kinds),
        ]
        rows = with_verdicts(tested, draws, confidence, seed)
        frames.append(rows.assign(model=model, dataset=dataset))
    return tables.ordered(pd.concat(frames), "claims")
