"""What figures share: the same bytes in every run, intervals, parts for several models."""

import numpy as np
import pandas as pd
import pytest

from stepscope.figures import games, plotting, rq1, rq2, rq3
from support.drawings import BOOTSTRAP, drawn, recovery_table, without_rows


def test_the_same_figure_is_the_same_bytes(rng, tmp_path):
    table = recovery_table(rng, prompts=3).query("sampling == 'uniform'")
    for run in "ab":
        figure = rq1.recovery(table, **BOOTSTRAP)
        plotting.save(figure, f"{tmp_path}/{run}.pdf", f"{tmp_path}/{run}.png")
    for form in ("pdf", "png"):
        assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4  # nothing is left beside them


@pytest.mark.parametrize(
    "draw",
    [
        lambda: rq1.maps_over_time([], "df_rise"),
        lambda: rq1.recovery(without_rows("rq1_recovery"), **BOOTSTRAP),
        lambda: games.auc(without_rows("rq1_curves"), without_rows("rq1_auc"), **BOOTSTRAP),
        lambda: rq2.words([], without_rows("rq2_relevance"), "relevance", "df_rise"),
        lambda: rq3.emergence(
            without_rows("rq3_concepts"), without_rows("rq3_emergence"), **BOOTSTRAP
        ),
        lambda: rq3.samplings([]),
    ],
    ids=["maps", "recovery", "auc", "words", "emergence", "samplings"],
)
def test_a_figure_of_nothing_says_so(draw):
    assert drawn(draw()) == "The study has nothing for this figure to show."


def test_interval_averages_seeds_first_and_covers_the_mean():
    frame = pd.DataFrame(
        {
            "prompt_id": ["a", "a", "a", "b", "c"],
            "seed": [0, 1, 2, 0, 0],
            "step": 1,
            "value": [0.0, 0.0, 3.0, 5.0, np.nan],
        }
    )
    (row,) = plotting.intervals(frame, ["step"], "value", **BOOTSTRAP).itertuples()
    assert (row.n, row.estimate) == (2, 3.0)  # the mean of 1 and 5
    assert 1 <= row.ci_low <= 3 <= row.ci_high <= 5


def test_several_models_are_drawn_apart(rng):
    table = recovery_table(rng, prompts=3)
    both = pd.concat([table, table.assign(model="other")])
    text = drawn(rq1.recovery(both, **BOOTSTRAP))
    assert "embedded · scenes" in text
    assert "other · scenes" in text
