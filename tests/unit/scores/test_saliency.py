"""Scores of maps with known answers: mass and detail."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from stepscope.scores import saliency
from stepscope.table_registry import TABLES
from support.synthetic import KEYS, maps, masks, trace

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
    frame = saliency.saliency_table(
        {"mine": maps(tree, values)}, tree, masks(tree, INSIDE), pictures, KEYS
    )
    assert tuple(frame.columns) == TABLES["rq1_saliency"].columns
    assert len(frame) == 7
    of_constant = frame[(frame["seed"] == 0) & (frame["step"] == 1)]
    assert of_constant[["semantic_mass", "detail_correlation"]].isna().all(axis=None)
    assert frame.drop(of_constant.index)["semantic_mass"].notna().all()
