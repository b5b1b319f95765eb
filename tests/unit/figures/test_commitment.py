"""The figure of commitment has a panel a family and says what is behind each line."""

import numpy as np

from stepscope.figures import commitment
from stepscope.table_registry import TABLES
from support.drawings import BOOTSTRAP, UNIT, crossed, drawn


def table(families=("object", "colour", "size", "texture", "tint"), readers=("clip", "untrained")):
    frame = crossed(
        prompt_id=["p0", "p1", "p2"],
        family=families,
        reader=readers,
        trajectory=["stored", "swapped"],
        step=[1, 5, 9],
    )
    frame = frame.assign(**UNIT, sampling="log_snr", seed=7, timestep=999.0 - frame["step"])
    frame["log_snr"] = frame["step"] - 6.0
    return frame.assign(wins=(frame["step"] < 6).astype(float))


def test_every_family_has_a_panel_with_its_numbers_and_readers():
    frame = table()
    unread = (frame["family"] == "tint") & (frame["reader"] == "clip")
    frame.loc[unread, "wins"] = np.nan
    figure = commitment.curves(frame, **BOOTSTRAP)
    text = drawn(figure)
    for family in frame["family"].unique():
        assert family in text
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert panels.keys() == set(frame["family"])
    notes = {name: [artist.get_text() for artist in axes.texts] for name, axes in panels.items()}
    assert notes["tint"] == ["n = 3 prompts, 1 noise"]
    assert all(len(of) == 2 for name, of in notes.items() if name != "tint")
    (legend,) = figure.findobj(lambda artist: type(artist).__name__ == "Legend")
    assert [entry.get_text() for entry in legend.get_texts()] == ["clip", "untrained"]
    assert "95% CI" in legend.get_title().get_text()


def test_the_figure_reads_columns_that_there_are():
    assert set(commitment.COLUMNS) <= set(TABLES["rq3_commitment"].columns)


def test_a_study_in_which_nothing_is_told_apart_says_so():
    assert "tells the concepts" in drawn(
        commitment.curves(table().assign(wins=np.nan), **BOOTSTRAP)
    )
