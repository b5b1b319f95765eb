"""Figures of RQ1 say what they show."""

import numpy as np
from matplotlib.axes import Axes

from stepscope.figures import rq1
from stepscope.table_registry import TABLES
from support.drawings import BOOTSTRAP, PROMPTS, drawn, recovery_table, sample


def test_recovery_names_regions_bands_samplings_and_n(rng):
    text = drawn(rq1.recovery(recovery_table(rng, prompts=4), **BOOTSTRAP))
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


def test_recovery_draws_the_null_and_late_steps(rng):
    table = recovery_table(rng, prompts=3).query("sampling == 'early'")
    late = table["recovered"].where(table["step"] < 15, 1e-3 * table["recovered"].abs())
    figure = rq1.recovery(table.assign(recovered=late), **BOOTSTRAP)
    axes = [one for one in figure.findobj(Axes) if one.get_yscale() == "symlog"]
    assert len(axes) == 3 * 3  # predictions by bands
    assert "\n0.01\n" in drawn(figure)
    for one in axes:
        dashed = [line for line in one.lines if line.get_linestyle() == "--"]
        assert [len(line.get_xdata()) for line in dashed] == [19] * 3  # regions
        low, high = one.transData.transform([(0, 0), (0, 1e-2)])[:, 1]
        assert (high - low) / one.bbox.height > 0.1  # a hundredth is seen


def test_recovery_without_any_object_says_so(rng):
    table = recovery_table(rng, prompts=2).query("sampling == 'early'").assign(recovered=np.nan)
    assert "n = 0 prompts, 0 noises" in drawn(rq1.recovery(table, **BOOTSTRAP))


def test_maps_over_time_show_only_steps_with_a_map(rng):
    samples = [sample(rng, 0), sample(rng, 1, steps=(2, 8))]
    text = drawn(rq1.maps_over_time(samples, "df_rise"))
    for part in ("step 2", "step 15", "log-SNR -4.7", "final picture", PROMPTS[1], "DF-RISE map"):
        assert part in text
    assert "step 9" not in text


def test_columns_that_the_figures_read_are_the_tables():
    assert set(rq1.RECOVERY) <= set(TABLES["rq1_recovery"].columns)
