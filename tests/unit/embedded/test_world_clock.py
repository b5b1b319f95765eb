"""The posterior by importance sampling, where it is known, and on composed scenes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stepscope.embedded import (
    clock_tables,
    configurations,
    details,
    posterior,
    scenes,
    world_clock,
)

LEVELS = np.array([-20.0, -2.0, 0.0, 1.0, 2.0, 4.0])


def accuracies(points, draws=400, noises=40, count=12, grain=0.0):
    """Accuracy of each part of a toy world, (levels, parts), and median effective numbers.

    Part k moves axis k to one of `points[k]`; grain of that variance is on every axis.
    """
    sizes = np.array([len(values) for values in points])
    total, effective = np.zeros((len(LEVELS), len(points))), np.zeros(len(LEVELS))

    def latents(rows):
        return np.stack([np.take(v, rows[:, k]) for k, v in enumerate(points)], axis=1).astype(
            float
        )

    added = posterior.Nuisance(
        np.full(len(points), 0.3), np.eye(len(points)), np.full(len(points), grain)
    )
    for number in range(count):
        rng = np.random.default_rng(number)
        truth = rng.integers(0, sizes)
        latent = latents(truth[None])[0] + 0.3 + rng.normal(0, np.sqrt(grain), len(points))
        noise = rng.normal(size=(noises, len(points)))
        for i, (_, of_parts, ess) in enumerate(
            posterior.posteriors(
                truth,
                sizes,
                lambda rows: np.zeros(len(rows)),
                latents,
                latent,
                noise,
                added,
                LEVELS,
                draws,
                rng,
            )
        ):
            total[i] += [
                posterior.right(found, truth[k]).mean() for k, found in enumerate(of_parts)
            ]
            effective[i] += np.median(ess) / count
    return total / count, effective


@pytest.mark.parametrize("grain", [0.0, 0.5])
def test_two_values_are_told_apart_as_often_as_the_closed_form_says(grain):
    energies = np.array([9.0, 1.0])
    found, effective = accuracies([(0.0, 3.0), (0.0, 1.0)], grain=grain)
    snr = 1 / (np.exp(-LEVELS) + grain)
    exact = stats.norm.cdf(np.sqrt(energies * snr[:, None]) / 2)
    # 480 noised latents; with grain, which is one a scene, they are fewer
    assert found[1:] == pytest.approx(exact[1:], abs=0.07 if grain == 0 else 0.2)
    assert effective == pytest.approx(4)  # all that there are


def test_values_that_look_the_same_are_guessed_at_every_noise_and_all_in_pure_noise():
    points = [(0.0, 3.0), (1.0, 1.0, 1.0, 1.0), (0.0, 1.0, 2.0)]
    found, _ = accuracies(points, draws=200, count=200, noises=2)
    assert found[:, 1] == pytest.approx(1 / 4, abs=0.05)
    assert found[0] == pytest.approx([1 / 2, 1 / 4, 1 / 3], abs=0.05)


def test_more_candidates_say_the_same_and_the_same_seed_the_same_bits():
    points = [(0.0, 3.0), *[tuple(np.arange(5) * 1.5)] * 3]
    once, few = accuracies(points, draws=300)
    again, _ = accuracies(points, draws=300)
    twice, more = accuracies(points, draws=600)
    assert np.array_equal(once, again)
    assert twice[1:] == pytest.approx(once[1:], abs=0.06)
    assert (more > few)[:4].all()


def test_the_variance_of_what_is_added_is_not_too_small_on_any_axis():
    rng = np.random.default_rng(0)
    deviations = np.array([3.0] * 5 + [0.5] * 45)
    found = posterior.nuisance_of(rng.normal(1, deviations, (120, 50)))
    assert found.variance.sum() == pytest.approx((deviations**2).sum(), rel=0.3)
    assert found.variance.min() > 0.1
    assert found.shift == pytest.approx(1, abs=1)


def test_a_tie_is_a_share_of_a_right_answer():
    of_value = np.array([[0.4, 0.2], [0.4, 0.5], [0.2, 0.3]])
    assert posterior.right(of_value, 0).tolist() == [0.5, 0]
    assert posterior.right(of_value, 1).tolist() == [0.5, 1]


@pytest.mark.parametrize("seed", [3, 4, 5, 6])
def test_a_row_of_numbers_is_the_composed_scene(seed):
    rng = np.random.default_rng(seed)
    spec = scenes.random_spec(rng)
    space = configurations.Space(len(spec.objects))
    row = space.row(spec, rng)
    assert np.isfinite(space.log_prior(row[None]))
    picture = space.picture(row)
    for part, family in enumerate(space.parts):
        other = row.copy()
        other[part] = (row[part] + 1) % space.sizes[part]
        assert not np.array_equal(space.picture(other), picture), family
    grainy = space.picture(row, rng).astype(float) - picture
    assert 1 < grainy.std() < 0.08 * 255


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_some_places_make_the_scene_that_the_composer_makes(seed):
    scene = scenes.compose(seed, strength=replace(details.WORLD, grain=0))
    space = configurations.Space(len(scene.objects))
    row = space.row(scene.spec, np.random.default_rng(0))
    places = [part for part, name in enumerate(space.parts) if name.endswith(("row", "column"))]
    assert len(places) == 2 * len(scene.objects) + 4

    def difference(row):
        return np.abs(space.picture(row).astype(int) - scene.picture)

    for part in 2 * places:  # each at its best, twice
        options = np.repeat(row[None], space.sizes[part], axis=0)
        options[:, part] = np.arange(space.sizes[part])
        row = min(options, key=lambda option: difference(option).sum())
    assert difference(row).max() <= 5 * scenes.TINGE * 255


def coarse(pictures):
    """Pictures averaged over 8 x 8 pixels as latents: a check without an autoencoder."""
    values = pictures.astype(np.float64) / 25
    return values.reshape(-1, 8, 8, 8, 8, 3).mean((2, 4)).reshape(len(pictures), -1)


@pytest.fixture(scope="module")
def rows():
    """What the posterior says of two scenes, seen as coarse pictures."""
    given = world_clock.noised(coarse, 2, 3, 0)
    return world_clock.bayes(coarse, given, world_clock.nuisance(coarse, 40, 0), 300, 0)


def test_every_family_is_read_where_a_scene_shows_one_concept_of_it(rows):
    assert set(rows["family"]) == set(scenes.FAMILIES)
    pairs = rows[rows["family"] == "relation"]["scene"].unique()
    assert set(pairs) & set(rows[rows["family"].isin(["object", "size"])]["scene"]) == set()
    last = rows[rows["log_snr"] == rows["log_snr"].max()]
    large = last[last["family"].isin(["relation", "size", "object", "colour", "texture", "frame"])]
    assert large["right"].all()
    assert large["posterior"].min() > 0.9


def test_tables_have_energies_and_middles_in_their_order(rows):
    apart = world_clock.distances(coarse, 6, 0)
    assert {family: len(found) for family, found in apart.items()}["colour"] == 12
    late = rows.assign(reader="e_u, some", log_snr=rows["log_snr"] + 1)
    found = clock_tables.families(pd.concat([rows, late]), apart, 30, 0)
    assert found["energy"].is_monotonic_decreasing
    own = found[found["reader"] == "e_u, some"].dropna(subset="middle_log_snr")
    assert len(own) > 4
    assert own["lag"].to_numpy() == pytest.approx(1)
    assert own["lag_low"].to_numpy() == pytest.approx(1)
    table = clock_tables.table(rows, 30, 0)
    assert (table["ci_low"] <= table["accuracy"]).all()
    assert set(table.loc[table["family"] == "object", "chance"]) == {1 / 24}


def test_the_middle_is_where_a_rising_curve_passes():
    levels = np.array([0.0, 1.0, 2.0, 3.0])
    assert clock_tables.middle(levels, np.array([0.3, 0.2, 0.7, 1.0]), 0.6) == pytest.approx(
        1 + 0.35 / 0.45
    )
    assert np.isnan(clock_tables.middle(levels, np.array([0.2, 0.2, 0.3, 0.4]), 0.6))
