"""Recovery straight from the trace: regions, bands and known trajectories."""

import numpy as np

from stepscope.scores import recovery
from stepscope.table_registry import TABLES
from support.synthetic import KEYS, masks, trace

SIDE = 12
MASK = np.zeros((SIDE, SIDE))
MASK[4:8, 4:8] = 1


def test_regions_and_bands_split_the_grid_without_overlap():
    regions = recovery.regions(MASK)
    assert (regions.sum(0) == 1).all()
    assert regions.sum((1, 2)).tolist() == [16, SIDE**2 - 36, 20]
    bands = recovery.bands((SIDE, 10))
    assert (bands.sum(0) == 1).all()
    assert bands[0, 0, 0]


def test_over_the_whole_grid_the_parts_sum_to_the_squared_error():
    rng = np.random.default_rng(0)
    denoised, final = rng.normal(size=(3, 4, SIDE, SIDE)), rng.normal(size=(4, SIDE, SIDE))
    errors = recovery.errors(denoised, final, MASK)
    np.testing.assert_allclose(errors.sum((1, 2)), ((denoised - final) ** 2).sum((1, 2, 3)))


def test_an_error_removed_in_equal_parts_is_recovered_in_equal_parts():
    rng = np.random.default_rng(0)
    final, error = rng.normal(size=(2, 4, SIDE, SIDE))
    left = np.sqrt([1, 0.75, 0.5, 0.25, 0])[:, None, None, None]
    share = recovery.recovered(final + left * error, final, MASK)
    assert np.isnan(share[0]).all()
    np.testing.assert_allclose(share[1:], 0.25)


def test_a_band_and_a_region_are_recovered_at_their_own_step():
    y, x = np.mgrid[:SIDE, :SIDE]
    low, high = np.cos(2 * np.pi * y / SIDE), np.cos(np.pi * x)
    parts = np.stack([[low + high], [high], [0 * high]])  # low goes first
    share = recovery.recovered(parts + 1, np.ones((1, SIDE, SIDE)), MASK)
    np.testing.assert_allclose(share[:, 1, 0], [np.nan, 1, 0], atol=1e-9)
    np.testing.assert_allclose(share[:, 1, 2], [np.nan, 0, 1], atol=1e-9)
    assert np.isnan(share[:, :, 1]).all()  # there never was an error of the middle band


def test_an_empty_region_and_a_missing_mask_are_not_scored():
    rng = np.random.default_rng(0)
    denoised, final = rng.normal(size=(3, 1, SIDE, SIDE)), rng.normal(size=(1, SIDE, SIDE))
    empty = recovery.recovered(denoised, final, np.zeros((SIDE, SIDE)))
    assert np.isnan(empty[:, [0, 2]]).all()
    assert np.isfinite(empty[1:, 1]).all()
    assert np.isnan(recovery.recovered(denoised, final, np.full((SIDE, SIDE), np.nan))).all()


def test_the_table_has_a_row_per_sample_step_region_and_band():
    tree = trace(samples=2, steps=4, side=8)
    frame = recovery.recovery_table(tree, masks(tree, np.kron(np.eye(2), np.ones((8, 8)))), KEYS)
    assert tuple(frame.columns) == TABLES["rq1_recovery"].columns
    assert len(frame) == 2 * 4 * 3 * 3
    rows = frame[(frame["step"] == 3) & (frame["region"] == "object")]
    np.testing.assert_allclose(rows["recovered"], (4 / 9) - (4 / 9) ** 2, rtol=1e-4)
    assert frame[frame["step"] == 1]["recovered"].isna().all()
