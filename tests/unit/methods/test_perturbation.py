"""Methods that hide parts of a latent, and gradients by it: right about planted truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from stepscope.diffusion.planted import (
    ConstantDenoiser,
    CopyingDenoiser,
    GatedDenoiser,
    GaussianDenoiser,
)
from stepscope.methods.integrated_gradients import (
    gradient_times_input,
    integrated_gradients,
    target_of,
)
from stepscope.methods.lime import coefficients, lime, locality, superpixels
from stepscope.methods.occlusion import occlusion, windows
from support.replayed import SeesOnly, auroc, corner, replay

FEW = {"masks": 40, "segments": 16}


def first(result):
    return result[0] if isinstance(result, tuple) else result


def energy(step):
    """What each cell (h, w) adds to the mean squared difference of a prediction that copies."""
    squares = (step.latent.double() ** 2).mean(0).numpy()
    return squares / squares.size


@pytest.mark.parametrize("size", [(16, 16), (12, 18), (10, 11), (64, 64)])
@pytest.mark.parametrize("positions", [1, 3, 7, 20])
def test_windows_hold_every_cell_and_lie_over_each_other_by_half(size, positions):
    found = windows(size, positions)
    assert found.any(0).all()
    assert len(found) <= positions**2
    rows, columns = (-(-2 * side // (positions + 1)) for side in size)
    assert (found.sum((1, 2)) == rows * columns).all()
    if positions == 7 and size == (16, 16):
        assert len(found) == 49
        assert (found[0] & found[1]).sum() == 8


def test_occlusion_of_a_copy_is_the_energy_under_the_windows():
    denoiser, steps = replay()
    step = steps[1]
    map_ = occlusion(CopyingDenoiser(denoiser), step, positions=5, similarity="mse")
    hidden = windows((16, 16), 5)
    drops = np.array([(energy(step) * window).sum() for window in hidden])
    for y, x in ((0, 0), (7, 9), (15, 4)):
        assert map_[y, x] == pytest.approx(drops[hidden[:, y, x]].mean(), rel=1e-4)


def test_lime_of_a_copy_is_the_energy_of_each_superpixel():
    """Hiding superpixels then costs the sum of their energies: the model is linear, and exact."""
    denoiser, steps = replay()
    step, copying = steps[1], CopyingDenoiser(denoiser)
    map_, error = lime(copying, step, similarity="mse", alpha=1e-9, **FEW)
    labels = superpixels(copying, step, 16)
    of_segment = np.bincount(labels.ravel(), energy(step).ravel())
    assert 12 <= len(of_segment) <= 20
    np.testing.assert_allclose(map_, of_segment[labels], rtol=1e-4)
    assert error.max() < 1e-4 * map_.min()
    per_pixel, _ = lime(copying, step, similarity="mse", alpha=1e-9, score="pixel", **FEW)
    np.testing.assert_allclose(per_pixel, energy(step) * 256, rtol=1e-3, atol=1e-6)


def test_coefficients_are_those_of_weighted_ridge_and_their_error_covers():
    rng = np.random.default_rng(0)
    truth, found, errors = rng.normal(size=8), [], []
    for _ in range(300):
        shown = rng.random((60, 8)) < 0.5
        scores = shown @ truth + rng.normal(size=60) * (0.5 + shown[:, 0])
        weights = locality(shown, 0.25)
        values, error = coefficients(shown, scores[:, None], weights, 0.01)
        found.append(values[:, 0])
        errors.append(error[:, 0])
    own = Ridge(alpha=0.01).fit(shown, scores, sample_weight=weights)
    np.testing.assert_allclose(found[-1], own.coef_, rtol=1e-8)
    z = (np.array(found) - truth) / np.array(errors)
    assert (np.abs(z) < 1.96).mean() == pytest.approx(0.94, abs=0.02)


def test_a_mask_is_nearer_to_the_whole_the_more_it_shows():
    shown = np.tri(9, 8, -1) > 0  # 0 to 8 of 8
    weights = locality(shown, 0.25)
    assert (np.diff(weights) > 0).all()
    assert weights[8] == 1
    assert weights[2] == pytest.approx(np.exp(-(0.5**2) / 0.25**2) ** 0.5)


def test_masks_of_lime_are_drawn_by_its_seed_and_their_error_shrinks_with_their_number():
    denoiser, steps = replay()
    few = {"masks": 20, "segments": 6}
    one, error = lime(denoiser, steps[1], **few)
    again, _ = lime(denoiser, steps[1], **few)
    other, _ = lime(denoiser, steps[1], seed=1, **few)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    _, smaller = lime(denoiser, steps[1], masks=60, segments=6)
    assert (smaller**2).mean() < 0.6 * (error**2).mean()


METHODS = {
    "occlusion": lambda denoiser, step: occlusion(denoiser, step),
    "lime": lambda denoiser, step: lime(denoiser, step, **FEW),
    "lime, pixel": lambda denoiser, step: lime(denoiser, step, score="pixel", **FEW),
    "gradient": lambda denoiser, step: gradient_times_input(denoiser, step, target="norm"),
    "integrated": lambda denoiser, step: integrated_gradients(
        denoiser, step, points=4, target="norm"
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_prediction_has_no_map(name):
    denoiser, steps = replay()
    map_ = first(METHODS[name](ConstantDenoiser(denoiser, 0.5), steps[1]))
    assert map_.dtype == np.float32
    np.testing.assert_allclose(map_, 0, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_pixels_that_the_model_cannot_see_score_less(name):
    denoiser, steps = replay()
    region = corner()
    map_ = np.abs(first(METHODS[name](SeesOnly(denoiser, region), steps[1])))
    assert auroc(map_, region) > 0.85
    assert map_[region > 0].mean() > 2 * map_[region == 0].mean()


def test_integrated_gradients_of_a_quadratic_form_are_its_terms():
    denoiser, steps = replay()
    step = steps[1]
    root = torch.randn(1024, 200, generator=torch.Generator().manual_seed(0)).double() / 10
    covariance = root @ root.T + 0.1 * torch.eye(1024).double()
    gaussian = GaussianDenoiser(torch.zeros_like(step.latent), covariance, denoiser)
    latent, jacobian = step.latent.double().flatten(), gaussian.jacobian(step)
    terms = (latent * (jacobian.T @ jacobian @ latent)).view(4, 16, 16).sum(0)
    map_ = integrated_gradients(gaussian, step, points=4, target="norm")
    torch.testing.assert_close(torch.from_numpy(map_).double(), terms, rtol=1e-4, atol=1e-4)
    slope = gradient_times_input(gaussian, step, target="norm")
    torch.testing.assert_close(torch.from_numpy(slope).double(), 2 * terms, rtol=1e-4, atol=1e-4)
    blind = integrated_gradients(gaussian, step, points=2)  # its halves do not differ
    assert not blind.any()


@pytest.mark.parametrize("target", ["prompt", "norm"])
def test_integrated_gradients_sum_to_what_the_latent_adds(target):
    denoiser, steps = replay()
    map_, other = integrated_gradients(denoiser, steps[1:3], points=16, target=target)
    y_of = target_of(denoiser, [steps[1]], target)
    with torch.no_grad():
        ends = [float(y_of(share * steps[1].latent[None])) for share in (0, 1)]
    scale = float(np.abs(map_).sum())
    assert map_.sum() == pytest.approx(ends[1] - ends[0], abs=0.03 * scale)
    if target == "prompt":
        single = integrated_gradients(denoiser, steps[2], points=16, target=target)
        np.testing.assert_allclose(single, other, atol=1e-4 * np.abs(single).max())


def test_gradients_find_where_the_prompt_acts():
    denoiser, steps = replay(prompt="cat")
    region = torch.zeros(16, 16)
    region[12:, :4] = 1
    gated = GatedDenoiser(denoiser, "cat", region=region)
    map_, ungated = (np.abs(gradient_times_input(one, steps[1])) for one in (gated, denoiser))
    assert auroc(map_, region) > 0.75 > auroc(ungated, region)


def test_wrong_parameters_are_refused():
    denoiser, steps = replay()
    unguided, without = replay(guidance=1.0)
    for wrong in ({"masks": 1}, {"segments": 0}, {"width": 0.0}, {"alpha": 0.0}, {"block": 0}):
        with pytest.raises(ValueError, match="a linear model needs at least 2 masks, 1 segment"):
            lime(denoiser, steps[0], **FEW | wrong)
    for wrong in ({"positions": 0}, {"block": 0}):
        with pytest.raises(ValueError, match=r"positions: .*, block: .* at least 1 of each"):
            occlusion(denoiser, steps[0], **wrong)
    for method in (occlusion, lime):
        with pytest.raises(ValueError, match="similarity: 'fid' is none of structure"):
            method(denoiser, steps[0], similarity="fid")
        with pytest.raises(ValueError, match="quantity: 'x' is none of noise"):
            method(denoiser, steps[0], quantity="x")
        for mask in (None, torch.zeros(16, 16)):
            with pytest.raises(ValueError, match="score: region needs object masks, and tiny"):
                method(denoiser, replace(steps[0], mask=mask), score="region", block=2)
    with pytest.raises(ValueError, match="points: 0: an integral needs at least 1"):
        integrated_gradients(denoiser, steps[0], points=0)
    for method in (integrated_gradients, gradient_times_input):
        with pytest.raises(ValueError, match="target: 'region' is none of prompt, norm"):
            method(denoiser, steps[0], target="region")
        with pytest.raises(ValueError, match="what the prompt adds needs guidance above 1"):
            method(unguided, without[0])
