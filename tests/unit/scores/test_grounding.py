"""Scores of word maps with known answers: pointing, IoU, average precision and mass."""

import numpy as np
import pytest
from skimage.filters import threshold_otsu
from sklearn.metrics import average_precision_score

from stepscope.scores import grounding
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
    assert grounding.score(REGION.astype(float), REGION) == (1, 1, 1, 1 / REGION.mean())
    pointing, iou, precision, mass = grounding.score(1.0 - REGION, REGION)
    assert (pointing, iou, mass) == (0, 0, 0)
    assert precision < 0.1


def test_random_maps_score_chance(rng):
    pointing, iou, precision, mass = grounding.score(rng.random((400, SIDE, SIDE)), REGION)
    share = REGION.mean()
    assert pointing.mean() == pytest.approx(share, abs=0.04)
    assert iou.mean() == pytest.approx(share, abs=0.05)
    assert precision.mean() < 3 * share
    assert mass.mean() == pytest.approx(1, abs=0.05)


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
    found = grounding.otsu(maps.reshape(2, 5, SIDE, SIDE)).ravel()
    np.testing.assert_array_equal(found, [threshold_otsu(map_) for map_ in maps])


def test_maps_and_regions_together_score_as_each_alone(rng):
    maps = kinds_of_maps(rng)[:, None]  # every map against every region
    regions = np.stack([REGION, REGION.T[::-1], np.zeros_like(REGION), np.ones_like(REGION)])
    together = np.stack(grounding.score(maps, regions))
    assert together.shape == (4, 10, 4)
    alone = [[grounding.score(map_, region) for region in regions] for (map_,) in maps]
    np.testing.assert_array_equal(together, np.moveaxis(alone, -1, 0))
    assert np.isfinite(together[:, :9, :2]).all()


@pytest.mark.parametrize("decimals", [0, 1, 8])  # with many ties, with some, with none
def test_average_precision_is_scikit_learns(rng, decimals):
    for _ in range(20):
        values = rng.normal(size=(SIDE, SIDE)).round(decimals)
        expected = average_precision_score(REGION.ravel(), values.ravel())
        assert grounding.average_precision(values, REGION) == pytest.approx(expected)


def test_tied_peaks_count_by_their_share():
    tied = np.zeros((SIDE, SIDE))
    tied[2, 2] = tied[0, 0] = 1
    assert grounding.pointing(tied, REGION) == 0.5


def test_constant_maps_and_trivial_regions_are_not_scored():
    for values, region in (
        (np.full((SIDE, SIDE), 0.2), REGION),
        (np.eye(SIDE), np.zeros_like(REGION)),
        (np.eye(SIDE), np.ones_like(REGION)),
    ):
        assert np.isnan(grounding.score(values, region)).all()
    signed = grounding.score(-np.eye(SIDE), REGION)  # nothing positive, but a ranking
    assert np.isnan(np.delete(signed, 2)).all()
    assert np.isfinite(signed[2])


def test_grounding_table_has_words_with_a_region(rng):
    tree = trace()
    words = rng.random((2, 4, len(PROMPT), SIDE, SIDE))
    words[:, :, 1] = REGION
    words[0, 3] = np.nan
    maps_of_method = {
        "mine": maps(tree, words),
        "random": maps(tree, rng.random((2, 4, SIDE, SIDE))),
    }
    frame = grounding.grounding_table(maps_of_method, tree, masks(tree, INSIDE), KEYS)
    assert tuple(frame.columns) == TABLES["rq2_grounding"].columns
    assert set(frame["word"]) == {"cat", "blue"}
    assert frame.groupby("method").size().to_dict() == {"mine": 14, "random": 16}
    cat = frame[(frame["method"] == "mine") & (frame["word"] == "cat")]
    assert (cat[["pointing", "iou", "average_precision"]] == 1).all(axis=None)
