"""Medians of censored times: made distributions, and the coverage of their intervals."""

import numpy as np
import pytest

from stepscope.statistics import survival


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0, 0.25, 0.75, 1], 1.5),
        ([0.6, 0.7, 0.8, 0.9], -np.inf),
        ([0, 0.1, 0.2, 0.3], np.inf),
        ([0, 0, 1, 1], 1.5),
        ([0, 0.5, 0.5, 1], 1.0),
    ],
)
def test_curves_cross_a_half_between_steps(curve, expected):
    assert survival.crossing(np.array(curve), np.arange(4.0)) == expected


def test_turnbull_spreads_what_an_interval_holds():
    lower = np.array([0.0, 0.0, 1.0, -np.inf])
    upper = np.array([1.0, 2.0, 2.0, np.inf])
    ends, share = survival.turnbull(lower, upper, np.ones((1, 4)))
    assert ends.tolist() == [-np.inf, 0, 1, 2, np.inf]
    np.testing.assert_allclose(share[0], [0, 0.5, 0.5, 0], atol=1e-6)


def test_what_is_apart_has_the_shares_that_rounds_find():
    rng = np.random.default_rng(0)
    times = np.sort(rng.normal(size=40))
    lower, weights = np.nextafter(times, -np.inf), rng.integers(0, 3, (30, 40)).astype(float)
    ends, share = survival.turnbull(lower, times, weights)
    found = survival._medians(lower, times, weights)
    np.testing.assert_allclose(found, survival._halves(share, ends[:-1], ends[1:]))
    median, low, high = survival.median_of_intervals(
        *[times.repeat(2)] * 2, np.arange(80), 50, 0.9, 0
    )
    assert low < median < high


def test_exact_times_have_their_median():
    times = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    median, low, high = survival.median_of_intervals(times, times, np.arange(5), 200, 0.95, 0)
    assert median == pytest.approx(3)
    assert low < 3 < high
    assert np.isnan(survival.median_of_intervals(times, times, np.zeros(5), 20, 0.95, 0)[1])


def test_medians_of_intervals_are_covered_with_half_the_samples_censored():
    rng = np.random.default_rng(0)
    grid = np.concatenate([[-np.inf], np.linspace(-8, 4, 13), [np.inf]])
    found = []
    for study in range(500):
        times = rng.normal(-3, 1.5, 24)
        place = np.searchsorted(grid, times)
        lower = grid[np.maximum(place - 1 - rng.integers(0, 2, 24), 0)]
        upper = grid[np.minimum(place + rng.integers(0, 2, 24), len(grid) - 1)]
        seen = grid[rng.integers(4, 10, 24)]  # of half, only before or after it is known
        censored = rng.random(24) < 0.5
        lower = np.where(censored, np.where(times <= seen, -np.inf, seen), lower)
        upper = np.where(censored, np.where(times <= seen, seen, np.inf), upper)
        found.append(survival.median_of_intervals(lower, upper, np.arange(24), 50, 0.95, study))
    median, low, high = np.transpose(found)
    assert abs(median.mean() + 3) < 3 * median.std() / np.sqrt(500)
    assert 0.9 <= np.mean((low <= -3) & (high >= -3)) <= 0.99
