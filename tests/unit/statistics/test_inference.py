"""Statistics with known answers: coverage, pairing, Holm, nulls that smooth curves obey."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d

from stepscope.statistics import gathering, inference, matching

DRAWS = 400


POPULATIONS = {  # what draws prompts, and the true mean
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "lognormal": (lambda rng, shape: rng.lognormal(size=shape), np.exp(0.5)),
}


# Over 5,000 studies and with 1,000 draws, 94.7, 94.0 and 91.4 % at 12 prompts (normal, exponential,
# lognormal), 94.6, 94.2 and 91.9 % at 24, 94.7, 94.5 and 93.0 % at 64; percentiles of the means
# cover 90.4, 87.2 and 81.8 %, 92.8, 90.4 and 87.0 %, 93.9, 93.1 and 90.4 %.
@pytest.mark.parametrize(
    ("population", "prompts", "least"),
    [
        ("normal", 12, 0.92),
        ("normal", 24, 0.92),
        ("normal", 64, 0.92),
        ("exponential", 12, 0.91),
        ("exponential", 24, 0.925),
        ("lognormal", 12, 0.875),
        ("lognormal", 24, 0.90),
        ("lognormal", 64, 0.90),
    ],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(population, prompts, least):
    draw, truth = POPULATIONS[population]
    studies = draw(np.random.default_rng(0), (10, 60, prompts))  # ten seeds of the draws
    ends = [inference.bootstrap(of, DRAWS, 0.95, seed) for seed, of in enumerate(studies)]
    low, high = np.swapaxes(ends, 0, 1)
    assert least < ((low < truth) & (truth < high)).mean() < 0.97


def test_prompts_are_the_units_however_many_seeds_each_has():
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [range(300), range(24), range(4)], names=["study", "prompt_id", "seed"]
    )
    own = np.repeat(rng.normal(size=300 * 24), 4)  # what the seeds of a prompt share
    values = pd.Series(own + 0.5 * rng.normal(size=len(index)), index)
    rows = gathering.with_intervals(values, DRAWS, 0.95, 0)
    assert (rows["n"] == 24).all()
    assert 0.92 < ((rows["ci_low"] < 0) & (rows["ci_high"] > 0)).mean() < 0.98


@pytest.mark.parametrize(
    "values",
    [[0, 1], [0, 0, 1], [0] * 11 + [1], [0.3] + [1 - 1e-9, 1 - 2e-9] * 6],
    ids=["two", "three", "one of twelve", "saturated"],
)
def test_intervals_end_where_draws_have_no_spread(values):
    values = np.array(values, float)
    (low,), (high,) = inference.bootstrap(values[None], DRAWS, 0.95, 0)
    assert low < values.mean() < high
    assert high - low < 10 * np.ptp(values)


def test_intervals_move_and_stretch_with_the_values_and_repeat_with_the_seed():
    values = np.random.default_rng(0).lognormal(size=(3, 12))
    plain = np.array(inference.bootstrap(values, DRAWS, 0.95, 1))
    np.testing.assert_array_equal(plain, inference.bootstrap(values, DRAWS, 0.95, 1))
    np.testing.assert_allclose(inference.bootstrap(5 + 2 * values, DRAWS, 0.95, 1), 5 + 2 * plain)
    turned = inference.bootstrap(-values, DRAWS, 0.95, 1)
    np.testing.assert_allclose(turned, -plain[::-1], rtol=1e-6)


def test_intervals_leave_missing_prompts_out_and_one_prompt_without():
    values = np.array([[1.0, 2, np.nan, 4], [5, np.nan, np.nan, np.nan], [0.1] * 4])
    low, high = inference.bootstrap(values, DRAWS, 0.95, 0)
    alone_low, alone_high = inference.bootstrap(values[:1, [0, 1, 3]], DRAWS, 0.95, 0)
    assert (low[0], high[0]) == (alone_low, alone_high)
    assert np.isnan([low[1], high[1]]).all()
    assert (low[2], high[2]) == (0.1, 0.1)


@pytest.mark.parametrize("population", POPULATIONS)
def test_of_many_prompts_students_interval_is_that_of_draws(population, monkeypatch):
    draw, _ = POPULATIONS[population]
    values = draw(np.random.default_rng(0), (4, inference.MANY + 200))
    values[0, :150] = np.nan
    students = np.array(inference.bootstrap(values, DRAWS, 0.95, 0))
    p_value = inference.sign_flip(values[1] - values[1].mean() + 0.06, 2000, 0)
    monkeypatch.setattr(inference, "MANY", 10**6)
    draws = np.array(inference.bootstrap(values, DRAWS, 0.95, 0))
    width = students[1] - students[0]
    assert (abs(students - draws) < 0.12 * width).all()  # 400 draws err by a tenth of it themselves
    flipped = inference.sign_flip(values[1] - values[1].mean() + 0.06, 2000, 0)
    assert p_value == pytest.approx(flipped, abs=0.03)


def test_holm_of_a_known_example():
    p = np.array([0.01, 0.04, 0.03, 0.005, np.nan])  # Holm (1979) worked by hand
    np.testing.assert_allclose(inference.holm(p), [0.03, 0.06, 0.06, 0.02, np.nan])


def test_sign_flips_are_exact_for_few_prompts():
    # of 2^6 assignments, only all-positive and all-negative are as extreme
    assert inference.sign_flip(np.arange(1.0, 7), DRAWS, 0) == pytest.approx(2 / 64)
    assert inference.sign_flip(np.array([1, -1, 2, -2.0]), DRAWS, 0) == pytest.approx(1)


def smooth(rng, *shape):
    return gaussian_filter1d(rng.normal(size=shape), 3, axis=-1)


def test_smooth_unrelated_curves_match_no_more_often_than_stated():
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(200):
        halves = [np.exp(smooth(rng, 8, 3, 20)) for _ in range(2)]
        shares = [half / half.sum(1, keepdims=True) for half in halves]  # words of a step sum to 1
        blocks = [matching.correlations(a, b) for a, b in zip(*shares, strict=True)]
        _, p_value = matching.matching(blocks, [1] * 8, 99, 0, 8)
        p_values.append(p_value)
    assert np.mean(np.array(p_values) <= 0.05) < 0.09


def test_a_trend_that_all_words_share_is_no_match_but_an_own_course_is():
    rng = np.random.default_rng(0)
    trend, own = np.linspace(-3, 3, 20), 2 * smooth(rng, 6, 3, 20)
    shared = [trend + smooth(rng, 6, 3, 20) for _ in range(2)]
    blocks = [matching.correlations(a, b) for a, b in zip(*shared, strict=True)]
    assert np.mean([np.diag(block).mean() for block in blocks]) > 0.8  # they all correlate
    effects, p_value = matching.matching(blocks, [1] * 6, DRAWS, 0, 6)
    assert abs(np.mean(effects)) < 0.05
    assert p_value > 0.05
    halves = [own + 0.3 * smooth(rng, 6, 3, 20) for _ in range(2)]
    blocks = [matching.correlations(a, b) for a, b in zip(*halves, strict=True)]
    effects, p_value = matching.matching(blocks, [1] * 6, DRAWS, 0, 6)
    assert np.mean(effects) > 0.4
    assert p_value < 0.02


@pytest.mark.parametrize("own", [0.02, 0.04, 0.06])
def test_of_many_prompts_swaps_are_those_of_a_normal_distribution(own):
    rng = np.random.default_rng(0)
    blocks = [rng.normal(size=(size, size)) + own * np.eye(size) for size in (40, 60, 1, 80) * 8]
    weights = list(map(len, blocks))
    swapped, normal = (matching.matching(blocks, weights, 4999, 0, n) for n in (1000, 1001))
    assert normal[1] == pytest.approx(swapped[1], abs=0.02)
    np.testing.assert_array_equal(np.concatenate(normal[0]), np.concatenate(swapped[0]))
    alike = [np.ones((3, 3))] * 2  # no swap changes anything
    assert [matching.matching(alike, [3, 3], 99, 0, n)[1] for n in (2, 1001)] == [1, 1]


def test_correlations_are_pearsons_and_zero_for_a_constant():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 10))
    np.testing.assert_allclose(matching.correlations(a, b), np.corrcoef(a, b)[:3, 3:])
    a[1] = 0.1
    assert (matching.correlations(a, b)[1] == 0).all()
