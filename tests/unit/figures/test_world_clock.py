"""The figure of the world's clock names readers and families and marks the middles."""

import numpy as np
import pandas as pd

from stepscope.figures import world_clock
from support.drawings import crossed, drawn

MIDDLES = {"relation": -5.0, "colour": -3.5, "seal": 2.0}


def test_every_reader_has_a_panel_and_every_family_a_curve():
    readers = ["bayes", "e_u, CLIP"]
    table = crossed(reader=readers, family=list(MIDDLES), log_snr=np.arange(-10, 6.5, 0.5))
    rise = 1 / (1 + np.exp(-2 * (table["log_snr"] - table["family"].map(MIDDLES))))
    table = table.assign(
        accuracy=rise, ci_low=rise - 0.1, ci_high=rise + 0.1, scenes=20, noises=4, chance=0.0
    )
    families = crossed(family=list(MIDDLES), reader=readers)
    middle = families["family"].map(MIDDLES)
    families = families.assign(
        middle_log_snr=middle, ci_low=middle - 0.3, ci_high=middle + 0.3, two_nats_log_snr=middle
    )
    families.loc[1, "middle_log_snr"] = np.nan
    without = families[~((families["family"] == "seal") & (families["reader"] == readers[1]))]
    onsets = crossed(
        prompt_id=["a", "b", "c"], seed=[0, 1], prediction=["e_u", "e_c"], family=[*MIDDLES, "size"]
    )
    onsets = onsets.assign(onset_log_snr=onsets["family"].map(MIDDLES) + 0.5)
    steps = np.arange(1, 9)
    left = {"step": steps, "log_snr": steps - 6.0, "error_left": 0.5**steps}
    figure = world_clock.draw(table, pd.DataFrame(without), onsets, left, "tiny · scenes · log_snr")
    shown = drawn(figure)
    for words in (*MIDDLES, "posterior", "e_u, CLIP", "20 scenes, 4 noises", "tiny", "6 samples"):
        assert words in shown
    below = figure.axes[-1]
    medians = [line.get_xdata()[0] for line in below.lines if line.get_marker() == "o"]
    assert medians == [middle + 0.5 for middle in MIDDLES.values()]
    of_other = onsets.assign(family="weather")
    assert len(world_clock.draw(table, without, of_other, left, "").axes) == 4
    first, second = (axes for axes in figure.axes if axes.get_title())
    assert [len(axes.lines) for axes in (first, second)] == [3, 3]
