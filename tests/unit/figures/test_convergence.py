"""The figure of convergence names estimators, scores and what is counted."""

import numpy as np
import pytest

from stepscope.figures import convergence
from stepscope.scores.convergence import ESTIMATORS, SCORES
from stepscope.table_registry import TABLES
from support.drawings import BOOTSTRAP, UNIT, crossed, drawn

LEVELS = {"correlation": 0.95, "error": 0.02}


def test_every_score_has_a_panel_and_every_estimator_a_curve(rng):
    table = crossed(
        prompt_id=["p0", "p1", "p2"], step=[4, 8], estimator=list(ESTIMATORS), score=list(SCORES)
    )
    numbers = {name: rng.uniform(50, 500, len(table)) for name in convergence.QUANTITIES}
    table = table.assign(**UNIT, **numbers, sampling="uniform", seed=0, log_snr=table["step"] - 6.0)
    table.loc[table["score"] == "mean", "calls_to_error"] = np.nan  # passed by none
    figure = convergence.calls(table, LEVELS, **BOOTSTRAP)
    shown = drawn(figure)
    for words in (
        *convergence.ESTIMATORS.values(),
        *convergence.SCORES.values(),
        "calls to correlation 0.95",
        "calls to standard error 0.02",
        "n = 3 prompts, 1 noise",
    ):
        assert words in shown
    panels = [axes for axes in figure.findobj(type(figure.axes[0])) if axes.get_yscale() == "log"]
    assert len(panels) == 6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("quantity", convergence.QUANTITIES)
def test_a_level_that_nothing_reaches_is_said_in_its_panels(rng, quantity):
    table = crossed(
        prompt_id=["p0", "p1"], step=[4, 8], estimator=list(ESTIMATORS), score=list(SCORES)
    )
    numbers = {name: rng.uniform(50, 500, len(table)) for name in convergence.QUANTITIES}
    numbers[quantity] = np.nan
    table = table.assign(**UNIT, **numbers, sampling="uniform", seed=0, log_snr=table["step"] - 6.0)
    assert drawn(convergence.calls(table, LEVELS, **BOOTSTRAP)).count("reached by none") == 3


def test_names_are_those_of_the_scores():
    assert convergence.ESTIMATORS.keys() == ESTIMATORS.keys()
    assert tuple(convergence.SCORES) == SCORES
    assert set(convergence.COLUMNS) <= set(TABLES["rq1_convergence"].columns)
