"""What figures share: the same bytes in every run, intervals, parts for several models."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import PlaceHolderLayoutEngine

from stepscope.figures import (
    claims,
    clocks,
    commitment,
    filmstrip,
    games,
    overlays,
    plotting,
    probes,
    rq1,
    rq2,
    rq3,
    samplings,
)
from stepscope.statistics import summaries
from support.drawings import BOOTSTRAP, SAMPLINGS, drawn, recovery_table, sample, without_rows


def recovery(*blocks):
    """The figure of the summary of made rows."""
    rows = [block.assign(timestep=1.0, masks="segmenter") for block in blocks]
    summary = summaries.summary("rq1_recovery", rows, **BOOTSTRAP)
    return rq1.recovery(summary, SAMPLINGS, BOOTSTRAP["confidence"])


def test_the_same_figure_is_the_same_bytes(rng, tmp_path):
    table = recovery_table(rng, prompts=3).query("sampling == 'uniform'")
    for run in "ab":
        figure = recovery(table)
        plotting.save(figure, f"{tmp_path}/{run}.pdf", f"{tmp_path}/{run}.png")
    for form in ("pdf", "png"):
        assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()


def test_positions_have_no_noise_of_the_layouts_solver(rng):
    """Its last bits differ from run to run; nothing may be laid out again when it is written."""
    figure = rq1.maps_over_time([sample(rng, 0, steps=(2,))], "df_rise")
    plotting.settle(figure)
    parts = [part.bbox_relative.get_points() for part in figure.findobj(SubFigure)]
    parts += [axes.get_position(original=True).bounds for axes in figure.axes]
    for position in parts:
        np.testing.assert_allclose(position, np.round(position, plotting.DECIMALS), atol=1e-12)
    assert isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine)
    left, right = figure.axes[0], figure.axes[1]
    assert left.get_position().x1 < right.get_position().x0  # it was laid out


def test_grey_does_not_depend_on_how_a_picture_lies_in_memory(rng):
    image = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    apart = np.zeros((40, 80, 4), np.uint8)[:, ::2, :3]
    apart[:] = image
    greys = []
    for picture in (image, apart):
        axes = Figure().subplots()
        overlays.overlaid(axes, picture, np.ones((4, 4)), np.zeros((4, 4)))
        greys.append(np.asarray(axes.images[0].get_array()))
    np.testing.assert_array_equal(*greys)
    red, green, blue = map(int, image[0, 0])
    expected = 0.5 + 0.5 * (299 * red + 587 * green + 114 * blue) / 255_000
    assert greys[0][0, 0, 0] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: rq1.maps_over_time([], "df_rise"),
        lambda: rq1.recovery(
            pd.DataFrame(columns=["model", "dataset", "compared"]), SAMPLINGS, 0.95
        ),
        lambda: games.auc(without_rows("rq1_curves"), without_rows("rq1_auc"), **BOOTSTRAP),
        lambda: rq2.words([], without_rows("rq2_relevance"), "relevance", "df_rise"),
        lambda: rq3.emergence(
            summaries.concept_courses([], without_rows("rq3_emergence"), rq3.READER, **BOOTSTRAP),
            {},
            without_rows("rq3_clocks"),
            0.95,
        ),
        lambda: samplings.draw([], without_rows("rq3_samplings"), **BOOTSTRAP),
        lambda: clocks.draw(without_rows("rq3_clocks"), without_rows("rq3_clocks_summary"), 0.95),
        lambda: claims.draw(without_rows("claims"), 0.95),
        lambda: commitment.curves(without_rows("rq3_commitment"), **BOOTSTRAP),
        lambda: filmstrip.filmstrip(
            [],
            without_rows("rq3_concepts"),
            without_rows("rq3_emergence"),
            without_rows("rq3_clocks"),
        ),
        lambda: probes.draw(without_rows("rq3_probes"), without_rows("rq3_probes_summary")),
    ],
    ids=[
        *("maps", "recovery", "auc", "words", "emergence", "samplings", "clocks", "claims"),
        *("commitment", "filmstrip", "probes"),
    ],
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
    assert (row.n, row.noises, row.missing) == (2, 3, 1)
    assert row.estimate == 3.0  # the mean of 1 and 5
    assert row.ci_low < 1 < 5 < row.ci_high  # two prompts say little


def test_several_models_are_drawn_apart(rng):
    table = recovery_table(rng, prompts=3)
    text = drawn(recovery(table, table.assign(model="other")))
    assert "embedded · scenes" in text
    assert "other · scenes" in text
