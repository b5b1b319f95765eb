"""The figures of clocks and of claims show each with its numbers."""

import numpy as np
import pandas as pd

from stepscope.figures import claims, clocks
from stepscope.table_columns import CLAIMS
from support.drawings import UNIT, crossed, drawn


def test_clocks_have_a_panel_a_family_and_a_line_a_reader(rng):
    keys = crossed(
        prompt_id=["a", "b", "c"],
        seed=[0],
        sampling=["log_snr", "early"],
        family=["object", "tint"],
        clock=["visible", "bayes"],
    )
    rows = keys.assign(**UNIT, reader="clip", log_snr=rng.normal(size=len(keys)), within_steps=0.0)
    summary = rows.drop_duplicates(["sampling", "family", "clock"]).assign(
        quantity="log_snr", compared="median", n=3, noises=1, estimate=1.0, ci_low=0.5, ci_high=2.0
    )
    null = summary[summary["clock"] == "visible"]
    beside = [
        null.assign(compared="median, of the Gaussian null", estimate=0.5),
        null.assign(compared="median, of a fixed picture", estimate=np.nan),
        null.assign(compared="mean within the steps, of a fixed picture", estimate=-8.0),
    ]
    figure = clocks.draw(rows, pd.concat([summary, *beside]), 0.95, "log_snr")
    shown = drawn(figure)
    for part in (
        "object",
        "tint",
        "visible, empty prompt (clip)",
        "posterior",
        "n = 3 prompts",
        "Gaussian null",
    ):
        assert part in shown
    assert "early" not in shown
    dots = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert dots == [1.0, 1.0]
    for mark, time in (("|", 0.5), ("x", -8.0)):
        (line,) = [line for line in figure.axes[0].lines if line.get_marker() == mark]
        assert line.get_xdata()[0] == time


def test_clocks_of_pairs_have_a_diamond_or_say_why_not():
    rows = crossed(prompt_id=["a"], seed=[0], family=["object", "tint"], clock=["bayes"])
    rows = rows.assign(**UNIT, sampling="log_snr", reader="", log_snr=0.0, within_steps=0.0)
    keys = {"clock": "earliest", "reader": "clip", "quantity": "log_snr", "n": 24, "noises": 24}
    pairs = [
        {"family": "object", "compared": "first step", "estimate": -2.0},
        {"family": "tint", "compared": "not testable: 2 of 72 pairs flip", "estimate": np.nan},
    ]
    summary = pd.DataFrame(pairs).assign(**UNIT, **keys, sampling="log_snr")
    figure = clocks.draw(rows, summary.assign(ci_low=np.nan, ci_high=np.nan), 0.95)
    shown = drawn(figure)
    assert "nearby noises, predictions (clip)" in shown
    assert shown.count("not testable") == 1
    diamonds = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "D"]
    assert [list(line.get_xdata()) for line in diamonds] == [[-2.0], []]


def test_claims_show_estimate_interval_and_verdict():
    row = dict.fromkeys(CLAIMS, "") | UNIT
    tested = row | {"claim": "R1a", "statistic": "a lag", "verdict": "supported", "n": 9}
    tested |= {"estimate": 0.5, "ci_low": 0.25, "ci_high": 1.0}
    lacking = row | {"claim": "C1", "statistic": "another", "verdict": "not_testable", "n": 0}
    lacking |= {"estimate": np.nan, "ci_low": np.nan, "ci_high": np.nan}
    figure = claims.draw(pd.DataFrame([tested, lacking]), 0.95)
    shown = drawn(figure)
    for part in ("R1a", "C1", "0.5 [0.25, 1], n = 9: a lag", "another", "not testable"):
        assert part in shown
