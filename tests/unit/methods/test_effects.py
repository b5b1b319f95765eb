"""The effect of keeping a pixel: exact answers, and errors that cover them with fewer masks."""

import numpy as np
import pytest

from stepscope.methods import effects
from stepscope.methods.effects import main_effects, radius_for
from stepscope.methods.masks import ORDER, orthogonal
from support import banzhaf

SIZE = (12, 12)
OWN, NEIGHBOUR, BOTH = 0.5, 0.4, 0.6  # of a pixel, of its right neighbour, and of the two together
ESTIMATORS = {
    "independent": {"adjusted": False},
    "adjusted": {"design": "independent"},
    "paired": {"design": "paired"},
    "orthogonal": {"design": "orthogonal"},
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def masks_of(rng, count, size, *, keep=0.5, design="independent"):
    """Masks as they are drawn for a latent."""
    if design == "orthogonal":
        return np.concatenate([orthogonal(rng, size) for _ in range(-(-count // ORDER))])[:count]
    if design == "independent":
        return rng.random((count, *size)) < keep
    firsts = rng.random((-(-count // 2), *size)) < 0.5
    return np.stack([firsts, ~firsts], 1).reshape(-1, *size)[:count]


def drawn(rng, masks, keep=0.5, design="independent"):
    """Masks, and scores that a pixel, its neighbour, both and noise make."""
    kept = masks_of(rng, masks, SIZE, keep=keep, design=design)
    right = np.roll(kept, -1, axis=2)
    noise = rng.normal(0, 0.2, kept.shape) * (1 + kept)  # its size differs: errors must bear that
    return kept, OWN * kept + NEIGHBOUR * right + BOTH * kept * right + noise


def truth(keep):
    """E[s | kept] - E[s | hidden] of every pixel."""
    return OWN + BOTH * keep


def games(kept, rng):
    """Games of every order (masks, h, w): each pixel's is a cubic of the pixels, and a jump."""
    signs = kept.reshape(len(kept), -1) - 0.5
    players = signs.shape[1]
    linear, square, cube = (rng.normal(size=(players, players)) for _ in range(3))
    worth = signs @ linear + (signs @ square) * signs[:, ::-1] + 0.2 * (signs @ cube) ** 3
    return (worth + (worth > 1)).reshape(kept.shape)


@pytest.mark.parametrize("size", [(3, 4), (2, 5), (1, 9)])
@pytest.mark.parametrize("score", ["pixel", "mean"])
@pytest.mark.parametrize("options", ESTIMATORS.values(), ids=ESTIMATORS)
def test_with_every_mask_it_is_the_banzhaf_value(rng, size, score, options):
    kept = banzhaf.every_mask(size)
    scores = games(kept, rng)
    if score == "mean":
        scores = scores.mean((1, 2), keepdims=True)
    exact = banzhaf.values(kept, np.broadcast_to(scores, kept.shape))
    assert np.abs(exact).max() > 0.1
    np.testing.assert_allclose(main_effects(kept, scores, **options)[0], exact, atol=1e-6)


@pytest.mark.parametrize("score", ["pixel", "mean"])
@pytest.mark.parametrize("options", ESTIMATORS.values(), ids=ESTIMATORS)
def test_intervals_cover_the_exact_value_in_500_maps(score, options):
    size, count = (2, 4), 128
    every = banzhaf.every_mask(size)
    worth = games(every, np.random.default_rng(3))
    if score == "mean":
        worth = np.broadcast_to(worth.mean((1, 2), keepdims=True), every.shape)
    exact = banzhaf.values(every, worth)
    bits = 2 ** np.arange(every[0].size)
    number = np.argsort(every.reshape(len(every), -1) @ bits)
    covered, off = [], []
    for seed in range(500):
        rng = np.random.default_rng([4, seed])
        kept = masks_of(rng, count, size, design=options.get("design", "independent"))
        scores = worth[number[kept.reshape(count, -1) @ bits]]
        scores = scores if score == "pixel" else scores[:, :1, :1]
        effect, error = main_effects(kept, scores, **options)
        covered.append(np.abs(effect - exact) < 1.96 * error)
        off.append(effect - exact)
    assert 0.93 < np.mean(covered) < 0.97
    bias = np.mean(off, axis=0) / (np.std(off, axis=0) / np.sqrt(500))
    assert np.abs(bias).max() < 4  # in standard errors, of 64 in all cases


def test_without_adjustment_it_is_the_difference_of_means_with_welchs_error(rng):
    kept, scores = drawn(rng, 60)
    effect, error = main_effects(kept, scores, adjusted=False)
    for pixel in ((0, 0), (5, 7), (11, 11)):
        of_kept, of_hidden = (scores[:, *pixel][kept[:, *pixel] == is_kept] for is_kept in (1, 0))
        assert effect[pixel] == pytest.approx(of_kept.mean() - of_hidden.mean(), rel=1e-9)
        welch = of_kept.var(ddof=1) / len(of_kept) + of_hidden.var(ddof=1) / len(of_hidden)
        assert error[pixel] == pytest.approx(np.sqrt(welch), rel=1e-9)


def test_errors_of_pairs_are_over_pairs(rng):
    kept, scores = drawn(rng, 61, design="paired")  # the last one has lost its complement
    effect, error = main_effects(kept, scores, design="paired", adjusted=False)
    half = np.where(kept[:60:2], 1, -1) * (scores[:60:2] - scores[1:60:2])
    np.testing.assert_allclose(effect, half.mean(0), rtol=1e-9)
    np.testing.assert_allclose(error, half.std(0, ddof=1) / np.sqrt(30), rtol=1e-9)


@pytest.mark.parametrize("options", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize("keep", [0.5, 0.3])
def test_errors_cover_the_true_effect(rng, keep, options):
    design = options.get("design", "independent")
    if keep != 0.5 and design != "independent":
        return
    inside = np.s_[:, :-1]  # the last column's neighbour is beyond the border
    covered, off = [], []
    for _ in range(6):
        effect, error = main_effects(*drawn(rng, 256, keep, design), keep=keep, **options)
        z = (effect - truth(keep))[inside] / error[inside]
        covered.append((np.abs(z) < 1.96).mean())
        off.append((effect - truth(keep))[inside].mean())
    assert 0.93 < np.mean(covered) < 0.965
    assert abs(np.mean(off)) < 0.01  # no bias


def test_adjustment_needs_fewer_masks_for_the_same_error(rng):
    (_, plain), (_, adjusted) = (
        main_effects(*drawn(np.random.default_rng(1), 600), adjusted=adjusted)
        for adjusted in (False, True)
    )
    # the variances of kept and hidden, without and with the neighbour's mean effect taken out
    apart = ((NEIGHBOUR + BOTH) / 2) ** 2 + 0.4**2 + (NEIGHBOUR / 2) ** 2 + 0.2**2
    together = 2 * (BOTH / 4) ** 2 + 0.4**2 + 0.2**2
    assert (adjusted / plain)[:, :-1].mean() == pytest.approx(np.sqrt(together / apart), rel=0.05)


def test_pairs_are_exact_for_what_two_pixels_do_together(rng):
    kept = masks_of(rng, 256, SIZE, design="paired")
    right = np.roll(kept, -1, axis=2)
    scores = OWN * kept + NEIGHBOUR * right + BOTH * kept * right
    effect, error = main_effects(kept, scores, design="paired")
    np.testing.assert_allclose(effect[:, :-1], truth(0.5), atol=1e-9)
    np.testing.assert_allclose(error[:, :-1], 0, atol=1e-9)


def test_orthogonal_masks_are_exact_for_what_near_pixels_do_alone(rng):
    kept = masks_of(rng, ORDER, SIZE, design="orthogonal")
    effect, _ = main_effects(kept, OWN * kept + np.roll(kept, (2, -4), (1, 2)), design="orthogonal")
    np.testing.assert_allclose(effect[2:, :-4], OWN, atol=1e-9)


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
    coefficients = (0, 9.9, 10, 25.9, 26, 49.9, 50, 500)
    assert [radius_for(most) for most in coefficients] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_pieces_of_a_large_latent_are_put_together(rng, monkeypatch):
    kept, scores = drawn(rng, 120)
    whole = main_effects(kept, scores)
    monkeypatch.setattr(effects, "TOGETHER", 1)
    for piece, expected in zip(main_effects(kept, scores), whole, strict=True):
        np.testing.assert_allclose(piece, expected, rtol=1e-9)
