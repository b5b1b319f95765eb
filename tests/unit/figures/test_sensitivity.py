"""The figure of sensitivity: a mark a choice, in the colour of its verdict."""

import matplotlib as mpl
import pandas as pd
import pytest

from stepscope.figures import sensitivity
from stepscope.figures.claims import VERDICTS

ROWS = [  # claim, statistic, choice, instead, n, estimate, ci_low, ci_high, verdict
    ("R1a", "trend", "primary", "as in claims", 12, -0.4, -0.6, -0.2, "supported"),
    ("R1a", "trend", "map", "paper", 12, 0.3, 0.1, 9.0, "contradicted"),
    ("R1a", "trend", "measure", "pointing", 1, None, None, None, "not_testable"),
    (
        "R1b",
        "deletion AUC (a, b) of x",
        "primary",
        "as in claims",
        12,
        -0.1,
        -0.2,
        0.1,
        "undecided",
    ),
    ("R1b", "deletion AUC (a, c) of x", "game", "a, c", 10, -0.1, -0.2, -0.1, "supported"),
]
COLUMNS = ["claim", "statistic", "choice", "instead", "n", "estimate", "ci_low", "ci_high"]


@pytest.fixture(scope="module")
def panels():
    table = pd.DataFrame(ROWS, columns=[*COLUMNS, "verdict"]).assign(model="m", dataset="d")
    return [part.axes[0] for part in sensitivity.draw(table, 0.95).subfigs]


def test_a_claim_has_a_panel_a_finding_a_row_and_a_choice_a_column(panels):
    first, second = panels
    assert [label.get_text() for label in first.get_yticklabels()] == ["trend"]
    names = [label.get_text() for label in first.get_xticklabels()]
    assert names == ["as in claims", "paper", "pointing"]
    # a substrate and a score are a choice of one finding
    assert [label.get_text() for label in second.get_yticklabels()] == ["deletion AUC of x"]


def test_marks_have_the_colour_of_their_verdict_and_n(panels):
    marks = {
        round(float(line.get_xdata()[0])): (line.get_marker(), line.get_color())
        for line in panels[0].lines
        if len(line.get_xdata()) == 1
    }
    assert marks == {0: ("D", VERDICTS["supported"]), 1: ("o", VERDICTS["contradicted"])}
    written = [note.get_text() for note in panels[0].texts]
    assert written.count("12") == 2
    assert written.count("1") == 1
    intervals = [line.get_xdata() for line in panels[0].lines if len(line.get_xdata()) == 2]
    assert max(max(ends) for ends in intervals) < 2.5  # cut at the border of the cell
    assert mpl.colors.to_hex(VERDICTS["supported"]) != mpl.colors.to_hex(VERDICTS["contradicted"])
