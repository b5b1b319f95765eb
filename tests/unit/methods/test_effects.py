"""The effect of keeping a pixel: known answers, and errors that cover them with fewer masks."""

import numpy as np
import pytest

from stepscope.methods.effects import main_effects, radius_for

SIZE = (12, 12)
OWN, NEIGHBOUR, BOTH = 0.5, 0.4, 0.6  # of a pixel, of its right neighbour, and of the two together


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def drawn(rng, masks, keep=0.5):
    """Masks, and scores that a pixel, its neighbour, both and noise make."""
    kept = rng.random((masks, *SIZE)) < keep
    right = np.roll(kept, -1, axis=2)
    noise = rng.normal(0, 0.2, kept.shape) * (1 + kept)  # its size differs: errors must bear that
    return kept, OWN * kept + NEIGHBOUR * right + BOTH * kept * right + noise


def truth(keep):
    """E[s | kept] - E[s | hidden] of every pixel."""
    return OWN + BOTH * keep


def test_without_neighbours_it_is_the_difference_of_means_with_welchs_error(rng):
    kept, scores = drawn(rng, 60)
    effect, error = main_effects(kept, scores, radius=0)
    for pixel in ((0, 0), (5, 7), (11, 11)):
        of_kept, of_hidden = (scores[:, *pixel][kept[:, *pixel] == is_kept] for is_kept in (1, 0))
        assert effect[pixel] == pytest.approx(of_kept.mean() - of_hidden.mean(), rel=1e-9)
        welch = of_kept.var(ddof=1) / len(of_kept) + of_hidden.var(ddof=1) / len(of_hidden)
        assert error[pixel] == pytest.approx(np.sqrt(welch), rel=1e-9)


@pytest.mark.parametrize("keep", [0.5, 0.3])
@pytest.mark.parametrize("radius", [0, 1, 2])
def test_errors_cover_the_true_effect(rng, keep, radius):
    inside = np.s_[:, :-1]  # the last column's neighbour is beyond the border
    covered, off = [], []
    for _ in range(12):
        effect, error = main_effects(*drawn(rng, 240, keep), radius=radius)
        z = (effect - truth(keep))[inside] / error[inside]
        covered.append((np.abs(z) < 1.96).mean())
        off.append((effect - truth(keep))[inside].mean())
    assert 0.93 < np.mean(covered) < 0.965
    assert abs(np.mean(off)) < 0.01  # no bias


def test_regression_needs_fewer_masks_for_the_same_error(rng):
    (_, plain), (_, adjusted) = (
        main_effects(*drawn(np.random.default_rng(1), 600), radius=radius) for radius in (0, 2)
    )
    # the variances of kept and hidden, without and with the neighbour's mean effect taken out
    apart = ((NEIGHBOUR + BOTH) / 2) ** 2 + 0.4**2 + (NEIGHBOUR / 2) ** 2 + 0.2**2
    together = 2 * (BOTH / 4) ** 2 + 0.4**2 + 0.2**2
    assert (adjusted / plain)[:, :-1].mean() == pytest.approx(np.sqrt(together / apart), rel=0.05)


def test_neighbours_have_no_part_in_a_pixels_effect(rng):
    kept = rng.random((240, *SIZE)) < 0.5
    effect, error = main_effects(kept, np.roll(kept, -1, axis=2).astype(float))
    np.testing.assert_allclose(effect[:, :-1], 0, atol=1e-9)
    np.testing.assert_allclose(error[:, :-1], 0, atol=1e-9)


def test_noise_and_constants_have_no_effect(rng):
    kept = rng.random((200, *SIZE)) < 0.5
    effect, error = main_effects(kept, rng.normal(size=kept.shape))
    assert 0.9 < np.std(effect / error) < 1.1
    effect, error = main_effects(kept, np.full((200, 1, 1), 3.0))  # one score for all pixels
    np.testing.assert_allclose(effect, 0, atol=1e-9)
    np.testing.assert_allclose(error, 0, atol=1e-9)


def test_few_masks_take_out_few_neighbours():
    assert [radius_for(masks) for masks in (2, 39, 40, 103, 104, 500)] == [0, 0, 1, 1, 2, 2]


def test_pieces_of_a_large_latent_are_put_together(rng, monkeypatch):
    kept, scores = drawn(rng, 120)
    whole = main_effects(kept, scores)
    monkeypatch.setattr("stepscope.methods.effects.TOGETHER", 1)
    for piece, expected in zip(main_effects(kept, scores), whole, strict=True):
        np.testing.assert_allclose(piece, expected, rtol=1e-9)
