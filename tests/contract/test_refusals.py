"""What cannot be traced or replayed is refused by name, and nothing is left behind."""

import pytest
import torch
from diffusers import (
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.models.attention_processor import AttnAddedKVProcessor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.tracing.call import trace
from stepscope.tracing.trace import steps_of
from support.traced import ONE, call, hooks, loaded, replaying, traced


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


def test_cleaned_captions_are_refused():
    with pytest.raises(ValueError, match="clean_caption"), trace(loaded("tiny_pixart")):
        call(loaded("tiny_pixart"), **ONE, clean_caption=True)


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
