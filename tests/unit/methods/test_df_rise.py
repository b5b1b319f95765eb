"""DF-RISE: reproducible from its seed, right in its similarity, and right about planted truth."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from stepscope.diffusion.planted import (
    ConstantDenoiser,
    CopyingDenoiser,
    GatedDenoiser,
    GaussianDenoiser,
)
from stepscope.methods import baselines
from stepscope.methods.df_rise import (
    Plan,
    block_scores,
    df_rise,
    finished,
)
from stepscope.methods.mask_runs import Run, extended, joined
from stepscope.methods.quantities import predictions
from support.replayed import SeesOnly, auroc, corner, replay

FEW = {"masks": 60, "block": 20}


@pytest.mark.parametrize("design", ["independent", "paired", "orthogonal"])
def test_blocks_computed_apart_give_the_same_bits(design):
    denoiser, steps = replay()
    variants = ("paper", "official", "cosine")
    whole = df_rise(denoiser, steps[1], variants=variants, design=design, **FEW)
    plan = Plan.of("structure", "noise", "pixel", variants, design, 0.5, 0)
    with torch.inference_mode():
        parts = {}
        for start in (40, 0, 20):
            (parts[start],) = block_scores(denoiser, steps[1], plan, [range(start, start + 20)])
    begun, rest = Run(), extended(Run(), parts[40], 0.5, design)
    for start in (0, 20):
        begun = extended(begun, parts[start], 0.5, design)
    again = finished(joined(begun, rest, 0.5, design), plan)
    for name in ("masks", *variants):
        np.testing.assert_array_equal(whole[name], again[name])
    np.testing.assert_array_equal(whole[""], again[""])
    # and a shorter run, extended by the last block
    longer = extended(begun, parts[40], 0.5, design)
    np.testing.assert_array_equal(finished(longer, plan)[""], whole[""])
    shorter = df_rise(denoiser, steps[1], design=design, **FEW | {"masks": 40})
    np.testing.assert_array_equal(finished(begun, plan)[""], shorter[""])


def test_masks_are_drawn_until_the_error_is_small_enough():
    denoiser, steps = replay()
    of_all = df_rise(denoiser, steps[1], masks=120, block=20)
    assert of_all["masks"] == 120
    errors = {n: df_rise(denoiser, steps[1], masks=n, block=20)[""][1].mean() for n in (40, 60, 80)}
    stopped = df_rise(denoiser, steps[1], masks=120, block=20, error=float(errors[60]) * 1.001)
    first = next(n for n, error in errors.items() if error <= errors[60])
    assert stopped["masks"] == first
    shorter = df_rise(denoiser, steps[1], masks=first, block=20)
    np.testing.assert_array_equal(stopped[""], shorter[""])
    never = df_rise(denoiser, steps[1], masks=120, block=20, error=1e-6)
    np.testing.assert_array_equal(never[""], of_all[""])


@pytest.mark.parametrize("design", ["independent", "paired", "orthogonal"])
def test_the_exact_answer_of_the_gaussian_denoiser_is_covered(design):
    """Squared error of a linear prediction is a game of order two, whose values are known."""
    denoiser, steps = replay()
    step, (_, height, width) = steps[1], steps[1].latent.shape
    rng = torch.Generator().manual_seed(0)
    root = torch.randn(4 * height * width, 300, generator=rng, dtype=torch.float64) / 10
    covariance = root @ root.T + 0.1 * torch.eye(len(root), dtype=torch.float64)
    gaussian = GaussianDenoiser(torch.zeros_like(step.latent), covariance, denoiser)
    # what each latent pixel, all channels at once, adds to the prediction (C, pixel, pixel)
    added = gaussian.jacobian(step) * step.latent.double().flatten()
    added = added.view(4, height * width, 4, height * width).sum(2).numpy()
    exact = (np.diagonal(added, axis1=1, axis2=2) * added.sum(2)).mean(0)
    map_, error = df_rise(gaussian, step, similarity="mse", masks=512, design=design)[""]
    z = (map_.ravel() - exact) / error.ravel()
    assert (np.abs(z) < 1.96).mean() == pytest.approx(0.95, abs=0.04)
    assert abs(z.mean()) < 0.4
    assert np.corrcoef(map_.ravel(), exact)[0, 1] > 0.9


def test_paper_and_official_are_scaled_to_one():
    denoiser, steps = replay()
    maps = df_rise(denoiser, steps[2], variants=["paper", "official"], **FEW)
    for name in ("paper", "official"):
        assert maps[name].min() == 0
        assert maps[name].max() == 1
    assert not np.allclose(maps["paper"], maps["official"], atol=0.05)


@pytest.mark.parametrize("score", ["pixel", "mean"])
def test_pixels_that_the_model_cannot_see_score_nothing(score):
    denoiser, steps = replay()
    region = corner()
    map_, error = df_rise(SeesOnly(denoiser, region), steps[1], masks=200, score=score)[""]
    inside = region.numpy() > 0
    z = np.abs(map_ / error)
    assert np.median(z[~inside]) < 1.5  # as noise: half of |z| is below 0.67
    assert map_[inside].mean() > 5 * np.abs(map_[~inside].mean())
    assert auroc(map_, region) > {"pixel": 0.8, "mean": 0.68}[score]
    assert auroc(baselines.random(0, "tiny", 0, (16, 16)), region) < 0.6


def test_the_region_where_a_word_acts_is_found_in_what_the_prompt_adds():
    denoiser, steps = replay(prompt="cat")
    region = corner()
    gated = GatedDenoiser(denoiser, "cat", region=region)
    map_, _ = df_rise(gated, steps[1], quantity="prompt", masks=300)[""]
    score = auroc(map_, region)  # 0.68 to 0.72 over seeds of the masks
    assert score > 0.65
    assert score > auroc(baselines.random(0, "tiny", 0, (16, 16)), region)


@pytest.mark.parametrize("score", ["pixel", "mean"])
def test_a_constant_prediction_has_no_map(score):
    denoiser, steps = replay()
    constant = ConstantDenoiser(denoiser, 0.5)
    result = df_rise(constant, steps[1], score=score, variants=["paper", "mse"], **FEW)
    np.testing.assert_allclose(result[""][0], 0, atol=1e-6)
    np.testing.assert_allclose(result["mse"], 0, atol=1e-6)


def test_a_copied_latent_shows_in_clean_and_next_but_not_in_what_the_prompt_adds():
    denoiser, steps = replay()
    constant, copying = ConstantDenoiser(denoiser), CopyingDenoiser(denoiser)
    for quantity in ("clean", "next"):  # both contain the latent: the reason for the default
        map_, _ = df_rise(constant, steps[1], quantity=quantity, **FEW)[""]
        assert (map_ > 0).mean() > 0.9
    map_, _ = df_rise(copying, steps[1], quantity="prompt", **FEW)[""]
    np.testing.assert_allclose(map_, 0, atol=1e-6)


def test_region_scores_need_a_mask_and_names_are_checked():
    denoiser, steps = replay()
    with pytest.raises(ValueError, match="score: region needs object masks, and tiny has none"):
        df_rise(denoiser, steps[0], score="region", **FEW)
    nowhere = replace(steps[0], mask=torch.zeros(16, 16))
    with pytest.raises(ValueError, match="score: region needs object masks, and tiny has none"):
        df_rise(denoiser, nowhere, score="region", **FEW)
    with pytest.raises(ValueError, match="a pixel was never kept, or never hidden"):
        df_rise(denoiser, steps[0], masks=2)
    with pytest.raises(ValueError, match="similarity: 'fid' is none of structure"):
        df_rise(denoiser, steps[0], similarity="fid", **FEW)
    for design in ("paired", "orthogonal"):
        with pytest.raises(ValueError, match=f"keep: 0.3: masks of the design {design} keep 0.5"):
            df_rise(denoiser, steps[0], design=design, keep=0.3, **FEW)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="error: .*: a standard error to stop at is above 0"):
            df_rise(denoiser, steps[0], error=wrong, **FEW)
    for wrong in ({"masks": 1}, {"block": 0}, {"keep": 0.0}, {"keep": 1.0}):
        with pytest.raises(ValueError, match="a comparison of means needs at least 2 masks"):
            df_rise(denoiser, steps[0], **FEW | wrong)


def test_without_guidance_there_is_nothing_that_the_prompt_adds():
    denoiser, steps = replay(guidance=1.0)
    with pytest.raises(ValueError, match="what the prompt adds needs guidance above 1"):
        df_rise(denoiser, steps[0], quantity="prompt", **FEW)
    assert np.isfinite(df_rise(denoiser, steps[0], **FEW)[""]).all()


def test_v_prediction_is_compared_as_noise():
    denoiser, steps = replay("tiny_sd2")
    step = steps[1]
    latents = step.latent[None]
    noise = predictions(denoiser, latents, step)("noise")
    guided = denoiser.guided(denoiser.outputs(latents, step))
    torch.testing.assert_close(noise, denoiser.noise(latents, guided, step))
