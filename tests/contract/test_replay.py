"""A replayed step is the traced one, on real pipelines."""

import dataclasses
import functools

import pytest
import torch
from diffusers import DDIMScheduler

from stepscope.diffusion.continuation import Branch, continued
from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.prediction import levels
from stepscope.diffusion.samplings import make_scheduler
from stepscope.models import rewording
from stepscope.tracing.trace import steps_of
from support import tiny
from support.traced import (
    CASES,
    ONE,
    PIPELINES,
    PROMPTS,
    UNIFORM,
    generated,
    loaded,
    replaying,
    rows,
    traced,
)


@pytest.mark.parametrize("order", [2, 3])
def test_multistep_solvers_replay_with_their_history(pipeline, order):
    scheduler, own = {"name": "dpmsolver++", "order": order}, pipeline.scheduler
    pipeline.scheduler = make_scheduler(scheduler, own, UNIFORM)
    try:
        _, found = traced(pipeline, **CASES["batch"], num_inference_steps=5)
    finally:
        pipeline.scheduler = own
    assert found.solver["model_outputs"].shape[:3] == (2, 5, order - 1)
    denoiser = replaying(pipeline, found, scheduler=scheduler)
    for sample in range(2):
        for step in reversed(steps_of(found, sample)):
            after = denoiser.advance(step.latent[None], denoiser.guided(step.outputs[None]), step)
            assert torch.equal(after[0], step.after)


def test_a_switch_to_the_same_prompt_is_the_stored_trajectory_bitwise(pipeline, batch):
    denoiser = replaying(pipeline, batch)
    stored = [steps_of(batch, sample, prompt_id=str(sample)) for sample in range(2)]
    own = [steps[0].conditioning for steps in stored]
    texts = [(prompt, ()) for prompt in (*PROMPTS, *reversed(PROMPTS))]
    encoded = rewording.with_texts(denoiser.family, [*own, *own], texts)
    same, other = encoded[:2], encoded[2:]
    branches = [Branch(steps, 1, again) for steps, again in zip(stored, same, strict=True)]
    branches += [Branch(steps, 2, steps[0].conditioning) for steps in stored]
    branches += [Branch(steps, 2, swapped) for steps, swapped in zip(stored, other, strict=True)]
    finals = continued(denoiser, branches, 2)  # as many rows a call as were traced together
    for final, steps in zip(finals[:4], [*stored, *stored], strict=True):
        assert torch.equal(final, steps[-1].after)
    for final, steps in zip(finals[4:], stored, strict=True):
        assert not torch.allclose(final, steps[-1].after)


@pytest.mark.parametrize("order", [2, 3])
def test_continuations_take_the_history_of_a_multistep_solver_along(sd1, monkeypatch, order):
    scheduler = {"name": "dpmsolver++", "order": order}
    monkeypatch.setattr(sd1, "scheduler", make_scheduler(scheduler, sd1.scheduler, UNIFORM))
    _, found = traced(sd1, **ONE, num_inference_steps=5)
    steps = steps_of(found, 0)
    branches = [Branch(steps, start, steps[0].conditioning) for start in (1, 2, 4)]
    finals = continued(replaying(sd1, found, scheduler=scheduler), branches, 1)
    assert all(torch.equal(final, steps[-1].after) for final in finals)


def test_every_representation_of_a_prediction_is_the_same(pipeline, batch):
    denoiser = replaying(pipeline, batch)
    for step in steps_of(batch, 0):
        latent, output = step.latent[None], denoiser.guided(step.outputs[None])
        clean = denoiser.clean(latent, output, step)
        torch.testing.assert_close(clean[0], step.denoised)
        alpha, sigma = levels(step.log_snr, denoiser.prediction_type)
        noise = denoiser.noise(latent, output, step)
        torch.testing.assert_close(alpha * clean + sigma * noise, latent, rtol=1e-4, atol=1e-4)


def test_encoding_reproduces_the_stored_conditioning_bitwise(pipeline):
    _, found = traced(pipeline, **ONE)
    (step, *_) = steps_of(found, 0)
    with torch.no_grad():
        encoded = replaying(pipeline, found).encode(step.prompt)
    for name, tensor in encoded.items():
        assert torch.equal(tensor, step.conditioning[name][1]), name


def test_without_a_word_changes_the_prompt_from_that_word_on(pipeline):
    _, found = traced(pipeline, **ONE)
    (step, *_) = steps_of(found, 0)
    denoiser, word = replaying(pipeline, found), step.words[2]
    changed = denoiser.without(step, word)
    assert changed.keys() == step.conditioning.keys()
    embeds, own = changed["prompt_embeds"], step.conditioning["prompt_embeds"]
    first = word.tokens[0]
    assert torch.equal(embeds[0], own[0])
    assert not torch.allclose(embeds[1, first], own[1, first])
    if "prompt_attention_mask" in changed:  # padding is masked, in the word's place too
        mask = changed["prompt_attention_mask"][1] - step.conditioning["prompt_attention_mask"][1]
        assert mask.nonzero().flatten().tolist() == list(word.tokens)
    else:  # the encoder is causal
        torch.testing.assert_close(embeds[1, :first], own[1, :first])
    both = denoiser.without(step, word, step.words[6])["prompt_embeds"]
    assert not torch.allclose(both, embeds)
    for name in {"text_embeds", "pooled_prompt_embeds"} & changed.keys():
        assert not torch.allclose(changed[name][1], step.conditioning[name][1])


def test_outputs_are_differentiable(pipeline):
    _, found = traced(pipeline, **ONE)
    (step, *_) = steps_of(found, 0)
    latent = step.latent[None].clone().requires_grad_()
    replaying(pipeline, found).outputs(latent, step)[:, 1].sum().backward()
    assert latent.grad.abs().sum() > 0


SPECS = {"euler": {"name": "euler"}, "dpm": {"name": "dpmsolver++"}, "ddpm": {"name": "ddpm"}}
SCHEDULED = [(name, spec) for name in PIPELINES for spec in SPECS]
SCHEDULED.remove(("tiny_sd3", "ddpm"))  # there is no such flow


@functools.cache
def scheduled(name, kind):
    """A denoiser with another scheduler, and its trace of two prompts."""
    pipeline = loaded(name)
    own = pipeline.scheduler
    pipeline.scheduler = make_scheduler(SPECS[kind], own, UNIFORM)
    try:
        _, found = traced(pipeline, **CASES["batch"])
        return replaying(pipeline, found), found
    finally:
        pipeline.scheduler = own


@pytest.mark.parametrize(("name", "kind"), SCHEDULED)
def test_rows_of_several_steps_are_each_step_alone(name, kind):
    denoiser, found = scheduled(name, kind)
    first, second = (steps_of(found, sample, seed=sample) for sample in range(2))
    steps = [second[2], first[0], first[0], second[1]]
    latents = torch.stack([step.latent for step in steps])
    with torch.no_grad():
        outputs = denoiser.outputs(latents, steps)
        without = [denoiser.without(step, step.words[0]) for step in steps]
        conditioning = {name: torch.stack([one[name] for one in without]) for name in without[0]}
        changed = denoiser.conditional(latents, steps, conditioning)
    guided = denoiser.guided(outputs)
    clean, noise = denoiser.clean(latents, guided, steps), denoiser.noise(latents, guided, steps)
    after = denoiser.advance(latents, guided, steps)
    for row, step in enumerate(steps):
        alone = latents[row : row + 1], step
        with torch.no_grad():
            close(outputs[row], denoiser.outputs(*alone)[0])
            close(changed[row], denoiser.conditional(*alone, without[row])[0])
        output = guided[row : row + 1]
        assert torch.equal(clean[row], denoiser.clean(alone[0], output, step)[0])
        assert torch.equal(noise[row], denoiser.noise(alone[0], output, step)[0])
        assert torch.equal(after[row], denoiser.advance(alone[0], output, step)[0])
    with pytest.raises(ValueError, match="^steps: 4 steps stand beside 3 rows"):
        denoiser.outputs(latents[:3], steps)


def close(found, expected):
    """Within 1e-5 of the largest value."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", [name for name in PIPELINES if name != "shipped"])
def test_texts_encoded_together_are_those_encoded_alone(name):
    denoiser, found = scheduled(name, "dpm")
    first, second = (steps_of(found, sample)[0] for sample in range(2))
    changes = [(first, ()), (second, second.words[:1]), (first, first.words[1:3])]
    for (step, words), together in zip(changes, denoiser.without_each(changes), strict=True):
        alone = denoiser.without(step, *words)
        assert together.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(together[key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), SCHEDULED)
def test_other_schedulers_keep_their_scale(name, kind):
    denoiser, found = scheduled(name, kind)
    torch.testing.assert_close(found.denoised[:, -1], found.latents[:, -1], rtol=1e-4, atol=1e-4)
    for sample in range(2):
        for step in steps_of(found, sample):
            with torch.no_grad():
                outputs = denoiser.outputs(rows(step.latent, 2, sample), step)
            assert torch.equal(outputs[sample], step.outputs)
            output = denoiser.guided(step.outputs[None])
            clean = denoiser.clean(step.latent[None], output, step)
            torch.testing.assert_close(clean[0], step.denoised, rtol=1e-4, atol=1e-4)
            after = denoiser.advance(
                rows(step.latent, 2, sample), output.expand(2, -1, -1, -1), step
            )
            if kind != "ddpm":
                assert torch.equal(after[sample], step.after)


def test_random_steps_are_the_same_for_every_latent_and_again(sd1):
    scheduler, sampling = {"name": "ddpm"}, {"kind": "uniform", "steps": 4}
    found = generated(sd1, sampling)
    denoiser = Denoiser(sd1, sampling=sampling, scheduler=scheduler, guidance=4.0)
    step = steps_of(found, 0)[1]
    step = dataclasses.replace(step, log_snr=denoiser.log_snr(step.number))
    output = denoiser.guided(step.outputs[None])
    one = denoiser.advance(step.latent[None], output, step)
    both = denoiser.advance(torch.stack([step.latent] * 2), output.expand(2, -1, -1, -1), step)
    assert torch.equal(both[0], one[0])
    assert torch.equal(both[1], one[0])
    own = denoiser.advance(step.latent[None], output, step, torch.Generator().manual_seed(3))
    assert not torch.equal(own, one)
    seeded = dataclasses.replace(step, seed=step.seed + 1)
    assert not torch.equal(denoiser.advance(step.latent[None], output, seeded), one)


def test_a_replay_that_does_not_fit_into_memory_is_halved(pipeline, batch, monkeypatch):
    denoiser, step = replaying(pipeline, batch), steps_of(batch, 1)[1]
    latents = torch.randn(5, *step.latent.shape, generator=torch.Generator().manual_seed(0))
    # one row has a prompt of its own, which must stay with its row
    mixed = {name: torch.stack([value] * 5) for name, value in step.conditioning.items()}
    other = steps_of(batch, 0)[1].conditioning
    for name, value in other.items():
        mixed[name][4] = value
    with torch.no_grad():
        whole, pictures = denoiser.outputs(latents, step, mixed), denoiser.decode(latents)
    sizes = []

    def limited(function, most):
        def called(some, *args, **kwargs):
            sizes.append(len(some))
            if len(some) > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return function(some, *args, **kwargs)

        return called

    with monkeypatch.context() as patched:
        patched.setattr(denoiser.family, "run", limited(denoiser.family.run, 4))
        patched.setattr(pipeline.vae, "decode", limited(pipeline.vae.decode, 2))
        with torch.no_grad():
            halved, again = denoiser.outputs(latents, step, mixed), denoiser.decode(latents)
        assert sizes == [10, 6, 4, 4, 2, 5, 3, 2, 2, 1]
        with pytest.raises(torch.OutOfMemoryError), torch.enable_grad():
            denoiser.outputs(latents, step)
    torch.testing.assert_close(halved, whole, rtol=1e-4, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(again, pictures, rtol=1e-4, atol=1e-5)
    assert (denoiser.fitting_calls.limit, denoiser.fitting_pictures.limit) == (2, 2)


@pytest.mark.parametrize(
    "kind", [name for name in PIPELINES if name not in ("shipped", "tiny_alpha")]
)
def test_half_precision_replays_bitwise(kind):
    pipeline = getattr(tiny, kind)().to(torch.bfloat16)
    _, found = traced(pipeline, **CASES["batch"])
    assert found.latents.dtype == torch.bfloat16
    assert all(maps.dtype == torch.float32 for maps in found.attention.values())
    denoiser = replaying(pipeline, found)
    for step in steps_of(found, 1):
        latents = torch.stack([step.latent, step.latent]).float()  # as a store gives it back
        with torch.no_grad():
            outputs = denoiser.outputs(latents, step)
        assert torch.equal(outputs[1], step.outputs)
        after = denoiser.advance(latents, denoiser.guided(outputs), step)
        assert torch.equal(after[1], step.after)


def test_a_text_encoder_left_out_is_padding_alone():
    pipeline = tiny.tiny_sd3()
    pipeline.register_modules(text_encoder_3=None, tokenizer_3=None)
    _, found = traced(pipeline, **CASES["batch"])
    names = found.token_text[0]
    assert names[-3:] == ["<padding>", "<padding>", "<image>"]
    assert ["".join(names[i] for i in word.tokens) for word in found.words[0]] == (
        PROMPTS[0].split()
    )
    denoiser = replaying(pipeline, found)
    for step in steps_of(found, 1):
        with torch.no_grad():
            outputs = denoiser.outputs(rows(step.latent, 2, 1), step)
        assert torch.equal(outputs[1], step.outputs)
    assert denoiser.without(step, step.words[1]).keys() == step.conditioning.keys()


def test_a_pipelines_own_ddim_replays_bitwise(sd1, monkeypatch):
    ddim = DDIMScheduler.from_config(sd1.scheduler.config, clip_sample=False)
    monkeypatch.setattr(sd1, "scheduler", ddim)
    found = traced(sd1, **ONE)[1]
    denoiser = replaying(sd1, found)
    for step in steps_of(found, 0):
        with torch.no_grad():
            outputs = denoiser.outputs(step.latent[None], step)
        assert torch.equal(outputs[0], step.outputs)
        after = denoiser.advance(step.latent[None], denoiser.guided(outputs), step)
        assert torch.equal(after[0], step.after)


def test_a_distilled_model_has_one_half_and_replays():
    pipeline = tiny.tiny_sd1()
    pipeline.unet = tiny._unet(time_cond_proj_dim=8)  # guidance is an input of the network
    _, found = traced(pipeline, **CASES["batch"])
    assert found.outputs[:, :, 0].isnan().all()
    assert found.guidance == 1.0
    assert found.conditioning["timestep_cond"].shape == (2, 2, 8)
    denoiser = replaying(pipeline, found)
    for step in steps_of(found, 1):
        with torch.no_grad():
            outputs = denoiser.outputs(rows(step.latent, 2, 1), step)
        assert torch.equal(outputs[1, 1], step.outputs[1])
