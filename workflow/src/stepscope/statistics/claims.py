"""The paper's claims, tested on the study's own tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stepscope.statistics import (
    findings_clocks,
    findings_rq1,
    findings_rq2,
    findings_rq2_regions,
    findings_rq3,
    inference,
)
from stepscope.statistics.finding import REFERENCES, Finding
from stepscope.store import tables
from stepscope.table_registry import CLAIMS, CLOCKS, SAMPLE, TABLES

STATEMENTS = {
    "R1a": "Early steps recover regions with semantic content, later steps finer detail.",
    "R1b": "DF-RISE explains a step better than LIME and than a random map.",
    "R1c": "The structure term of SSIM is the best similarity for DF-RISE.",
    "R2a": "A step works on particular words; their order differs by prompt and by word.",
    "R2b": "DF-CAM lights the region of the word whose relevance is high at that step.",
    "R3a": "Stages carry visual concepts of their own; sampling a stage densely emphasises them.",
    "R3b": "Early sampling lowers the subject's relevance and raises the object's; latter neither.",
    "C1": "A concept is visible only after it is decided.",
    "C2": "Work on a concept's words peaks between what a prompt can override and what is visible.",
    "C3": "The order of concept families is the same for all clocks.",
}
# What findings look at: tables of all samplings, and of the others methods and columns.
ALL_SAMPLINGS = ("rq2_relevance", "rq3_samplings")
METHODS = {
    "rq1_saliency": ("df_rise", "random"),
    "rq2_relevance": ("relevance", "word_removal"),
    "rq2_grounding": ("df_cam_word", "random"),
}
OF_WORDS = (*SAMPLE, "step", "log_snr", "word_index", "role", "method")
COLUMNS = {
    "rq1_recovery": (*SAMPLE, "step", "log_snr", "prediction", "region", "band", "recovered"),
    "rq2_relevance": (*OF_WORDS, "relevance"),
    "rq2_grounding": (*OF_WORDS, "mass"),
}
LEVEL = 0.05  # of Holm's p-value
PERMUTATIONS = 9999  # enough for Holm over some forty findings, however few draws intervals have
TESTED = (  # columns of a finding's row before its verdict
    *("claim", "statement", "statistic"),
    *("n", "noises", "estimate", "ci_low", "ci_high", "p_value", "reason", "expected", "margin"),
    *(*REFERENCES, "lacking"),
)


def verdict(expected: int, low: float, high: float, p_value: float, margin: float = np.nan) -> str:
    """Supported or contradicted if the interval lies on one side of zero and Holm's p is small.

    With a `margin` the claim is that there is no difference: supported if the interval lies within
    it on both sides of zero, contradicted if it lies beyond.
    """
    if np.isfinite(margin):
        if p_value >= LEVEL or not (
            -margin < low <= high < margin or low > margin or high < -margin
        ):
            return "undecided"
        return "supported" if abs(low) < margin else "contradicted"
    if not (low > 0 or high < 0) or p_value >= LEVEL:
        return "undecided"
    return "supported" if (low > 0) == (expected > 0) else "contradicted"


def with_verdicts(
    findings: Sequence[Finding], draws: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Rows of claims.tsv without model and dataset; p-values by Holm over findings of a family."""
    rows = [_tested(finding, draws, confidence, seed) for finding in findings]
    frame = pd.DataFrame(rows).reindex(columns=TESTED)
    by_family = frame["p_value"].groupby([finding.family for finding in findings])
    frame["p_value"] = by_family.transform(lambda values: inference.holm(values.to_numpy(float)))
    frame["verdict"] = [
        "not_testable" if np.isnan(p_value) else verdict(expected, low, high, p_value, margin)
        for expected, low, high, p_value, margin in zip(
            *(frame[key] for key in ("expected", "ci_low", "ci_high", "p_value", "margin")),
            strict=True,
        )
    ]
    return frame


def _tested(finding: Finding, draws: int, confidence: float, seed: int) -> dict[str, Any]:
    """One finding's row: an interval and an unadjusted p-value if two prompts or more have it."""
    values = np.array([]) if finding.values is None else finding.values
    row = {
        "claim": finding.claim,
        "statement": STATEMENTS[finding.claim],
        "statistic": finding.statistic,
        "expected": finding.expected,
        "margin": np.nan if finding.margin is None else finding.margin,
        "n": len(values),
        "noises": finding.noises,
    } | finding.found_otherwise()
    if len(values) < 2:
        reason = "one prompt has no interval" if len(values) else finding.reason
        return row | {"p_value": np.nan, "reason": reason}
    low, high = inference.interval(values, draws, confidence, seed)
    p_value = finding.p_value  # of the finding's own null
    if finding.margin is not None:
        p_value = inference.equivalence(values, finding.margin)
    elif p_value is None:
        p_value = inference.sign_flip(values, PERMUTATIONS, seed)
    estimate = {"estimate": values.mean(), "ci_low": low, "ci_high": high, "p_value": p_value}
    return row | estimate | {"reason": ""}


def tested_sampling(samplings: Mapping[str, str]) -> str:
    """The first sampling of even steps, or the first: what most claims are tested on."""
    even = [
        name for kind in ("log_snr", "uniform") for name in samplings if samplings[name] == kind
    ]
    return [*even, *samplings][0]


def read(paths: Mapping[str, str], samplings: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The tables of `claims_table` from their files, but for rows that no claim looks at."""
    sampling = tested_sampling(samplings)
    found = {}
    for name, path in paths.items():
        rows = {} if name in ALL_SAMPLINGS else {"sampling": [sampling]}
        rows |= {"method": METHODS[name]} if name in METHODS else {}
        found[name] = tables.read(path, COLUMNS.get(name), rows)
    return found


def _where(holds: pd.Series, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of a table for which something holds; of all no copy."""
    return frame if holds.all() else frame[holds]


def claims_table(
    measured: Mapping[str, pd.DataFrame],
    *,
    samplings: Mapping[str, str],
    draws: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """claims.tsv: every claim by every statistic that the tables hold, per model and dataset.

    `measured` holds tables by name, those that a study lacks left out, `samplings` the kind of each
    sampling. All but R3b and what samplings change are tested on the first sampling of even steps,
    of kind log_snr before uniform, or the study's first.
    """
    sampling = tested_sampling(samplings)
    frames = []
    measured = {
        "rq3_clocks": pd.DataFrame(columns=CLOCKS),
        "rq3_samplings": pd.DataFrame(columns=TABLES["rq3_samplings"].columns),
    } | dict(measured)
    units = measured["rq1_recovery"][["model", "dataset"]].drop_duplicates()
    for model, dataset in units.itertuples(index=False):
        of_unit = {
            name: _where((frame["model"] == model) & (frame["dataset"] == dataset), frame)
            for name, frame in measured.items()
        }
        of_sampling = {
            name: _where(frame["sampling"] == sampling, frame) for name, frame in of_unit.items()
        }
        kinds = {
            name: of_unit[name].assign(kind=of_unit[name]["sampling"].map(samplings))
            for name in ("rq2_relevance", "rq3_samplings")
        }
        findings = [
            *findings_rq1.regions_and_detail(of_sampling),
            *findings_rq1.areas(of_sampling),
            *findings_rq2.words(of_sampling, PERMUTATIONS, seed),
            *findings_rq2_regions.df_cam_follows_relevance(of_sampling, PERMUTATIONS, seed),
            *findings_rq3.stages(of_sampling),
            *findings_rq3.changes(kinds),
            *findings_rq3.roles(kinds),
            *findings_clocks.order(of_sampling),
        ]
        rows = with_verdicts(findings, draws, confidence, seed)
        frames.append(rows.assign(model=model, dataset=dataset))
    empty = pd.DataFrame(columns=CLAIMS)
    return tables.ordered(pd.concat(frames) if frames else empty, "claims")
