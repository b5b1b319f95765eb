"""Tracing is invisible and complete, and a replayed step is the traced one, on real pipelines."""

import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

import tiny
from stepscope import models
from stepscope.denoiser import Denoiser, steps_of
from stepscope.samplings import make_scheduler
from stepscope.tracing import generate, trace

SHIPPED = Path(__file__).parents[2] / "resources" / "models" / "pipeline"
PROMPTS = ["a red cat on a zebra cat", "the ball"]
ONE = {"prompt": PROMPTS[0]}
CASES = {
    "batch": {"prompt": PROMPTS},
    "several": {"prompt": PROMPTS, "num_images_per_prompt": 2},
    "unguided": {"prompt": PROMPTS, "guidance_scale": 1.0},
    "wide": {"prompt": PROMPTS, "height": 48, "width": 72},  # odd at the next level
    "negative": {"prompt": PROMPTS, "negative_prompt": ["a dog", "blue"]},
    "rescaled": {"prompt": PROMPTS, "guidance_rescale": 0.7},
}


PIPELINES = ["tiny_sd1", "tiny_sd2", "tiny_xl", *["shipped"] * SHIPPED.is_dir()]


@pytest.fixture(scope="module", params=PIPELINES)
def pipeline(request):
    if request.param == "shipped":
        return models.load({"folder": str(SHIPPED)})
    return getattr(tiny, request.param)()


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def run(pipeline, case):
    """One traced call and what it looked like from outside."""
    own, before = type(pipeline), hooks(pipeline)
    plain = call(pipeline, **case)
    pictures, found = traced(pipeline, **case)
    restored = type(pipeline) is own and hooks(pipeline) == before
    return SimpleNamespace(plain=plain, pictures=pictures, found=found, restored=restored)


@pytest.fixture(scope="module")
def batch(pipeline):
    """Trace of a batch of two prompts."""
    return traced(pipeline, **CASES["batch"])[1]


@pytest.fixture(scope="module")
def sd1():
    return tiny.tiny_sd1()


def call(pipeline, **options):
    """Pictures of a pipeline call with three steps, one seeded generator a picture."""
    prompt = options["prompt"]
    count = 1 if isinstance(prompt, str) else len(prompt)
    count *= options.get("num_images_per_prompt", 1)
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    settings = {"num_inference_steps": 3, "guidance_scale": 4.0, "output_type": "np"} | options
    return pipeline(generator=generators, **settings).images


def traced(pipeline, **options):
    with trace(pipeline) as tracer:
        pictures = call(pipeline, **options)
    return pictures, tracer.result()


def replaying(pipeline, found, **options):
    sampling = {"kind": "uniform", "steps": len(found.timesteps)}
    return Denoiser(
        pipeline,
        sampling=sampling,
        guidance=found.guidance,
        guidance_rescale=found.guidance_rescale,
        **options,
    )


def hooks(pipeline):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in pipeline.unet.modules()
    )


def cross_attention(pipeline):
    """Names of the processors whose attention is given the text in an untraced call."""
    names, added = set(), []

    def called(name, module, args, kwargs):
        if kwargs.get("encoder_hidden_states") is not None:
            names.add(f"{name}.processor")

    for name, module in pipeline.unet.named_modules():
        if type(module).__name__ == "Attention":
            hook = functools.partial(called, name)
            added.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    call(pipeline, **ONE, num_inference_steps=1)
    for hook in added:
        hook.remove()
    return names


def rows(latent, count, index):
    """A batch that has ``latent`` at ``index`` and something else around it."""
    batch = torch.randn(count, *latent.shape, generator=torch.Generator().manual_seed(0))
    batch[index] = latent
    return batch


def test_traced_and_untraced_pictures_are_bitwise_equal(run):
    assert np.array_equal(run.plain, run.pictures)
    assert run.restored
    assert len(run.found.latents) == len(run.plain)
    assert run.found.latents.shape[1] == 4


def test_trace_holds_what_the_pipeline_decoded(pipeline, run):
    with torch.no_grad():
        decoded = replaying(pipeline, run.found).decode(run.found.latents[:, -1])
    assert np.array_equal(decoded.permute(0, 2, 3, 1).numpy(), run.pictures)
    # the last step ends without noise, in the guided clean prediction
    torch.testing.assert_close(
        run.found.denoised[:, -1], run.found.latents[:, -1], rtol=1e-5, atol=1e-5
    )


def test_attention_sums_to_one_over_a_prompts_tokens(run):
    for maps in run.found.attention.values():
        for sample, names in enumerate(run.found.token_text):
            inside = maps[sample, :, : len(names)]
            torch.testing.assert_close(inside.sum(1), torch.ones_like(inside[:, 0]))
            assert maps[sample, :, len(names) :].isnan().all()


def test_attention_grids_are_levels_of_the_latent(run):
    h, w = run.found.latents.shape[-2:]
    levels = {(-(-h // 2**level), -(-w // 2**level)) for level in range(4)}
    assert run.found.attention.keys() <= levels


def test_unguided_half_is_nan_never_a_copy(pipeline):
    _, found = traced(pipeline, **CASES["unguided"])
    assert found.outputs[:, :, 0].isnan().all()
    assert found.conditioning["prompt_embeds"][:, 0].isnan().all()
    assert not found.outputs[:, :, 1].isnan().any()


def test_replayed_outputs_equal_the_trace_bitwise(pipeline, run):
    denoiser = replaying(pipeline, run.found)
    count = len(run.found.latents)
    for sample in {0, count - 1}:
        for step in reversed(steps_of(run.found, sample)):  # in any order
            with torch.no_grad():
                outputs = denoiser.outputs(rows(step.latent, count, sample), step)
            assert torch.equal(outputs[sample].nan_to_num(), step.outputs.nan_to_num())
            assert torch.equal(outputs[sample].isnan(), step.outputs.isnan())


def test_replayed_steps_equal_the_trace_bitwise(pipeline, run):
    denoiser = replaying(pipeline, run.found)
    for sample in range(len(run.found.latents)):
        for step in reversed(steps_of(run.found, sample)):
            after = denoiser.advance(step.latent[None], denoiser.guided(step.outputs[None]), step)
            assert torch.equal(after[0], step.after)


@pytest.mark.parametrize("order", [2, 3])
def test_multistep_solvers_replay_with_their_history(pipeline, order):
    scheduler, own = {"name": "dpmsolver++", "order": order}, pipeline.scheduler
    pipeline.scheduler = make_scheduler(scheduler, own.config)
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


def test_every_representation_of_a_prediction_is_the_same(pipeline, batch):
    denoiser = replaying(pipeline, batch)
    for step in steps_of(batch, 0):
        latent, output = step.latent[None], denoiser.guided(step.outputs[None])
        clean = denoiser.clean(latent, output, step)
        torch.testing.assert_close(clean[0], step.denoised)
        alpha = torch.sigmoid(torch.tensor(step.log_snr)) ** 0.5
        sigma = torch.sigmoid(-torch.tensor(step.log_snr)) ** 0.5
        noise = denoiser.noise(latent, output, step)
        torch.testing.assert_close(alpha * clean + sigma * noise, latent, rtol=1e-4, atol=1e-4)


def test_words_find_their_tokens_in_the_attention(pipeline):
    _, found = traced(pipeline, **CASES["several"])
    assert len(found.words) == 4
    assert found.prompts == [PROMPTS[0]] * 2 + [PROMPTS[1]] * 2
    names, words = found.token_text[0], found.words[0]
    assert [word.text for word in words] == PROMPTS[0].split()
    assert ["".join(names[i] for i in word.tokens) for word in words] == PROMPTS[0].split()
    assert names[-1] == "<padding>"
    assert not {*words[2].tokens} & {*words[6].tokens}  # the two cats


def test_several_pictures_of_a_prompt_have_their_own_attention(pipeline):
    _, several = traced(pipeline, **CASES["several"])
    for maps in several.attention.values():
        assert not torch.equal(maps[0, :, 1], maps[1, :, 1])
    with trace(pipeline) as tracer:
        pipeline(
            prompt=PROMPTS[1],
            generator=torch.Generator().manual_seed(3),
            num_inference_steps=3,
            guidance_scale=4.0,
        )
    alone = tracer.result()
    for size, maps in alone.attention.items():
        tokens = maps.shape[2]
        torch.testing.assert_close(
            several.attention[size][3, :, :tokens], maps[0], rtol=1e-4, atol=1e-5
        )


class _Reference:
    """An attention processor that keeps the library's own explicit probabilities."""

    def __init__(self):
        self.kept = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(projected)
            for projected in (
                attn.to_q(hidden_states),
                attn.to_k(context),
                attn.to_v(context),
            )
        )
        scores = attn.get_attention_scores(query, key)
        self.kept.append(scores.unflatten(0, (-1, attn.heads)).mean(1))
        return attn.to_out[0](attn.batch_to_head_dim(scores @ value))


def test_attention_is_the_librarys_own(pipeline):
    _, found = traced(pipeline, **CASES["batch"], num_inference_steps=1)
    own, cross = pipeline.unet.attn_processors, cross_attention(pipeline)
    kept = {name: _Reference() if name in cross else own[name] for name in own}
    pipeline.unet.set_attn_processor(dict(kept))
    call(pipeline, **CASES["batch"], num_inference_steps=1)
    pipeline.unet.set_attn_processor(own)
    for (h, w), maps in found.attention.items():
        layers = [
            reference.kept[0]
            for reference in kept.values()
            if isinstance(reference, _Reference) and reference.kept[0].shape[1] == h * w
        ]
        mean = torch.stack(layers).mean(0)[-2:]  # (sample, query, key), the prompts' half
        for sample, names in enumerate(found.token_text):
            end = len(names) - 1
            merged = torch.cat([mean[sample, :, :end], mean[sample, :, end:].sum(1)[:, None]], 1)
            expected = merged.T.unflatten(-1, (h, w))
            torch.testing.assert_close(maps[sample, 0, : end + 1], expected, rtol=1e-4, atol=1e-5)


def test_audit_counts_modules_and_calls(pipeline, batch):
    audit = batch.audit
    blocks = len(cross_attention(pipeline))
    assert audit["cross_attention"] == audit["traced"] == blocks
    assert audit["attention_modules"] == audit["cross_attention"] + audit["self_attention"]
    assert audit["calls_seen"] == audit["calls_expected"] == 3 * blocks


def test_encoding_reproduces_the_stored_conditioning_bitwise(pipeline):
    _, found = traced(pipeline, **ONE)
    (step, *_) = steps_of(found, 0)
    for name, tensor in replaying(pipeline, found).encode(step.prompt).items():
        assert torch.equal(tensor, step.conditioning[name][1])


def test_without_a_word_changes_the_prompt_from_that_word_on(pipeline):
    _, found = traced(pipeline, **ONE)
    (step, *_) = steps_of(found, 0)
    denoiser, word = replaying(pipeline, found), step.words[2]
    changed = denoiser.without(step, word)
    assert changed.keys() == step.conditioning.keys()
    embeds, own = changed["prompt_embeds"], step.conditioning["prompt_embeds"]
    first = word.tokens[0]
    assert torch.equal(embeds[0], own[0])
    torch.testing.assert_close(embeds[1, :first], own[1, :first])  # a causal encoder
    assert not torch.allclose(embeds[1, first], own[1, first])
    both = denoiser.without(step, word, step.words[6])["prompt_embeds"]
    assert not torch.allclose(both, embeds)
    if "text_embeds" in changed:
        assert not torch.allclose(changed["text_embeds"][1], step.conditioning["text_embeds"][1])


def test_outputs_are_differentiable(pipeline):
    _, found = traced(pipeline, **ONE)
    (step, *_) = steps_of(found, 0)
    latent = step.latent[None].clone().requires_grad_()
    replaying(pipeline, found).outputs(latent, step)[:, 1].sum().backward()
    assert latent.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "scheduler",
    [EulerDiscreteScheduler, DPMSolverMultistepScheduler, DDPMScheduler],
    ids=lambda kind: kind.__name__,
)
def test_other_schedulers_keep_their_scale(pipeline, scheduler):
    own = pipeline.scheduler
    options = {"clip_sample": False} if scheduler is DDPMScheduler else {}
    pipeline.scheduler = scheduler.from_config(own.config, **options)
    try:
        _, found = traced(pipeline, **CASES["batch"])
        denoiser = replaying(pipeline, found)
    finally:
        pipeline.scheduler = own
    torch.testing.assert_close(found.denoised[:, -1], found.latents[:, -1], rtol=1e-4, atol=1e-4)
    for sample in range(2):
        for step in steps_of(found, sample):
            with torch.no_grad():
                outputs = denoiser.outputs(rows(step.latent, 2, sample), step)
            assert torch.equal(outputs[sample], step.outputs)
            output = denoiser.guided(step.outputs[None])
            clean = denoiser.clean(step.latent[None], output, step)
            torch.testing.assert_close(clean[0], step.denoised, rtol=1e-4, atol=1e-4)
            if scheduler is not DDPMScheduler:
                assert torch.equal(denoiser.advance(step.latent[None], output, step)[0], step.after)


def test_log_snr_and_sigmas_are_those_of_the_time_steps(pipeline):
    _, found = generated(pipeline, {"kind": "early", "steps": 4, "gamma": 60})
    kept = pipeline.scheduler.alphas_cumprod.double().numpy()[found.timesteps.astype(int)]
    np.testing.assert_allclose(found.log_snr, np.log(kept / (1 - kept)), rtol=1e-6)
    np.testing.assert_allclose(found.sigmas[:-1], np.sqrt((1 - kept) / kept), rtol=1e-6)
    assert found.sigmas[-1] == 0


def generated(pipeline, sampling, prompts=PROMPTS, seeds=(5, 6), guidance=4.0):
    return generate(
        pipeline,
        list(prompts),
        list(seeds),
        sampling=sampling,
        guidance=guidance,
        negative_prompt="",
        height=None,
        width=None,
        scheduler={"name": "dpmsolver++", "order": 1},
        roles=[{"subject": "cat"}, {"object": "ball"}][: len(prompts)],
    )


def test_generate_seeds_each_sample(pipeline):
    own, sampling = pipeline.scheduler, {"kind": "custom", "timesteps": [999, 500, 20]}
    pictures, found = generated(pipeline, sampling)
    assert pipeline.scheduler is own
    assert pictures.dtype == np.uint8
    assert pictures.shape[0] == 2
    assert found.timesteps.tolist() == [999, 500, 20]
    assert [word.role for word in found.words[0]] == ["", "", "subject", "", "", "", "subject"]
    _, alone = generated(pipeline, sampling, PROMPTS[:1], seeds=[5])
    assert torch.equal(alone.latents[0, 0], found.latents[0, 0])
    scale = found.latents[0].abs().max()
    assert (alone.latents[0] - found.latents[0]).abs().max() <= 1e-5 * scale


def test_half_precision_replays_bitwise():
    pipeline = tiny.tiny_sd1().to(torch.bfloat16)
    _, found = traced(pipeline, **CASES["batch"])
    assert found.latents.dtype == torch.bfloat16
    denoiser = replaying(pipeline, found)
    for step in steps_of(found, 1):
        latents = torch.stack([step.latent, step.latent]).float()  # as a store gives it back
        with torch.no_grad():
            outputs = denoiser.outputs(latents, step)
        assert torch.equal(outputs[1], step.outputs)
        after = denoiser.advance(latents, denoiser.guided(outputs), step)
        assert torch.equal(after[1], step.after)


def test_a_users_callback_still_works_and_its_latents_are_traced(sd1):
    seen = []

    def callback(pipe, index, timestep, tensors):
        seen.append((index, int(timestep), sorted(tensors)))
        return {"latents": tensors["latents"] * 0.5} if index == 1 else {}

    options = {
        **CASES["batch"],
        "callback_on_step_end": callback,
        "callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"],
    }
    plain = call(sd1, **options)
    pictures, found = traced(sd1, **options)
    assert np.array_equal(plain, pictures)
    assert seen[:3] == seen[3:]
    step = steps_of(found, 0)[1]
    denoiser = replaying(sd1, found)
    after = denoiser.advance(step.latent[None], denoiser.guided(step.outputs[None]), step)[0]
    assert torch.equal(after * 0.5, step.after)


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
        ({"prompt": "a cat", "clip_skip": 1}, "clip_skip"),
        ({"prompt": None, "prompt_embeds": torch.zeros(1, 24, 32)}, "prompt_embeds"),
    ],
)
def test_what_cannot_be_replayed_is_refused_before_the_run(sd1, options, message):
    with pytest.raises(ValueError, match=message), trace(sd1):
        sd1(num_inference_steps=2, **options)
    assert hooks(sd1) == 0


def test_clipping_schedulers_are_refused(sd1):
    own = sd1.scheduler
    sd1.scheduler = DDPMScheduler(clip_sample=True)
    try:
        with pytest.raises(ValueError, match="clip_sample"), trace(sd1):
            call(sd1, **ONE)
    finally:
        sd1.scheduler = own


def test_an_unsupported_attention_stops_before_the_run(sd1):
    own = sd1.unet.attn_processors
    sd1.unet.set_attn_processor(_Reference())
    try:
        with pytest.raises(ValueError, match=r"attn2: .* _Reference"), trace(sd1):
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


def test_cross_attention_is_found_by_what_it_does(sd1):
    blocks = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
    blocks |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    own = sd1.unet
    sd1.unet = tiny._unet(only_cross_attention=(True, False), **blocks)
    try:
        _, found = traced(sd1, **CASES["batch"])
    finally:
        sd1.unet = own
    names = found.audit["layers"]["16x16"]
    assert any(name.endswith("attn1") for name in names)
    assert found.audit["cross_attention"] == found.audit["traced"]


def test_one_block_records_one_call(sd1):
    with trace(sd1):
        call(sd1, **ONE)
        with pytest.raises(ValueError, match="one call"):
            call(sd1, **ONE)
