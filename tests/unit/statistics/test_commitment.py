"""Falling curves of prompt switches, their medians and intervals."""

import numpy as np
import pandas as pd
import pytest

from stepscope.statistics import commitment
from stepscope.statistics.summaries import summary
from stepscope.table_registry import TABLES

LEVELS = np.linspace(-8, 4, 13)
OPTIONS = {"draws": 200, "confidence": 0.95, "seed": 0}


def table(thresholds, flips=0.0, rng=None, unread=()):
    """rq3_commitment of prompts whose switches win below a threshold, but for some flips."""
    rows = []
    for prompt, threshold in enumerate(thresholds):
        for trajectory in ("stored", "swapped"):
            won = (LEVELS < threshold).astype(float)
            if flips:
                won = np.where(rng.random(len(won)) < flips, 1 - won, won)
            for step, (level, value) in enumerate(zip(LEVELS, won, strict=True), 1):
                rows.append(
                    {
                        **{"model": "m", "dataset": "d", "sampling": "s", "seed": prompt},
                        **{"prompt_id": f"p{prompt}", "step": step, "timestep": 1000.0 - step},
                        **{"log_snr": level, "family": "colour", "trajectory": trajectory},
                        **{"from": "red", "to": "blue", "reader": "clip", "probability": value},
                        **{"wins": np.nan if prompt in unread else value},
                        **{"lower": level, "upper": level},
                    }
                )
    return pd.DataFrame(rows, columns=TABLES["rq3_commitment"].columns)


def median_of(frame):
    found = commitment.curves(frame, **OPTIONS)
    return found[found["compared"] == commitment.MEDIAN].iloc[0]


def test_the_median_is_found_and_unread_prompts_are_missing():
    found = median_of(table([-5, -3.2, 0.3, 1, 2], unread=(4,)))
    assert (found["n"], found["missing"], found["noises"]) == (4, 1, 4)
    assert -4 < found["estimate"] < 1
    assert found["ci_low"] <= found["estimate"] <= found["ci_high"]


@pytest.mark.parametrize(("threshold", "censored"), [(9, np.inf), (-9, -np.inf)])
def test_a_median_beyond_the_starts_is_censored(threshold, censored):
    found = median_of(table([threshold] * 3))
    assert found["estimate"] == found["ci_low"] == found["ci_high"] == censored


def test_the_curve_falls_and_a_median_is_unbiased_with_errors_of_the_reader():
    rng = np.random.default_rng(0)
    medians, covered = [], 0
    for _ in range(25):
        found = commitment.curves(table(rng.normal(-2, 1.5, 16), 0.05, rng), **OPTIONS)
        curve = found[found["quantity"] == "wins"].sort_values("log_snr")["estimate"]
        assert (np.diff(curve) <= 1e-12).all()
        median = found[found["quantity"] == "log_snr"].iloc[0]
        medians.append(median["estimate"])
        covered += median["ci_low"] <= -2 <= median["ci_high"]
    # a switch at a threshold between two starts, a nat apart, still wins at the lower one
    assert np.mean(medians) == pytest.approx(-2, abs=0.35)
    assert covered >= 21


def test_the_summary_has_curve_and_median_beside_the_means():
    frame = table([-5, -3.2, 0.3])
    found = summary("rq3_commitment", [frame], **OPTIONS)
    compared = found.groupby("compared").size()
    assert compared[commitment.CURVE] == len(LEVELS)
    assert compared[commitment.MEDIAN] == 1
    means = found[(found["quantity"] == "wins") & (found["trajectory"] == "stored")]
    np.testing.assert_allclose(
        means["estimate"], (np.array([[-5], [-3.2], [0.3]]) > LEVELS).mean(0)
    )
    empty = summary("rq3_commitment", [], **OPTIONS)
    assert list(empty) == list(found)


def test_one_prompt_has_no_interval():
    found = median_of(table([0.5]))
    assert np.isnan(found["ci_low"])
    assert np.isfinite(found["estimate"])
