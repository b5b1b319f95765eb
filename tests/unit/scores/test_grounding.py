"""Scores of word maps with known answers: pointing, IoU, average precision and mass."""

import numpy as np
import pytest
import torch
import xarray as xr
from skimage.filters import threshold_otsu
from sklearn.metrics import average_precision_score, jaccard_score

from stepscope.methods.selected_heads import ranked_heads
from stepscope.scores import grounding, head_grounding, information
from stepscope.scores import region_scores as module
from stepscope.table_registry import TABLES
from support.synthetic import KEYS, PROMPT, maps, masks, trace

SIDE = 8
INSIDE = np.zeros((16, 16))
INSIDE[4:8, 4:8] = 1
REGION = INSIDE[::2, ::2] > 0


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def test_a_perfect_map_scores_one_and_an_inverted_one_nothing():
    assert module.score(REGION.astype(float), REGION) == (1, 1, 1, 1, 1, 1 / REGION.mean())
    found = module.score(1.0 - REGION, REGION)
    assert (found.pointing, found.iou, found.mass) == (0, 0, 0)
    assert found.average_precision < 0.1
    assert found.iou_best == REGION.mean()  # all cells are taken


def test_random_maps_score_chance(rng):
    found = module.score(rng.random((400, SIDE, SIDE)), REGION)
    share = REGION.mean()
    assert found.pointing.mean() == pytest.approx(share, abs=0.04)
    assert found.pointing_near.mean() == pytest.approx(16 / 64, abs=0.06)  # a cell more around
    assert found.iou.mean() == pytest.approx(share, abs=0.05)
    assert found.average_precision.mean() < 3 * share
    assert found.mass.mean() == pytest.approx(1, abs=0.05)


def kinds_of_maps(rng):
    """Maps (kind, y, x): smooth, with ties, of two values, by scale, peaked, constant."""
    noise = rng.normal(size=(5, SIDE, SIDE))
    return np.stack(
        [
            *noise[:2],
            noise[0].round(1),
            np.abs(noise[1]).round(),
            REGION * 0.3 + 0.1,
            noise[2] * 1e-30,
            noise[3] * 1e-9 + 1,  # bins as narrow as roundings
            np.exp(8 * noise[4]),
            np.maximum(noise[0], 0),
            np.full((SIDE, SIDE), 0.2),
        ]
    )


def test_otsus_threshold_is_scikit_images(rng):
    maps = kinds_of_maps(rng)
    found = module.otsu(maps.reshape(2, 5, SIDE, SIDE)).ravel()
    np.testing.assert_array_equal(found, [threshold_otsu(map_) for map_ in maps])


def test_maps_and_regions_together_score_as_each_alone(rng):
    maps = kinds_of_maps(rng)[:, None]  # every map against every region
    regions = np.stack([REGION, REGION.T[::-1], np.zeros_like(REGION), np.ones_like(REGION)])
    together = np.stack(module.score(maps, regions))
    assert together.shape == (6, 10, 4)
    alone = [[module.score(map_, region) for region in regions] for (map_,) in maps]
    np.testing.assert_array_equal(together, np.moveaxis(alone, -1, 0))
    assert np.isfinite(together[:, :9, :2]).all()


@pytest.mark.parametrize("decimals", [0, 1, 8])  # with many ties, with some, with none
def test_average_precision_is_scikit_learns(rng, decimals):
    for _ in range(20):
        values = rng.normal(size=(SIDE, SIDE)).round(decimals)
        expected = average_precision_score(REGION.ravel(), values.ravel())
        precision, best = module.ranking(values, REGION)
        assert precision == pytest.approx(expected)
        above = [values >= value for value in np.unique(values[REGION])]
        ious = [(cells & REGION).sum() / (cells | REGION).sum() for cells in above]
        assert best == pytest.approx(max(ious))


def test_tied_peaks_count_by_their_share():
    tied = np.zeros((SIDE, SIDE))
    tied[2, 2] = tied[0, 0] = 1
    assert module.pointing(tied, REGION) == 0.5


def test_constant_maps_and_trivial_regions_are_not_scored():
    for values, region in (
        (np.full((SIDE, SIDE), 0.2), REGION),
        (np.eye(SIDE), np.zeros_like(REGION)),
        (np.eye(SIDE), np.ones_like(REGION)),
    ):
        assert np.isnan(module.score(values, region)).all()
    signed = module.score(-np.eye(SIDE), REGION)  # nothing positive, but a ranking
    assert np.isfinite([signed.iou_best, signed.average_precision]).all()
    assert np.isfinite(signed).sum() == 2


def test_grounding_table_has_words_with_a_region(rng):
    tree = trace()
    words = rng.random((2, 4, len(PROMPT), SIDE, SIDE))
    words[:, :, 1] = REGION
    words[0, 3] = np.nan
    maps_of_method = {
        "mine": maps(tree, words),
        "random": maps(tree, rng.random((2, 4, SIDE, SIDE))),
    }
    frame, summed = grounding.grounding_tables(maps_of_method, tree, masks(tree, INSIDE), KEYS)
    assert tuple(frame.columns) == TABLES["rq2_grounding"].columns
    assert set(frame["word"]) == {"cat", "blue"}
    assert frame.groupby("method").size().to_dict() == {"mine": 14, "random": 16}
    cat = frame[(frame["method"] == "mine") & (frame["word"] == "cat")]
    assert (cat[["pointing", "iou", "average_precision"]] == 1).all(axis=None)
    assert tuple(summed.columns) == TABLES["rq2_summed"].columns
    assert set(summed["steps"]) == {4}
    single = frame[frame["method"] == "random"].groupby(["prompt_id", "seed", "word"])["iou_best"]
    of_random = summed[summed["method"] == "random"].set_index(["prompt_id", "seed", "word"])
    of_random = of_random.sort_index()
    np.testing.assert_allclose(of_random["iou_best"] - of_random["iou_best_gain"], single.mean())


@pytest.mark.parametrize(("place", "expected"), [((3, 4), 1), ((2, 6), 0), ((1, 1), 1)])
def test_the_largest_cell_may_miss_its_region_by_the_tolerance(place, expected):
    map_ = np.zeros((SIDE, SIDE))
    map_[place] = 1  # the region is rows and columns 2 and 3
    assert module.score(map_, REGION).pointing_near == expected
    assert [module.tolerance(side) for side in (8, 16, 64)] == [1, 1, 4]


def test_iou_by_level_is_that_of_thresholded_maps(rng):
    values = rng.random((1, SIDE, SIDE))
    for map_, curve in zip(values, module.iou_curves(values, REGION), strict=True):
        level = (map_ / map_.max() * module.LEVELS).astype(int).clip(max=module.LEVELS - 1)
        for number, found in enumerate(curve):
            expected = jaccard_score(REGION.ravel(), level.ravel() >= number)
            assert found == pytest.approx(expected)


def test_a_threshold_is_learnt_from_the_same_role_in_other_prompts_alone(rng):
    levels = np.zeros((4, 1, 2, module.LEVELS))
    prompts, roles = np.array(["a", "a", "b", "c"]), np.array([["subject", "object"]] * 4)
    for sample, best in enumerate((3, 3, 7, 7)):
        levels[sample, 0, 0, best] = levels[sample, 0, 1, best + 1] = 1
    levels[0, 0, 0, 7] = 0.5
    assert module.held_out(levels, prompts, roles)[:, 0, 0].tolist() == [0.5, 0, 0, 0]
    assert np.isnan(module.held_out(levels[:2], prompts[:2], roles[:2])).all()
    levels[0] = rng.random(levels[0].shape)  # whatever a sample itself scores
    assert module.held_out(levels, prompts, roles)[0, 0].tolist() == [
        levels[0, 0, 0, 7],
        levels[0, 0, 1, 8],
    ]


def traced_attention(rng):
    """A trace with attention at two resolutions: start, a token for each word, end and padding."""
    tree = trace()
    dims = ("sample", "step", "word_token", "y", "x")
    for side in (4, 8):
        value = (dims, rng.random((2, 4, len(PROMPT) + 3, side, side)).astype("f2"))
        tree[f"attn_{side}x{side}"] = xr.DataTree(xr.Dataset({"value": value}))
    tree.attrs["audit"] = {"layers": {"8x8": ["down.attn2"]}}
    return tree


def test_heads_and_resolutions_have_rows_of_their_own_and_are_ranked_on_other_prompts(rng):
    tree = traced_attention(rng)
    by_head = maps(tree, rng.random((2, 4, len(PROMPT), SIDE, SIDE)))
    names = ["down.attn2.head0", "down.attn2.head1"]
    by_head = by_head.expand_dims(layer=names, axis=3).copy()
    by_head[:, :, 1, 1] = REGION
    of_trace = head_grounding.of_resolutions(tree)
    np.testing.assert_array_equal(of_trace[0, 0, 1, 1], tree["attn_8x8/value"][0, 0, 2])
    frame = head_grounding.heads_table(
        {"heads": by_head, "cross_attention": of_trace}, tree, masks(tree, INSIDE), KEYS
    )
    assert tuple(frame.columns) == TABLES["rq2_heads"].columns
    found = frame[["method", "layer", "head", "resolution"]].drop_duplicates().to_numpy().tolist()
    assert sorted(found) == [
        ["cross_attention", "", "", "4x4"],
        ["cross_attention", "", "", "8x8"],
        ["heads", "down.attn2", "0", "8x8"],
        ["heads", "down.attn2", "1", "8x8"],
    ]
    best = frame[(frame["head"] == "1") & (frame["word"] == "cat")]
    assert (best[["pointing", "iou_best", "average_precision"]] == 1).all(axis=None)
    ranks = ranked_heads(frame, "heads", ["p0", "other"])
    assert not ranks["p0"]  # all samples are of this prompt: nothing to learn from
    assert ranks["other"]["subject"] == ("down.attn2.head1", "down.attn2.head0")


def test_resolutions_are_brought_to_the_grid_as_torch_does(rng):
    values = rng.random((3, 5, 4))
    expected = torch.nn.functional.interpolate(torch.tensor(values)[None], (9, 8), mode="bilinear")
    np.testing.assert_allclose(head_grounding.grown_onto(values, (9, 8)), expected[0])


def test_information_is_integrated_over_log_snr():
    tree = trace()  # at log-SNR -3, -1, 1, 3
    rate = np.zeros((2, 4, len(PROMPT), SIDE, SIDE))
    rate[:, :, 1] = np.array([0, 1, 1, 0])[:, None, None] / SIDE**2
    rate[1, 0] = np.nan  # not explained: from -1 to 3
    frame = information.information_table({"information": maps(tree, rate)}, tree, KEYS)
    assert tuple(frame.columns) == TABLES["rq2_information"].columns
    cat = frame[frame["word"] == "cat"]
    assert cat["nats"].tolist() == pytest.approx([4, 3])
    assert cat[["log_snr_low", "log_snr_high", "steps"]].to_numpy().tolist() == [
        [-3, 3, 4],
        [-1, 3, 3],
    ]
    assert (frame[frame["word"] != "cat"]["nats"] == 0).all()
