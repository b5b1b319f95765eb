"""Verdicts of findings: an interval and a p-value of each, and what they say together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stepscope.statistics import inference
from stepscope.statistics.finding import REFERENCES, Finding

LEVEL = 0.05  # of Holm's p-value
PERMUTATIONS = 9999  # enough for Holm over some forty findings, however few draws intervals have
TESTED = (  # columns of a finding's row before its verdict
    *("claim", "statistic"),
    *("n", "noises", "estimate", "ci_low", "ci_high", "p_value", "reason", "expected", "margin"),
    *(*REFERENCES, "lacking"),
)


def tested_sampling(samplings: Mapping[str, str]) -> str:
    """The sampling that claims are tested on, of their kinds by name.

    The first of even steps, of kind log_snr before uniform, or else the first of all.
    """
    kinds = ("log_snr", "uniform")
    even = [name for kind in kinds for name in samplings if samplings[name] == kind]
    return [*even, *samplings][0]


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
    """Rows (`TESTED`) of findings with their verdicts, p-values adjusted within their families."""
    rows = tested(findings, draws, confidence, seed)
    return judged(rows, [finding.family for finding in findings])


def tested(findings: Sequence[Finding], draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """Rows (`TESTED`) of findings, a p-value being that of a finding by itself."""
    rows = [_tested(finding, draws, confidence, seed) for finding in findings]
    return pd.DataFrame(rows).reindex(columns=TESTED)


def judged(rows: pd.DataFrame, families: Sequence[str]) -> pd.DataFrame:
    """Rows of `tested` with p-values by Holm over those of a family, and the verdicts."""
    by_family = rows["p_value"].groupby(np.array(families, dtype=object))
    rows = rows.assign(
        p_value=by_family.transform(lambda values: inference.holm(values.to_numpy(float)))
    )
    rows["verdict"] = [
        "not_testable" if np.isnan(p_value) else verdict(expected, low, high, p_value, margin)
        for expected, low, high, p_value, margin in zip(
            *(rows[key] for key in ("expected", "ci_low", "ci_high", "p_value", "margin")),
            strict=True,
        )
    ]
    return rows


def _tested(finding: Finding, draws: int, confidence: float, seed: int) -> dict[str, Any]:
    """One finding's row: an interval and an unadjusted p-value if two prompts or more have it."""
    values = np.array([]) if finding.values is None else finding.values
    row = {
        "claim": finding.claim,
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
