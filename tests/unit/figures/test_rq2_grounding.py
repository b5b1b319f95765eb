"""Figures of grounding: methods and resolutions over steps, heads by role, layers by group."""

import numpy as np
import pytest

from stepscope.figures import rq2_grounding, rq2_heads, rq2_layers
from support.drawings import BOOTSTRAP, UNIT, crossed, drawn, sample, times, without_rows
from support.synthetic import blocks_of

LAYERS = [
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2",
    "mid_block.attentions.0.transformer_blocks.0.attn2",
]
KEYS = {"prompt_id": ["a", "b", "c"], "seed": [0], "word_index": [1], "role": ["subject", "detail"]}


def grounding_table(rng):
    frame = crossed(**KEYS, step=range(1, 6), method=["random", "cross_attention"])
    frame = frame.merge(times(steps=5), on="step").assign(**UNIT, sampling="uniform", word="cat")
    scores = {name: rng.random(len(frame)) for name in rq2_grounding.MEASURES}
    return frame.assign(**scores)


def heads_table(rng):
    """Attention by resolution, and heads of which the second finds details best."""
    grids = crossed(**KEYS, step=range(1, 6), resolution=["16x16", "8x8"])
    grids = grids.assign(method="cross_attention", layer="", head="")
    heads = crossed(**KEYS, step=[2, 4], layer=LAYERS, head=["0", "1"])
    heads = heads.assign(method="attention_heads", resolution="8x8")
    tables = [one.merge(times(steps=5), on="step") for one in (grids, heads)]
    tables = [one.assign(**UNIT, sampling="uniform", word="cat") for one in tables]
    tables[0]["average_precision"] = tables[0]["iou_best"] = rng.random(len(tables[0]))
    found = (tables[1]["head"] == "1") & (tables[1]["layer"] == LAYERS[2])
    tables[1]["average_precision"] = tables[1]["iou_best"] = np.where(found, 0.9, 0.1)
    return tables


def test_methods_and_resolutions_are_drawn_over_the_steps(rng):
    grids, _ = heads_table(rng)
    table = grounding_table(rng)
    figure = rq2_grounding.by_step(blocks_of(table), blocks_of(grids), **BOOTSTRAP)
    text = drawn(figure)
    for part in ("cross-attention", "random map", "8x8", "detail", "n = 3 prompts", "log-SNR"):
        assert part in text
    above, below = figure.subfigs
    assert [len(one.axes) for one in (above, below)] == [3, 2]
    whole = rq2_grounding.by_step([table], [grids], **BOOTSTRAP)
    lines, of_whole = (
        [(line.get_label(), line.get_xydata().tolist()) for axes in one.axes for line in axes.lines]
        for one in (figure, whole)
    )
    assert lines == of_whole


def test_the_best_head_of_a_role_is_where_the_table_has_it(rng):
    _, heads = heads_table(rng)
    means = rq2_heads.means_of(heads, "detail")
    assert means.loc[LAYERS[2], "1"] == 0.9
    assert list(means.index) == LAYERS
    assert rq2_heads.short(LAYERS) == ["down 0.0 attn1", "down 0.0 attn2", "mid 0.0"]
    assert rq2_heads.short(["transformer_blocks.7.attn2"]) == ["7"]
    text = drawn(rq2_heads.head_map(heads))
    for part in ("subject", "down 0.0 attn1 (8x8)", "n = 3 prompts, steps 2, 4"):
        assert part in text


def test_layers_are_shown_by_group(rng):
    one = sample(rng, 0, words=4).rename(word="layer")
    names = ["down_blocks.0.resnets.0", "mid_block.resnets.0", "up_blocks.0.resnets.0"]
    one = one.assign_coords(layer=[*names, "up_blocks.1.resnets.0"])
    assert rq2_layers.grouped(one["layer"].to_numpy()) == {
        "down": [0],
        "mid": [1],
        "up": [2, 3],
        "all layers": [0, 1, 2, 3],
    }
    thirds = rq2_layers.grouped([f"transformer_blocks.{i}" for i in range(3)])
    assert list(thirds.values()) == [[0], [1], [2], [0, 1, 2]]
    text = drawn(rq2_layers.by_layer_group([one], "df_cam", columns=3))
    for part in ("down", "mid", "up", "all layers", "step 2", "DF-CAM map"):
        assert part in text


@pytest.mark.parametrize(
    ("figure", "says"),
    [
        (lambda: rq2_heads.head_map(without_rows("rq2_heads")), "has maps by head"),
        (
            lambda: rq2_grounding.by_step([], [], **BOOTSTRAP),
            "nothing for this figure",
        ),
        (lambda: rq2_layers.by_layer_group([], "df_cam"), "nothing for this figure"),
    ],
)
def test_a_study_without_rows_says_so(figure, says):
    assert says in drawn(figure())
