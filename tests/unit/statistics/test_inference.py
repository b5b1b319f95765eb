"""Statistics with known answers: coverage, pairing, Holm, nulls that smooth curves obey."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from stepscope.statistics import inference

DRAWS = 400


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    samples = np.random.default_rng(0).normal(size=(300, 40))  # 300 studies of 40 prompts
    low, high = inference.bootstrap(samples, DRAWS, 0.9, 0)
    covered = ((low < 0) & (high > 0)).mean()
    assert 0.84 < covered < 0.95


def test_intervals_leave_missing_prompts_out_and_one_prompt_without():
    values = np.array([[1.0, 2, np.nan, 4], [5, np.nan, np.nan, np.nan], [3, 3, 3, 3]])
    low, high = inference.bootstrap(values, DRAWS, 0.95, 0)
    alone_low, alone_high = inference.bootstrap(values[:1, [0, 1, 3]], DRAWS, 0.95, 0)
    assert (low[0], high[0]) == (alone_low, alone_high)
    assert np.isnan([low[1], high[1]]).all()
    assert (low[2], high[2]) == (3, 3)


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
        blocks = [inference.correlations(a, b) for a, b in zip(*shares, strict=True)]
        _, p_value = inference.matching(blocks, [1] * 8, 99, 0)
        p_values.append(p_value)
    assert np.mean(np.array(p_values) <= 0.05) < 0.09


def test_a_trend_that_all_words_share_is_no_match_but_an_own_course_is():
    rng = np.random.default_rng(0)
    trend, own = np.linspace(-3, 3, 20), 2 * smooth(rng, 6, 3, 20)
    shared = [trend + smooth(rng, 6, 3, 20) for _ in range(2)]
    blocks = [inference.correlations(a, b) for a, b in zip(*shared, strict=True)]
    assert np.mean([np.diag(block).mean() for block in blocks]) > 0.8  # they all correlate
    effects, p_value = inference.matching(blocks, [1] * 6, DRAWS, 0)
    assert abs(np.mean(effects)) < 0.05
    assert p_value > 0.05
    halves = [own + 0.3 * smooth(rng, 6, 3, 20) for _ in range(2)]
    blocks = [inference.correlations(a, b) for a, b in zip(*halves, strict=True)]
    effects, p_value = inference.matching(blocks, [1] * 6, DRAWS, 0)
    assert np.mean(effects) > 0.4
    assert p_value < 0.02


def test_correlations_are_pearsons_and_zero_for_a_constant():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 10))
    np.testing.assert_allclose(inference.correlations(a, b), np.corrcoef(a, b)[:3, 3:])
    a[1] = 0.1
    assert (inference.correlations(a, b)[1] == 0).all()
