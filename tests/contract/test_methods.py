"""Every method gives finite maps of the right shape on every family of models, on wide pictures."""

import functools

import numpy as np
import pytest
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.methods.attention import attention
from stepscope.methods.cross_attention import cross_attention
from stepscope.methods.df_cam import df_cam, df_cam_word
from stepscope.methods.df_rise import df_rise
from stepscope.methods.integrated_gradients import gradient_times_input, integrated_gradients
from stepscope.methods.lime import lime
from stepscope.methods.occlusion import occlusion
from stepscope.methods.relevance import relevance
from stepscope.methods.word_information import word_information
from stepscope.methods.word_removal import word_removal
from stepscope.models import rewording
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.trace import steps_of
from support import tiny

PIPELINES = ["tiny_sd1", "tiny_sd2", "tiny_xl", "tiny_pixart", "tiny_sd3"]
OPTIONS = {"sampling": {"kind": "uniform", "steps": 3}, "scheduler": {"name": "euler"}}
PROMPT = "a red zebra on a red ball"
WORD_METHODS = [cross_attention, attention, relevance, df_cam_word, word_information]


@functools.cache
def replay(kind, dtype=torch.float32):
    """A denoiser and the second step of a picture of 48 x 72 pixels, latents 12 x 18."""
    pipeline = getattr(tiny, kind)().to(dtype)
    trace = trace_prompts(
        pipeline,
        [PROMPT],
        [0],
        guidance=4.0,
        negative_prompt="",
        height=48,
        width=72,
        roles=[{}],
        **OPTIONS,
    )
    return Denoiser(pipeline, guidance=4.0, **OPTIONS), steps_of(trace, 0, prompt_id="wide")[1]


@pytest.mark.parametrize("kind", PIPELINES)
@pytest.mark.parametrize("method", WORD_METHODS, ids=lambda method: method.__name__)
def test_words_have_finite_maps_of_their_own(kind, method):
    denoiser, step = replay(kind)
    maps = np.asarray(method(denoiser, step))
    assert maps.shape == (7, 12, 18)
    assert np.isfinite(maps).all()
    assert (maps.max((1, 2)) > maps.min((1, 2))).all()
    assert not np.allclose(maps[1], maps[5])  # the two words "red"


@pytest.mark.parametrize("kind", PIPELINES)
@pytest.mark.parametrize("how", ["prompt", "embedding"])
def test_every_family_can_do_without_a_word(kind, how):
    denoiser, step = replay(kind)
    found = word_removal(denoiser, step, kind=how)
    for maps in found.values():
        assert maps.shape == (7, 12, 18)
        assert np.isfinite(maps).all()
        assert not np.allclose(maps[1], maps[5])  # the two words "red"
    assert (found[""].max((1, 2)) > 0).all()
    if how == "embedding":  # words whose keys stay give what they gave
        conditioning = rewording.with_embeddings(
            denoiser.family, step.conditioning, step.prompt, [step.words[2].tokens]
        )[0]
        changed = conditioning["prompt_embeds"][1] != step.conditioning["prompt_embeds"][1]
        rows = denoiser.family.reading(step.prompt).rows
        assert {rows[key] for key in changed.any(-1).nonzero().flatten()} <= {*step.words[2].tokens}


@pytest.mark.parametrize("kind", PIPELINES)
def test_df_rise_and_df_cam_are_finite(kind):
    denoiser, step = replay(kind)
    results = df_rise(denoiser, step, masks=20, variants=["paper", "official"])
    assert results.pop("masks") == 20
    for name, result in results.items():
        map_ = result[0] if isinstance(result, tuple) else result
        assert map_.shape == (12, 18), name
        assert np.isfinite(map_).all(), name
    layers = df_cam(denoiser, step)
    assert layers.names == tuple(denoiser.family.layers())
    assert layers.maps.shape == (len(layers.names), 12, 18)
    assert np.isfinite(layers.maps).any((1, 2)).sum() >= len(layers.names) / 2


@pytest.mark.parametrize("kind", PIPELINES)
def test_maps_of_the_latent_are_finite(kind):
    denoiser, step = replay(kind)
    (map_, error), *others = (
        lime(denoiser, step, masks=8, segments=6),
        occlusion(denoiser, step, positions=2),
        integrated_gradients(denoiser, step, points=2),
        gradient_times_input(denoiser, step, target="norm"),
    )
    for found in (map_, error, *others):
        assert found.dtype == np.float32
        assert found.shape == (12, 18)
        assert np.isfinite(found).all()
    assert all(found.max() > found.min() for found in (map_, *others))


@pytest.mark.parametrize("kind", PIPELINES)
def test_a_model_in_bfloat16_is_explained_in_float32(kind):
    denoiser, step = replay(kind, torch.bfloat16)
    assert step.latent.dtype == torch.bfloat16
    for maps in step.attention.values():
        inside = maps[~maps.isnan().any((1, 2))]
        assert maps.dtype == torch.float32
        torch.testing.assert_close(inside.sum(0), torch.ones_like(inside[0]))  # not in bfloat16
    assert step.denoised.dtype == torch.float32
    clean = denoiser.clean(step.latent[None], denoiser.guided(step.outputs[None].float()), step)
    torch.testing.assert_close(clean[0], step.denoised)
    for method in WORD_METHODS:
        maps = np.asarray(method(denoiser, step))
        assert maps.dtype == np.float32, method.__name__
        assert np.isfinite(maps).all(), method.__name__
