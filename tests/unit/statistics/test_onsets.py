"""Onsets beyond chance and reader errors: simulated studies whose onsets are known."""

import numpy as np
import pytest

from stepscope.statistics import onsets, survival

CENTRE, SPREAD, ERROR = -3.0, 1.5, 0.03
LOG_SNR = np.linspace(-8, 4, 13)
PROMPTS, STUDIES = 24, 500


def simulated(rng, studies, concepts, persistence, log_snr=LOG_SNR):
    """Onsets (study, prompt), and readings (study, prompt, step) of pictures that turn at them."""
    onset = rng.normal(CENTRE, SPREAD, (studies, PROMPTS))
    shown = rng.random((studies, PROMPTS)) < 1 / concepts
    right = np.empty((studies, PROMPTS, len(log_snr)), bool)
    for step, level in enumerate(log_snr):
        fresh = rng.random(shown.shape) > persistence
        shown = np.where(fresh, rng.random(shown.shape) < 1 / concepts, shown)
        right[..., step] = np.where(onset <= level, rng.random(shown.shape) > ERROR, shown)
    return onset, right


@pytest.mark.parametrize("persistence", [0.0, 0.9])
@pytest.mark.parametrize("concepts", [2, 4, 8, 24])
def test_medians_and_means_are_unbiased_and_covered(concepts, persistence):
    rng = np.random.default_rng(concepts)
    onset, right = simulated(rng, STUDIES, concepts, persistence)
    chance = np.full(PROMPTS, 1 / concepts)
    curves = np.array([onsets.decided(study, chance, ERROR) for study in right])
    median, low, high = survival.median_of_curves(curves, LOG_SNR, 0.95)
    assert abs(np.median(median) - CENTRE) < 0.15  # of steps of a nat
    assert 0.9 <= np.mean((low <= CENTRE) & (high >= CENTRE)) <= 0.99
    means = onsets.mean_until_end(curves, LOG_SNR).mean(-1)
    off = means - np.clip(onset, *LOG_SNR[[0, -1]]).mean(-1)
    assert abs(off.mean()) < 3 * off.std() / np.sqrt(STUDIES)


def test_medians_hold_when_half_of_the_samples_are_censored():
    rng = np.random.default_rng(0)
    inside = slice(4, 7)  # a quarter of the onsets before the first step, a quarter after the last
    onset, right = simulated(rng, STUDIES, 4, 0.5)
    levels = LOG_SNR[inside]
    assert 0.4 < np.mean((onset < levels[0]) | (onset > levels[-1])) < 0.6
    chance = np.full(PROMPTS, 1 / 4)
    curves = np.array([onsets.decided(study[:, inside], chance, ERROR) for study in right])
    median, low, high = survival.median_of_curves(curves, levels, 0.95)
    assert 0.9 <= np.mean((low <= CENTRE) & (high >= CENTRE)) <= 0.99
    assert abs(np.median(median) - CENTRE) < 0.15


def test_lags_of_the_same_samples_are_unbiased_whatever_the_families_sizes():
    rng = np.random.default_rng(1)
    lags = []
    for _ in range(100):
        means = []
        for concepts in (2, 24):  # both turn at the same time
            _, right = simulated(rng, 1, concepts, 0.9)
            decided = onsets.decided(right[0], np.full(PROMPTS, 1 / concepts), ERROR)
            means.append(onsets.mean_until_end(decided, LOG_SNR).mean())
        lags.append(means[0] - means[1])
    assert abs(np.mean(lags)) < 3 * np.std(lags) / 10


def test_errors_and_persistence_are_found_and_change_points_with_them():
    rng = np.random.default_rng(2)
    onset, right = (each.reshape(-1, *each.shape[2:]) for each in simulated(rng, 10, 8, 0.9))
    chance = np.full(len(right), 1 / 8)
    fitted = onsets.fit(right, chance)
    assert fitted == (0.03, 0.9)
    best, first, last = onsets.change_points(right, chance, fitted)
    true = (onset[:, None] > LOG_SNR).sum(-1)
    assert np.mean(best == true) > 0.75
    assert np.mean((first <= true) & (true <= last)) > 0.85


@pytest.mark.parametrize(
    ("shown", "concepts", "point", "interval"),
    [
        ("0000011111", 24, 5, (5, 5)),
        ("0000011011", 24, 5, (5, 5)),  # one wrong reading delays nothing
        ("1111111111", 24, 0, (0, 0)),  # before the first step: chance alone is too seldom
        ("1111111111", 2, 0, (0, 10)),  # but not of two concepts
        ("1110000111", 2, 7, (7, 7)),  # a chance hit is no onset
        ("0000000000", 4, 10, (10, 10)),  # never
    ],
)
def test_change_points_of_single_samples(shown, concepts, point, interval):
    right = np.array([list(shown)]) == "1"
    fitted = onsets.Fitted(0.03, 0.95)
    best, first, last = onsets.change_points(right, np.array([1 / concepts]), fitted)
    assert (best[0], (first[0], last[0])) == (point, interval)


def test_pseudo_values_average_to_the_share_and_need_room():
    right = np.array([[0, 1, 1], [1, 1, 1], [0, 0, 1]], bool)
    decided = onsets.decided(right, np.full(3, 1 / 3), 0.0)
    np.testing.assert_allclose(decided.mean(0), (right.mean(0) - 1 / 3) / (2 / 3), atol=1e-12)
    assert np.isnan(onsets.decided(right, np.ones(3), 0.0)).all()


@pytest.mark.parametrize("chance", [0.04, 0.25, 0.5, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("steps", [4, 24])
def test_what_is_shown_from_the_first_step_on_is_never_dated_to_the_middle(chance, steps):
    right, at = np.ones((8, steps), bool), np.full(8, chance)
    best, _, _ = onsets.change_points(right, at, onsets.fit(right, at))
    assert set(best) <= {0, steps}  # before the first step, or never told from chance
    assert (set(best) == {0}) == (chance < 0.95)
