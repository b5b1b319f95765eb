"""Figures of RQ1 say what they show."""

import numpy as np
import pytest
from matplotlib.axes import Axes

from stepscope.figures import overlays, rq1
from stepscope.statistics import summaries
from support.drawings import BOOTSTRAP, PROMPTS, SAMPLINGS, drawn, recovery_table, sample


def recovery(table):
    """The figure of the summary of made rows."""
    rows = table.assign(timestep=1.0, masks="segmenter")
    summary = summaries.summary("rq1_recovery", [rows], **BOOTSTRAP)
    return rq1.recovery(summary, SAMPLINGS, BOOTSTRAP["confidence"])


def test_recovery_names_regions_bands_samplings_and_n(rng):
    figure = recovery(recovery_table(rng, prompts=4))
    text = drawn(figure)
    for part in (
        "object",
        "border",
        "high frequencies",
        "latter",
        "log-SNR",
        "step",
        "empty prompt (e_u)",
        "dashed: Gaussian null",
        "share of the picture recovered per nat",
        "n = 4 prompts, 2 noises",
    ):
        assert part in text
    panels = [one for one in figure.findobj(Axes) if one.get_yscale() == "symlog"]
    assert len(panels) == 3 * 5  # the first sampling's predictions, and the two others
    for one in panels:  # each row has its axis
        assert one.get_xlabel() == "log-SNR (nats)"
        assert any(tick.label1.get_visible() for tick in one.xaxis.get_major_ticks())


def test_recovery_draws_the_null_and_late_steps(rng):
    table = recovery_table(rng, prompts=3).query("sampling == 'early'")
    late = table["recovered"].where(table["step"] < 15, 1e-3 * table["recovered"].abs())
    figure = recovery(table.assign(recovered=late))
    axes = [one for one in figure.findobj(Axes) if one.get_yscale() == "symlog"]
    assert len(axes) == 3 * 3  # predictions by bands
    assert "\n0.01\n" in drawn(figure)
    for one in axes:
        dashed = [line for line in one.lines if line.get_linestyle() == "--"]
        assert [len(line.get_xdata()) for line in dashed] == [19] * 3  # regions
        low, high = one.transData.transform([(0, 0), (0, 1e-2)])[:, 1]
        assert (high - low) / one.bbox.height > 0.1  # a hundredth is seen


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (np.linspace(-1, 1, 101), 0.98),
        (np.append(np.linspace(-1, 1, 100), 50.0), 1.0),  # one pixel sets nothing
        (np.append(np.zeros(99), -3.0), 3.0),  # but where there is no other
        (np.append(np.full(9, np.nan), 2.0), 2.0),
    ],
)
def test_a_map_is_divided_by_a_quantile_of_its_magnitudes(values, scale):
    assert overlays.magnitude(values[None]) == pytest.approx(scale, abs=0.011)


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.full((2, 2), np.nan)])
def test_a_map_of_nothing_is_divided_by_something(values):
    assert overlays.magnitude(values) > 0


def test_standard_errors_stand_below_their_maps_on_the_same_scale(rng):
    with_error = sample(rng, 0)
    with_error["error"] = 0.1 * abs(with_error["map"])
    figure = rq1.maps_over_time([with_error, sample(rng, 1)], "df_rise")
    assert "its standard\nerror" in drawn(figure)
    over = [one.images[1].get_array() for one in figure.findobj(Axes) if len(one.images) == 2]
    for map_, error in zip(over[:3], over[3:6], strict=True):  # a row of each
        np.testing.assert_allclose(error, 0.1 * abs(map_), rtol=1e-5)
    assert len(over) == 3 * 2 + 3  # the second sample has none
    assert "its standard" not in drawn(rq1.maps_over_time([sample(rng, 1)], "df_rise"))


def test_recovery_without_any_object_says_so(rng):
    table = recovery_table(rng, prompts=2).query("sampling == 'early'").assign(recovered=np.nan)
    assert "n = 0 prompts, 0 noises" in drawn(recovery(table))


def test_maps_over_time_show_only_steps_with_a_map(rng):
    samples = [sample(rng, 0), sample(rng, 1, steps=(2, 8))]
    text = drawn(rq1.maps_over_time(samples, "df_rise"))
    for part in ("step 2", "step 15", "log-SNR -4.7", "final picture", PROMPTS[1], "DF-RISE map"):
        assert part in text
    assert "step 9" not in text
