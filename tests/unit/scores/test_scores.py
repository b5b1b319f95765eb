"""Scores of maps with known answers: mass, detail, pointing, IoU, precision, relevance, roles."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from stepscope.scores import grounding, saliency, word_relevance
from stepscope.store import tables
from stepscope.table_registry import TABLES
from support.synthetic import KEYS, PROMPT, maps, masks, trace

SIDE = 8
INSIDE = np.zeros((16, 16))
INSIDE[4:8, 4:8] = 1
REGION = INSIDE[::2, ::2] > 0


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def test_mass_of_known_maps():
    objects = REGION.astype(float)
    assert saliency.semantic_mass(np.ones((SIDE, SIDE)), objects) == pytest.approx(1)
    assert saliency.semantic_mass(objects - 0.5, objects) == pytest.approx(1 / objects.mean())
    assert saliency.semantic_mass(0.5 - objects, objects) == 0
    assert np.isnan(saliency.semantic_mass(-np.ones((SIDE, SIDE)), objects))
    assert np.isnan(saliency.semantic_mass(np.ones((SIDE, SIDE)), 0 * objects))


def test_rank_correlation_is_spearmans(rng):
    first, second = rng.normal(size=(2, 3, SIDE, SIDE)).round(1)  # with ties
    expected = [
        spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(saliency.rank_correlation(first, second), expected)
    assert np.isnan(saliency.rank_correlation(np.ones((SIDE, SIDE)), second[0]))


def test_saliency_table_scores_constant_maps_as_nan_and_skips_what_has_no_map(rng):
    tree = trace()
    values = rng.random((2, 4, SIDE, SIDE))
    values[0, 0] = 0.3  # constant
    values[1, 1] = np.nan  # not computed
    pictures = rng.integers(0, 255, (2, 16, 16, 3)).astype(np.uint8)
    frame = saliency.table({"mine": maps(tree, values)}, tree, masks(tree, INSIDE), pictures, KEYS)
    assert tuple(frame.columns) == TABLES["rq1_saliency"].columns
    assert len(frame) == 7
    constant = frame[(frame["seed"] == 0) & (frame["step"] == 1)]
    assert constant[["semantic_mass", "detail_correlation"]].isna().all(axis=None)
    assert frame.drop(constant.index)["semantic_mass"].notna().all()


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
    found = {"mine": maps(tree, words), "random": maps(tree, rng.random((2, 4, SIDE, SIDE)))}
    frame = grounding.table(found, tree, masks(tree, INSIDE), KEYS)
    assert tuple(frame.columns) == TABLES["rq2_grounding"].columns
    assert set(frame["word"]) == {"cat", "blue"}
    assert frame.groupby("method").size().to_dict() == {"mine": 14, "random": 16}
    cat = frame[(frame["method"] == "mine") & (frame["word"] == "cat")]
    assert (cat[["pointing", "iou", "average_precision"]] == 1).all(axis=None)


def test_relevance_sums_maps_and_scales_within_a_step():
    tree = trace(samples=1, steps=2)
    words = np.ones((1, 2, 4, SIDE, SIDE)) * np.array([0, 1, 2, 4])[None, None, :, None, None]
    words[0, 1] = 5  # all words alike
    frame = word_relevance.table({"relevance": maps(tree, words)}, tree, KEYS)
    assert tuple(frame.columns) == TABLES["rq2_relevance"].columns
    first = frame[frame["step"] == 1].sort_values("word_index")
    np.testing.assert_allclose(first["relevance"], [0, 64, 128, 256])
    np.testing.assert_allclose(first["relevance_minmax"], [0, 0.25, 0.5, 1])
    assert frame[frame["step"] == 2]["relevance_minmax"].isna().all()
    np.testing.assert_allclose(tables.share(frame).groupby(frame["step"]).sum(), 1)


def test_without_word_maps_the_relevance_table_is_empty_but_complete(rng):
    tree = trace()
    frame = word_relevance.table({"mine": maps(tree, rng.random((2, 4, SIDE, SIDE)))}, tree, KEYS)
    assert tuple(frame.columns) == TABLES["rq2_relevance"].columns
    assert word_relevance.by_role(frame).empty


def test_roles_are_averaged_over_log_snr_not_over_steps():
    rows = [
        {**KEYS, "prompt_id": "p", "seed": 0, "step": k, "timestep": 0.0, "log_snr": when,
         "word": word, "word_index": i, "role": role, "method": "relevance",
         "relevance": value * scale, "relevance_minmax": 0.0}
        for k, (when, scale, cat) in enumerate([(0.0, 1, 0.0), (1.0, 50, 1.0), (4.0, 3, 1.0)], 1)
        for i, (word, role, value) in enumerate([("cat", "subject", cat), ("a", "", 1 - cat)])
    ]  # fmt: skip
    frame = word_relevance.by_role(pd.DataFrame(rows))
    assert tuple(frame.columns) == TABLES["rq3_roles"].columns
    assert frame["role"].tolist() == ["subject"]
    assert frame["relevance"].tolist() == pytest.approx([(0.5 * 1 + 1 * 3) / 4])


def test_a_curve_is_averaged_over_part_of_its_log_snr_with_its_ends_interpolated():
    index = pd.MultiIndex.from_product([["subject"], [0.0, 1.0, 4.0]], names=["role", "log_snr"])
    curve = pd.Series([0.0, 1.0, 4.0], index)  # the identity
    for low, high in ((0, 4), (0.5, 2), (1, 4), (2, 3)):
        assert word_relevance.averaged(curve, low, high) == pytest.approx((low + high) / 2)
    assert word_relevance.averaged(curve) == pytest.approx(2)
    assert word_relevance.averaged(curve.iloc[1:2]) == 1
