"""Scores of maps with known answers: mass and detail."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import rankdata, spearmanr

from stepscope.pictures.regions import split
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


def partial(map_, edges, objects=REGION):
    found = saliency.scores(
        xr.DataArray(map_[None, None], dims=("sample", "step", "y", "x")),
        objects[None].astype(float),
        edges[None],
    )
    return found["detail_partial"].item()


def test_detail_given_the_objects_is_no_mass_on_objects(rng):
    objects = np.zeros((16, 16))
    objects[2:10, 3:12] = 1
    noise, detail = rng.normal(size=(2, 16, 16))
    edges = 5 * objects + detail  # which lie on objects too
    on_objects = 5 * objects + noise
    assert saliency.rank_correlation(on_objects, edges) > 0.2  # as the mass on objects makes it
    assert abs(partial(on_objects, edges, objects)) < 0.15
    assert partial(on_objects + 3 * detail, edges, objects) > 0.8
    assert partial(edges, edges, objects) == pytest.approx(1)
    assert partial(-edges, edges, objects) == pytest.approx(-1)


def test_detail_given_the_objects_is_what_two_regressions_leave(rng):
    objects = rng.random((16, 16)) * (INSIDE + 0.2)
    map_, edges = rng.normal(size=(2, 16, 16)) + objects
    inside, _, border = split(objects)
    ones = np.ones(256)
    design = np.stack([ones, inside.ravel(), border.ravel(), rankdata(objects)], axis=1)
    left = [
        ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
        for ranks in (rankdata(map_), rankdata(edges))
    ]
    assert partial(map_, edges, objects) == pytest.approx(np.corrcoef(*left)[0, 1])


@pytest.mark.parametrize(
    "blind",
    [np.ones((8, 8)), REGION.astype(float), 3 * split(REGION.astype(float))[2] - REGION],
    ids=["constant", "objects", "border"],
)
def test_a_map_that_only_tells_regions_apart_has_no_detail(blind, rng):
    assert np.isnan(partial(blind, rng.normal(size=(8, 8))))


def test_maps_without_any_mask_have_no_detail_given_the_objects(rng):
    map_, edges = rng.normal(size=(2, 8, 8))
    assert np.isnan(partial(map_, edges, np.full((8, 8), np.nan)))
    assert abs(partial(map_, edges, np.zeros((8, 8)))) == pytest.approx(
        abs(saliency.rank_correlation(map_, edges))
    )


def test_random_maps_have_no_detail_given_the_objects(rng):
    edges = REGION + rng.normal(size=(8, 8))
    found = [partial(rng.normal(size=(8, 8)), edges) for _ in range(200)]
    assert abs(np.mean(found)) < 3 / np.sqrt(200 * 60)


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
    scored = ["semantic_mass", "detail_correlation", "detail_partial"]
    assert of_constant[scored].isna().all(axis=None)
    assert frame.drop(of_constant.index)["semantic_mass"].notna().all()
