"""How many calls maps take is what their variance says, by any estimator."""

from typing import get_args

import numpy as np
import pytest

from stepscope.methods import effects
from stepscope.methods.df_rise import df_rise
from stepscope.methods.effects import main_effects
from stepscope.methods.masks import ORDER, Design, orthogonal
from stepscope.scores import convergence
from stepscope.table_registry import TABLES
from support.replayed import replay

SIZE = (16, 16)
OWN, NOISE = 0.6, 1.0


def masks(count, design, seed=0):
    """Masks (count, h, w), and scores of a pixel, its right neighbour, and noise."""
    rng = np.random.default_rng(seed)
    if design == "orthogonal":
        kept = np.concatenate([orthogonal(rng, SIZE) for _ in range(count // ORDER)])
    else:
        kept = rng.random((count // 2, *SIZE)) < 0.5
        other = ~kept if design == "paired" else rng.random(kept.shape) < 0.5
        kept = np.stack([kept, other], 1).reshape(-1, *SIZE)
    own = np.linspace(0, OWN, SIZE[0] * SIZE[1]).reshape(SIZE)
    values = own * kept + np.roll(kept, -1, 2) + rng.normal(0, NOISE, kept.shape)
    return convergence.Scored(kept, values)


def test_numbers_of_masks_are_even_and_grow_by_the_root_of_two():
    assert convergence.counts(64) == [16, 22, 32, 46, 64]


@pytest.mark.parametrize(
    ("values", "passed"),
    [
        ([0.0, 0.5, 1.0], 2.0**4.5),
        ([0.8, 0.5, 1.0], 2.0**4.5),  # the last time
        ([0.0, 0.75, 1.0], 2.0**4),
        ([0.8, 0.9, 1.0], np.nan),  # from the first on
        ([0.0, 0.5, 0.7], np.nan),  # never
        ([np.nan, 0.5, 1.0], 2.0**4.5),
    ],
)
def test_calls_are_read_between_numbers_of_masks(values, passed):
    found = convergence.passing([8, 16, 32], np.array(values), 0.75)
    assert found == pytest.approx(passed, nan_ok=True)


def test_calls_are_what_variances_say(monkeypatch):
    monkeypatch.setattr(effects, "RADII", (1, 0))  # which has the neighbour, and is quick
    trials = {design: masks(2048, design, 1) for design in get_args(Design)}
    rows = {
        row["estimator"]: row
        for row in convergence.rows_of_step(masks(4096, "orthogonal"), trials, 0.7, 0.15)
    }
    assert rows.keys() == convergence.ESTIMATORS.keys()
    assert rows["paired"].keys() <= set(TABLES["rq1_convergence"].columns)
    # of a mask's score without the pixel's part, and without its neighbour's: 4 var / masks
    apart, left = 4 * (NOISE**2 + 1 / 4), 4 * NOISE**2
    signal = np.linspace(0, OWN, SIZE[0] * SIZE[1]).var()
    for name, variance in (("independent", apart), ("orthogonal", left)):
        assert rows[name]["calls_to_error"] == pytest.approx(variance / 0.15**2, rel=0.15)
        # correlation ** 2 = signal ** 2 / (signal + error) / (signal + the reference's error)
        expected = variance / (signal**2 / 0.7**2 / (signal + left / 4096) - signal)
        assert rows[name]["calls_to_correlation"] == pytest.approx(expected, rel=0.3)


def test_similarities_are_those_of_df_rise():
    denoiser, steps = replay()
    found = convergence.similarities(denoiser, steps[1], "paired", range(60), 20, 0)
    map_, _ = df_rise(denoiser, steps[1], masks=60, block=20, design="paired")[""]
    np.testing.assert_array_equal(main_effects(*found, design="paired")[0].astype("f4"), map_)
    mean = found.by("mean", steps[1])
    np.testing.assert_allclose(mean.values[:, 0, 0], found.values.mean((1, 2)), rtol=1e-6)
    later = convergence.similarities(denoiser, steps[1], "paired", range(40, 60), 20, 0)
    np.testing.assert_array_equal(later.values, found.values[40:])
