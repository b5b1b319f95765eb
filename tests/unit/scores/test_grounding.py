"""Scores of word maps with known answers: pointing, IoU, average precision and mass."""

import numpy as np
import pytest
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
    scores = np.array([grounding.score(rng.random((SIDE, SIDE)), REGION) for _ in range(400)])
    share = REGION.mean()
    assert scores[:, 0].mean() == pytest.approx(share, abs=0.04)
    assert scores[:, 1].mean() == pytest.approx(share, abs=0.05)
    assert scores[:, 2].mean() < 3 * share
    assert scores[:, 3].mean() == pytest.approx(1, abs=0.05)


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
