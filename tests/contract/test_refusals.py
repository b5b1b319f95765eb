"""What cannot be traced or replayed is refused by name, and nothing is left behind."""

import re

import numpy as np
import pytest
import torch
from diffusers import (
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from diffusers.models.attention_processor import AttnAddedKVProcessor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.models.families import registry
from stepscope.tracing.call import trace
from stepscope.tracing.trace import steps_of
from support import tiny
from support.traced import CASES, ONE, call, hooks, loaded, replaying, traced


def test_everything_is_restored_after_an_exception(sd1):
    own = type(sd1)

    def callback(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), trace(sd1):
        call(sd1, **ONE, callback_on_step_end=callback)
    assert type(sd1) is own
    assert hooks(sd1) == 0


def test_a_prompt_changed_on_the_way_is_refused(sd1):
    def callback(pipe, index, timestep, tensors):
        return {"prompt_embeds": tensors["prompt_embeds"] * 2}

    with trace(sd1) as tracer:
        call(
            sd1,
            **ONE,
            callback_on_step_end=callback,
            callback_on_step_end_tensor_inputs=["prompt_embeds"],
        )
    with pytest.raises(ValueError, match="changed before step 2"):
        tracer.result()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "cat " * 40}, "42 tokens"),
        ({"prompt": "a cat", "negative_prompt": "cat " * 40}, "negative_prompt: .*42 tokens"),
        (
            {"prompt": ["a"] * 2, "negative_prompt": ["", "cat " * 40]},
            "negative_prompt: .*42 tokens",
        ),
        ({"prompt": "a cat", "clip_skip": 1}, "clip_skip"),
        ({"prompt": "a cat", "eta": 0.5}, "eta"),
        ({"prompt": None, "prompt_embeds": torch.zeros(1, 24, 32)}, "prompt_embeds"),
    ],
)
def test_what_cannot_be_replayed_is_refused_before_the_run(sd1, options, message):
    with pytest.raises(ValueError, match=message), trace(sd1):
        sd1(num_inference_steps=2, **options)
    assert hooks(sd1) == 0


def test_captions_are_refused_where_cleaning_changes_their_words(monkeypatch):
    pipeline = loaded("tiny_pixart")
    options = {"prompt": "A red cat", "num_inference_steps": 3, "use_resolution_binning": False}
    with trace(pipeline) as tracer:  # clean_caption, which is on by default, changes nothing here
        pipeline(**options)
    assert [word.text for word in tracer.result().words[0]] == ["a", "red", "cat"]
    monkeypatch.setattr(
        pipeline, "_text_preprocessing", lambda text, clean: [text.lower()[: 5 if clean else None]]
    )
    with pytest.raises(ValueError, match="makes 'a red' of 'A red cat'.*clean_caption=False"):
        with trace(pipeline):
            pipeline(**options)


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_pixart", "tiny_sd3"])
def test_sizes_between_multiples_are_refused_with_the_next(kind):
    with pytest.raises(ValueError, match=r"^width: 76 is no multiple of 8, .*: 72 or 80 is\.$"):
        with trace(loaded(kind)):
            call(loaded(kind), **ONE, height=72, width=76)
    assert hooks(loaded(kind)) == 0


def test_clipping_schedulers_are_refused(sd1, monkeypatch):
    monkeypatch.setattr(sd1, "scheduler", DDPMScheduler(clip_sample=True))
    with pytest.raises(ValueError, match="clip_sample"), trace(sd1):
        call(sd1, **ONE)


@pytest.mark.parametrize(
    "kind",
    [
        PNDMScheduler,  # what the hub's Stable Diffusion 1 comes with
        UniPCMultistepScheduler,
        HeunDiscreteScheduler,
        EulerAncestralDiscreteScheduler,
    ],
)
def test_schedulers_without_replay_are_refused_by_name(sd1, monkeypatch, kind):
    found = traced(sd1, **ONE)[1]
    monkeypatch.setattr(sd1, "scheduler", kind.from_config(sd1.scheduler.config))
    refusal = f"the steps of {kind.__name__} cannot be replayed"
    with pytest.raises(ValueError, match=refusal), trace(sd1):
        call(sd1, **ONE)
    with pytest.raises(ValueError, match=refusal):
        replaying(sd1, found)


@pytest.mark.parametrize("steps", [2, 4, 30])
def test_steps_of_another_sampling_are_refused(pipeline, batch, steps):
    sampling = {"kind": "uniform", "steps": steps}
    denoiser = Denoiser(pipeline, sampling=sampling, guidance=batch.guidance)
    step = steps_of(batch, 0)[2]
    with pytest.raises(ValueError, match="step 3 at log-SNR .* is no step of this sampling"):
        denoiser.outputs(step.latent[None], step)


def test_an_unsupported_attention_stops_before_the_run(sd1):
    own = sd1.unet.attn_processors
    sd1.unet.set_attn_processor(AttnAddedKVProcessor())
    try:
        with pytest.raises(ValueError, match=r"attn2: .* AttnAddedKV"), trace(sd1):
            call(sd1, **ONE)
    finally:
        sd1.unet.set_attn_processor(own)


def test_an_attention_that_never_ran_is_reported(sd1):
    module = sd1.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    module.forward = lambda hidden_states, **_: hidden_states
    try:
        with trace(sd1) as tracer:
            call(sd1, **ONE)
        with pytest.raises(ValueError, match=r"attn2: .* 0 times in 3 steps"):
            tracer.result()
    finally:
        del module.forward


def test_one_block_records_one_call(sd1):
    with trace(sd1):
        call(sd1, **ONE)
        with pytest.raises(ValueError, match="one call"):
            call(sd1, **ONE)


def test_a_block_holds_no_other(sd1):
    sister = StableDiffusionPipeline(**sd1.components, requires_safety_checker=False)
    plain = call(sd1, **ONE)
    with trace(sd1) as tracer:
        for pipeline in (sd1, sister):  # the second shares the network
            with pytest.raises(ValueError, match="being traced already"), trace(pipeline):
                pass
        assert np.array_equal(call(sd1, **ONE), plain)
    assert len(tracer.result().latents) == 1
    assert type(sd1) is StableDiffusionPipeline
    assert hooks(sd1) == 0


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ([{"subject": "cat"}], "there are 1 for 2 prompts"),
        ({"subject": "cat"}, "there are 1 for 2 prompts"),  # whose it is is not known
        ([{}, {}, {}], "there are 3 for 2 prompts"),
    ],
)
def test_roles_that_are_not_those_of_the_prompts_are_refused(sd1, roles, message):
    with pytest.raises(ValueError, match=f"^trace: roles .*{message}"), trace(sd1, roles):
        call(sd1, **CASES["batch"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance_scale": float("nan")}, "guidance is nan"),
        ({"guidance_scale": float("inf")}, "guidance is inf"),
        ({"guidance_rescale": float("nan")}, "guidance_rescale is nan"),
        ({"timesteps": [10, 500, 999]}, "timesteps must descend without repeating"),
        ({"timesteps": [999, 500, 500]}, "timesteps must descend without repeating"),
        ({"timesteps": [1500, 10]}, "timesteps must .* below 1000"),
        ({"timesteps": [999, -20]}, "timesteps must .* at least 0"),
        ({"sigmas": [10.0, float("nan"), 0.0]}, "sigmas must descend"),
        ({"sigmas": [float("inf"), 1.0, 0.0]}, "sigmas must descend"),
    ],
)
def test_numbers_without_meaning_are_refused_before_the_run(sd1, options, message):
    with pytest.raises(ValueError, match=f"^trace: {message}"), trace(sd1):
        call(sd1, **ONE, **options)
    assert hooks(sd1) == 0


def whole(unet):
    return torch.compile(unet, backend="eager")


def in_place(unet):
    unet.compile(backend="eager")
    return unet


def a_block(unet):
    unet.mid_block.compile(backend="eager")
    return unet


@pytest.mark.parametrize(
    ("compiled", "message"),
    [
        (whole, r"^pipeline\.unet is compiled, .* set pipeline\.unet = pipeline\.unet\._orig_mod"),
        (in_place, r"^pipeline\.unet is compiled, .* load the pipeline again"),
        (a_block, r"^pipeline\.unet\.mid_block is compiled"),
    ],
)
def test_a_compiled_network_is_refused_before_the_run(compiled, message):
    pipeline = tiny.tiny_sd1()
    pipeline.unet = compiled(pipeline.unet)  # nothing is compiled before it is called
    with pytest.raises(ValueError, match=message), trace(pipeline):
        call(pipeline, **ONE)
    with pytest.raises(ValueError, match=message):
        Denoiser(pipeline, sampling={"kind": "uniform", "steps": 3}, guidance=4.0)
    if compiled is whole:
        pipeline.unet = pipeline.unet._orig_mod
        assert len(traced(pipeline, **ONE)[1].latents) == 1


@pytest.mark.parametrize("kind", ["tiny_sd1", "tiny_sd3"])
def test_the_way_back_from_fused_projections_works(kind):
    pipeline = getattr(tiny, kind)()
    own, network = call(pipeline, **ONE), registry.family_of(pipeline).network
    network.fuse_qkv_projections()
    with pytest.raises(ValueError, match="with Fused.* cannot be traced; call") as error:
        traced(pipeline, **ONE)
    statement, module = re.search(r"call (.*), with that of (.*)\.$", str(error.value)).groups()
    exec(f"from {module} import *\n{statement}", {"pipeline": pipeline})
    pictures, found = traced(pipeline, **ONE)
    np.testing.assert_allclose(pictures, own, atol=1e-4)
    assert found.attention
