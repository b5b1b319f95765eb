"""Features of decoded pictures as a similarity: as by hand, and blind where they must be."""

import copy
import functools

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine

from stepscope.diffusion.planted import ConstantDenoiser
from stepscope.methods import perturbation
from stepscope.methods.df_rise import df_rise
from stepscope.methods.effects import main_effects
from stepscope.methods.lime import lime
from stepscope.methods.masks import draw_masks
from stepscope.methods.occlusion import occlusion
from support.replayed import replay

FEW = {"masks": 40, "block": 20}
METHODS = {
    "df_rise": functools.partial(df_rise, **FEW),
    "lime": functools.partial(lime, masks=10, segments=6),
    "lime, pixel": functools.partial(lime, masks=10, segments=6, score="pixel"),
    "occlusion": functools.partial(occlusion, positions=3),
}


def judged(denoiser, judge):
    """A copy of a denoiser with another judge than its own, which is none."""
    copied = copy.copy(denoiser)
    copied.judge = judge
    return copied


def judge(pictures):
    """Features (B, 5) of pictures: a fixed projection of their contrasts at 8 x 8 pixels."""
    small = torch.nn.functional.adaptive_avg_pool2d(pictures, 8).flatten(1)
    weights = torch.randn(small.shape[1], 5, generator=torch.Generator().manual_seed(0))
    return (small - small.mean(1, keepdim=True)) @ weights


def constant(pictures):
    return torch.ones(len(pictures), 3)


def map_of(result):
    """The first map of what a method returned."""
    result = result[""] if isinstance(result, dict) else result
    return result[0] if isinstance(result, tuple) else result


def by_hand(denoiser, step, kept):
    """Cosine (B,) of features under masks with those without, from the pipeline's own parts."""
    pipeline, log_snr = denoiser.pipeline, torch.tensor(step.log_snr, dtype=torch.float64)
    alpha, sigma = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()

    def features(mask):
        uncond, cond = denoiser.outputs((step.latent * torch.from_numpy(mask))[None], step)[0]
        eps = uncond + denoiser.guidance * (cond - uncond)
        clean = ((step.latent - sigma * eps) / alpha).float()[None]
        decoded = pipeline.vae.decode(clean / pipeline.vae.config.scaling_factor).sample
        return judge((decoded / 2 + 0.5).clamp(0, 1))[0].numpy()

    whole = features(np.ones_like(kept[0]))
    return np.array([1 - cosine(features(mask), whole) for mask in kept])


@torch.inference_mode()
def test_features_are_those_of_what_the_output_under_a_mask_shows():
    denoiser, steps = replay()
    step, seeing = steps[1], judged(denoiser, judge)
    kept = draw_masks(0, step, 0, 40, 0.5, (16, 16), "orthogonal")
    expected = by_hand(denoiser, step, kept)
    found = perturbation.scores(
        seeing,
        step,
        lambda part: kept[part.start : part.stop],
        40,
        similarity="features",
        quantity="prompt",  # whatever it is
        score="pixel",
        block=20,
    )
    assert found.shape == (40, 1, 1)
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-5)
    assert expected.std() > 1e-4
    effect, error = main_effects(kept, expected[:, None, None], design="orthogonal")
    map_, its_error = df_rise(seeing, step, similarity="features", **FEW)[""]
    np.testing.assert_allclose(map_, effect, atol=1e-5)
    np.testing.assert_allclose(its_error, error, atol=1e-5)
    # beside others, which it leaves as they are, and which have a score a pixel
    both = df_rise(seeing, step, variants=["features", "mse"], **FEW)
    np.testing.assert_array_equal(both["features"], map_)
    alone = df_rise(denoiser, step, variants=["mse"], **FEW)
    np.testing.assert_array_equal(both["mse"], alone["mse"])
    np.testing.assert_array_equal(both[""], alone[""])
    again = df_rise(seeing, step, similarity="features", score="mean", **FEW)[""]
    np.testing.assert_array_equal(again, (map_, its_error))


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_judge_and_a_constant_prediction_have_no_map(name):
    denoiser, steps = replay()
    found = [
        map_of(METHODS[name](blind, steps[1], similarity="features"))
        for blind in (judged(denoiser, constant), judged(ConstantDenoiser(denoiser), judge))
    ]
    for map_ in found:
        assert map_.shape == (16, 16)
        np.testing.assert_allclose(map_, 0, atol=1e-6)
    seen = map_of(METHODS[name](judged(denoiser, judge), steps[1], similarity="features"))
    assert np.abs(seen).max() > 1e-5


@pytest.mark.parametrize("name", METHODS)
def test_features_without_a_judge_are_refused(name):
    denoiser, steps = replay()
    with pytest.raises(
        ValueError, match=r"^similarity: features are those of a judge, and the den"
    ):
        METHODS[name](denoiser, steps[0], similarity="features")
