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


def scored(of_steps, edges, objects=REGION, errors=None):
    """Scores by name (step,) of the maps (step, y, x) of one sample."""
    stored, wrong = (
        None if values is None else xr.DataArray(values[None], dims=("sample", "step", "y", "x"))
        for values in (of_steps, errors)
    )
    found = saliency.scores(stored, objects[None].astype(float), edges[None], wrong)
    return {str(name): values.to_numpy()[0] for name, values in found.items()}


def partial(map_, edges, objects=REGION):
    return scored(map_[None], edges, objects)["detail_partial"].item()


def test_masses_of_the_three_regions_are_told_apart(rng):
    regions = split(REGION.astype(float))
    for region, name in zip(regions, ("semantic", "background", "border"), strict=True):
        found = scored(region[None].astype(float), rng.random((8, 8)))
        for other in ("semantic", "background", "border"):
            expected = 1 / region.mean() if other == name else 0
            assert found[f"{other}_mass"].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("side", "off", "found"),
    [(8, 0, 1), (8, 1, 1), (8, 2, 0), (16, 1, 1), (16, 2, 0), (64, 4, 1), (64, 5, 0)],
)
def test_pointing_may_miss_by_fifteen_pixels_of_224(side, off, found, rng):
    objects, map_ = np.zeros((2, side, side))
    objects[2:4, 2:4] = 1
    map_[2, 3 + off] = 1
    score = scored(map_[None], rng.random((side, side)), objects)
    assert score["pointing"].item() == found
    assert score["tolerance"].item() == {8: 1, 16: 1, 64: 4}[side]


@pytest.mark.parametrize("objects", [np.zeros((8, 8)), np.ones((8, 8)), np.full((8, 8), np.nan)])
def test_nothing_is_pointed_at_where_no_object_is_or_nothing_else(objects, rng):
    maps_ = rng.random((1, 8, 8))
    assert np.isnan(scored(maps_, rng.random((8, 8)), objects)["pointing"].item())
    assert np.isnan(scored(-maps_, rng.random((8, 8)))["pointing"].item())  # nothing is salient


def test_a_corrected_correlation_is_that_of_the_map_without_its_error(rng):
    objects = np.zeros((16, 16))
    objects[2:10, 3:12] = 1
    detail, own = rng.normal(size=(2, 16, 16))
    truth = 3 * objects + detail + own
    error = rng.uniform(0.5, 1.5, (16, 16))
    errors = np.broadcast_to(error, (400, 16, 16))
    halves = [truth + np.sqrt(2) * error * rng.normal(size=errors.shape) for _ in range(2)]
    found = scored((halves[0] + halves[1]) / 2, detail, objects, errors)
    assert found["detail_partial"].mean() < 0.85 * partial(truth, detail, objects)
    assert found["detail_corrected"].mean() == pytest.approx(
        partial(truth, detail, objects), rel=0.03
    )
    # Spearman and Brown's, of the two halves
    given = saliency.controls(objects)
    left = [saliency._residual(h.reshape(400, -1) - h.mean((1, 2))[:, None], given) for h in halves]
    of_halves = np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(*left, strict=True)])
    expected = 2 * of_halves / (1 + of_halves)
    assert found["detail_reliability"].mean() == pytest.approx(expected, rel=0.02)


def test_what_is_mostly_error_or_has_none_stated_is_not_corrected(rng):
    map_, edges = rng.normal(size=(2, 8, 8))
    assert np.isnan(scored(map_[None], edges)["detail_corrected"].item())
    noisy = scored(map_[None], edges, errors=np.full((1, 8, 8), 2.0))
    assert noisy["detail_reliability"].item() < 0
    assert np.isnan(noisy["detail_corrected"].item())
    exact = scored(map_[None], edges, errors=np.zeros((1, 8, 8)))
    assert exact["detail_corrected"].item() == exact["detail_partial"].item()


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
    found = scored(rng.normal(size=(200, 8, 8)), edges)["detail_partial"]
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
    assert of_constant[list(TABLES["rq1_saliency"].quantities)].isna().all(axis=None)
    assert frame.drop(of_constant.index)["semantic_mass"].notna().all()
