"""The filmstrip shows a sample's predictions, what is true in them, and its clocks."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.offsetbox import OffsetImage

from stepscope.figures import filmstrip
from stepscope.table_columns import WHOLE
from support.drawings import crossed, drawn, sample, times

FAMILIES = {"object": ["cat", "dog"], "tint": ["teal", "ivory", "golden"]}


@pytest.fixture(scope="module")
def shown(rng):
    """A sample with the tables of it and of another one."""
    made = sample(rng, 1)
    who = {name: made.attrs[name] for name in ("model", "dataset", "sampling")}
    keys = crossed(prompt_id=["p00", "p01"], seed=[0], step=range(1, 21), reader=["clip", "other"])
    keys = keys.merge(times(), on="step").assign(**who)
    concepts, emergence = [], []
    for family, names in FAMILIES.items():
        for prediction in ("e_u", "e_c", "guided"):
            about = {"family": family, "prediction": prediction}
            for number, concept in enumerate(names):
                value = 0.25 + 0.5 * (number == 0) if family == "tint" else 0.5
                concepts.append(keys.assign(**about, concept=concept, probability=value))
            counted = "cat|dog" if family == "object" else "teal"
            emergence.append(keys[keys["step"] == 1].assign(**about, counted=counted))
    rows = [
        {"family": "object", "clock": "visible", "reader": "clip", "log_snr": 1.0, "lower": 0.5,
         "upper": 2.0, "censored": ""},
        {"family": "tint", "clock": "bayes", "reader": "", "log_snr": -2.0, "lower": -2.0,
         "upper": -2.0, "censored": ""},
        {"family": "tint", "clock": "visible", "reader": "clip", "log_snr": np.nan, "lower": 1.0,
         "upper": np.nan, "censored": "never"},
    ]  # fmt: skip
    clocks = pd.DataFrame(rows).assign(**who, prompt_id="p01", seed=0)
    other = clocks.assign(prompt_id="p00", log_snr=-4.0)
    return made, pd.concat(concepts), pd.concat(emergence), pd.concat([clocks, other])


def test_a_strip_has_pictures_probabilities_and_clocks_on_one_axis(shown):
    made, *tables = shown
    figure = filmstrip.filmstrip([made], *tables)
    text = drawn(figure)
    for part in ("on a striped red", "seed 0", "object", "cat or dog", "tint", "teal", "log-SNR"):
        assert part in text
    for part in ("guided", "chance", "posterior (the world's)", "visible, empty prompt (clip)"):
        assert part in text
    strip, first, second, last = (axes for axes in figure.axes if axes.get_xlim()[1] > 2)
    assert len({axes.get_xlim() for axes in (strip, first, second, last)}) == 1
    assert 3 * 5 < len(figure.findobj(OffsetImage)) <= 3 * filmstrip.ACROSS
    curves = [line for line in first.lines if len(line.get_xdata()) == 20]
    assert [set(line.get_ydata()) for line in curves] == [{1.0}] * 3  # both are true of it
    assert set(second.lines[0].get_ydata()) == {0.75}
    marks = {
        line.get_marker(): line.get_xdata()[0]
        for line in last.lines
        if line.get_marker() not in ("None", "")
    }
    assert sorted(marks) == [">", "o", "s"]
    assert marks[">"] == last.get_xlim()[1]
    assert {marks["o"], marks["s"]} == {1.0, -2.0}


def test_the_columns_of_clocks_are_the_tables():
    assert set(filmstrip.CLOCKS) <= set(WHOLE["rq3_clocks"])
