"""The figure of the controls names them, and by its rule the maps that survive random weights."""

import numpy as np
import pytest

from stepscope.figures import controls
from stepscope.table_registry import TABLES
from support.drawings import BOOTSTRAP, UNIT, crossed, drawn

LEFT = {"df_rise": 0.9, "cross_attention": 0.51, "relevance": 0.49, "mine": -0.2}


def table(rng, kinds=("cascade", "weights", "prompt", "latent")):
    """Maps that keep known shares of the way from another sample's, at 0.2, to 0.8."""
    rows = crossed(prompt_id=["p0", "p1", "p2"], step=[4, 8], method=list(LEFT), control=kinds)
    rows["seed"], rows["depth"] = 0, (rows["control"] == "cascade").astype(int)
    rows["block"] = np.where(rows["depth"] == 1, "up_blocks.1", "")
    noise = rows["prompt_id"].map({"p0": -0.1, "p1": 0, "p2": 0.1}) * rng.choice([-1, 1])
    left = rows["method"].map(LEFT).where(rows["control"] == "weights", 0.3)
    rows = rows.assign(**UNIT, sampling="uniform", log_snr=rows["step"] - 6.0)
    return rows.assign(correlation=0.2 + 0.6 * left + noise, ceiling=0.8, other_sample=0.2)


def test_maps_that_keep_half_of_the_way_to_the_ceiling_survive(rng):
    rows = table(rng)
    assert controls.kept(rows).to_dict() == pytest.approx(LEFT)
    assert controls.survivors(rows).endswith("ceiling: DF-RISE (90%), cross-attention (51%).")
    fewer = rows[rows["method"] == "mine"]
    assert controls.survivors(fewer).endswith("ceiling: none.")
    equal = fewer.assign(ceiling=0.2)  # no better than chance
    assert np.isnan(controls.kept(equal)["mine"])
    assert "No map is compared" in controls.survivors(equal)
    assert "No map is compared" in controls.survivors(table(rng, ["prompt"]))


def test_every_method_has_its_controls_and_its_cascade(rng):
    shown = drawn(controls.controls(table(rng), **BOOTSTRAP))
    for words in (
        *("DF-RISE", "cross-attention", "relevance", "mine"),
        *controls.LABELS.values(),
        "up_blocks.1",
        "step 4",
        "n = 3 prompts, 1 noise",
    ):
        assert words in shown
    assert "DF-RISE (90%)" in shown.replace("\n", " ")
    without = drawn(controls.controls(table(rng, ["prompt"]), **BOOTSTRAP))
    assert "blocks drawn anew" not in without
    assert "random weights" not in without.replace("by random weights", "")


def test_what_is_read_is_in_the_table():
    assert set(controls.COLUMNS) <= set(TABLES["rq1_controls"].columns)
