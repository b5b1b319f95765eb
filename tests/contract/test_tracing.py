"""Tracing is invisible and complete, and a replayed step is the traced one, on real pipelines."""

import dataclasses
import functools
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.models.attention_processor import AttnAddedKVProcessor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.prediction import levels
from stepscope.diffusion.samplings import make_scheduler
from stepscope.models import pipelines
from stepscope.models.families import registry
from stepscope.tracing.call import SHORTEST, trace, trace_prompts
from stepscope.tracing.trace import steps_of
from support import tiny
from support.workflow import block

SHIPPED = Path(__file__).parents[2] / "resources" / "models" / "pipeline"
PROMPTS = ["a red cat on a zebra cat", "the ball"]
UNIFORM = {"kind": "uniform", "steps": 5}
ONE = {"prompt": PROMPTS[0]}
CASES = {
    "batch": {"prompt": PROMPTS},
    "several": {"prompt": PROMPTS, "num_images_per_prompt": 2},
    "unguided": {"prompt": PROMPTS, "guidance_scale": 1.0},
    "wide": {"prompt": PROMPTS, "height": 48, "width": 72},  # odd at the next level
    "negative": {"prompt": PROMPTS, "negative_prompt": ["a dog", "blue"]},
    "rescaled": {"prompt": PROMPTS, "guidance_rescale": 0.7},
}


UNETS = ["tiny_sd1", "tiny_sd2", "tiny_xl", *["shipped"] * SHIPPED.is_dir()]
PIPELINES = [*UNETS, "tiny_pixart", "tiny_sd3", "tiny_alpha"]  # the last by a family of one's own
RUNS = [(name, case) for name in PIPELINES for case in CASES if case != "rescaled" or name in UNETS]


@functools.cache
def loaded(name):
    if name == "shipped":
        return pipelines.load({"folder": str(SHIPPED)})
    if name == "tiny_alpha":  # as config/README.md says
        folder = tempfile.mkdtemp()
        Path(folder, "my_family.py").write_text(block("python", "my_family.py", "config/README.md"))
        sys.path.append(folder)
        registry.add("my_family:Alpha")
    return getattr(tiny, name)()


@pytest.fixture(params=PIPELINES)
def pipeline(request):
    return loaded(request.param)


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def run(request):
    """One traced call and what it looked like from outside."""
    name, case = request.param
    pipeline, options = loaded(name), CASES[case]
    own, before = type(pipeline), hooks(pipeline)
    plain = call(pipeline, **options)
    pictures, found = traced(pipeline, **options)
    restored = type(pipeline) is own and hooks(pipeline) == before
    return SimpleNamespace(
        pipeline=pipeline, plain=plain, pictures=pictures, found=found, restored=restored
    )


@pytest.fixture
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
    settings = {"num_inference_steps": 3, "guidance_scale": 4.0, "output_type": "np"}
    settings |= registry.family_of(pipeline).options | options
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
        for module in registry.family_of(pipeline).network.modules()
    )


def cross_attention(pipeline):
    """Names of the processors whose attention is given the text in an untraced call."""
    names, added = set(), []

    def called(name, module, args, kwargs):
        if kwargs.get("encoder_hidden_states") is not None:
            names.add(f"{name}.processor")

    for name, module in registry.family_of(pipeline).network.named_modules():
        if type(module).__name__ == "Attention":
            hook = functools.partial(called, name)
            added.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    call(pipeline, **ONE, num_inference_steps=2)
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


def test_trace_holds_what_the_pipeline_decoded(run):
    with torch.no_grad():
        decoded = replaying(run.pipeline, run.found).decode(run.found.latents[:, -1])
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


def test_replayed_outputs_equal_the_trace_bitwise(run):
    denoiser = replaying(run.pipeline, run.found)
    count = len(run.found.latents)
    for sample in {0, count - 1}:
        for step in reversed(steps_of(run.found, sample)):  # in any order
            with torch.no_grad():
                outputs = denoiser.outputs(rows(step.latent, count, sample), step)
            assert torch.equal(outputs[sample].nan_to_num(), step.outputs.nan_to_num())
            assert torch.equal(outputs[sample].isnan(), step.outputs.isnan())


def test_replayed_steps_equal_the_trace_bitwise(run):
    denoiser = replaying(run.pipeline, run.found)
    for sample in range(len(run.found.latents)):
        for step in reversed(steps_of(run.found, sample)):
            after = denoiser.advance(step.latent[None], denoiser.guided(step.outputs[None]), step)
            assert torch.equal(after[0], step.after)


@pytest.mark.parametrize("order", [2, 3])
def test_multistep_solvers_replay_with_their_history(pipeline, order):
    scheduler, own = {"name": "dpmsolver++", "order": order}, pipeline.scheduler
    pipeline.scheduler = make_scheduler(scheduler, own.config, UNIFORM)
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
        alpha, sigma = levels(step.log_snr, denoiser.prediction_type)
        noise = denoiser.noise(latent, output, step)
        torch.testing.assert_close(alpha * clean + sigma * noise, latent, rtol=1e-4, atol=1e-4)


def test_words_find_their_tokens_in_the_attention(pipeline):
    _, found = traced(pipeline, **CASES["several"])
    assert len(found.words) == 4
    assert found.prompts == [PROMPTS[0]] * 2 + [PROMPTS[1]] * 2
    names, words = found.token_text[0], found.words[0]
    assert [word.text for word in words] == PROMPTS[0].split()
    family = registry.family_of(pipeline)
    spelled = ["".join(names[i] for i in word.tokens) for word in words]
    assert spelled == [word * len(family.texts) for word in PROMPTS[0].split()]
    assert names.count("<padding>") == len(family.texts)
    assert (names[-1] == "<image>") == family.joint
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
            **registry.family_of(pipeline).options,
        )
    alone = tracer.result()
    for size, maps in alone.attention.items():
        tokens = maps.shape[2]
        torch.testing.assert_close(
            several.attention[size][3, :, :tokens], maps[0], rtol=1e-4, atol=1e-5
        )


def test_attention_is_the_librarys_own(pipeline, monkeypatch):
    """Against the queries and keys that the fused attention is given, in double precision."""
    calls, fused = [[]], torch.nn.functional.scaled_dot_product_attention

    def attend(query, key, value, attn_mask=None, **options):
        calls[-1].append((query, key, attn_mask))
        return fused(query, key, value, attn_mask=attn_mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)
    family = registry.family_of(pipeline)
    hook = family.network.register_forward_pre_hook(lambda *_: calls.append([]))
    _, found = traced(pipeline, **CASES["batch"], num_inference_steps=2)
    hook.remove()
    texts = sum(text.length for text in family.own_texts())
    for (h, w), maps in found.attention.items():
        image = h * w if family.joint else 0
        layers = []
        for query, key, mask in calls[1]:  # of the first step
            if key.shape[2] == image + texts and query.shape[2] in (h * w, h * w + texts):
                scores = query.double() @ key.double().mT / query.shape[-1] ** 0.5
                scores = scores if mask is None else scores + mask.double()
                layers.append(scores.softmax(-1).mean(1)[-2:, : h * w])  # the prompts' half
        mean = torch.stack(layers).mean(0)
        assert len(layers) == len(found.audit["layers"][f"{h}x{w}"])
        for sample, prompt in enumerate(PROMPTS):
            rows = family.reading(prompt).rows
            expected = torch.zeros(h * w, len(found.token_text[sample])).double()
            expected.index_add_(1, torch.tensor(rows), mean[sample, :, image:])
            if family.joint:
                expected[:, -1] = mean[sample, :, :image].sum(1)
            expected = expected.T.unflatten(-1, (h, w)).float()
            torch.testing.assert_close(
                maps[sample, 0, : len(expected)], expected, rtol=1e-4, atol=1e-5
            )


def test_padding_that_a_model_masks_gets_no_attention():
    _, found = traced(loaded("tiny_pixart"), **CASES["batch"])
    for maps in found.attention.values():
        assert maps[0, :, len(found.token_text[0]) - 1].max() == 0


def test_audit_counts_modules_and_calls(pipeline, batch):
    audit = batch.audit
    blocks = len(cross_attention(pipeline))
    assert audit["cross_attention"] == audit["traced"] == blocks
    assert audit["attention_modules"] == audit["cross_attention"] + audit["self_attention"]
    assert audit["calls_seen"] == audit["calls_expected"] == 3 * blocks


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


@pytest.mark.parametrize(("name", "kind"), SCHEDULED)
def test_other_schedulers_keep_their_scale(name, kind):
    pipeline = loaded(name)
    own = pipeline.scheduler
    pipeline.scheduler = make_scheduler(SPECS[kind], own.config, UNIFORM)
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


def test_log_snr_and_sigmas_are_those_of_the_time_steps(pipeline):
    found = generated(pipeline, {"kind": "early", "steps": 4, "gamma": 60})
    if registry.family_of(pipeline).schedule == "sigmas":
        ratios = found.timesteps / (1000 - found.timesteps)
    else:
        kept = pipeline.scheduler.alphas_cumprod.double().numpy()[found.timesteps.astype(int)]
        ratios = np.sqrt((1 - kept) / kept)
    # float32 of a flow's 0.999 leaves its ratio of 999 four digits
    np.testing.assert_allclose(found.sigmas[:-1], ratios, rtol=1e-4)
    np.testing.assert_allclose(found.log_snr, -2 * np.log(ratios), rtol=1e-4)
    assert found.sigmas[-1] == 0


def generated(
    pipeline, sampling, prompts=PROMPTS, seeds=(5, 6), guidance=4.0, height=None, width=None
):
    return trace_prompts(
        pipeline,
        list(prompts),
        list(seeds),
        sampling=sampling,
        guidance=guidance,
        negative_prompt="",
        height=height,
        width=width,
        scheduler={"name": "euler"}
        if registry.family_of(pipeline).schedule == "sigmas"
        else {"name": "dpmsolver++", "order": 1},
        roles=[{"subject": "cat"}, {"object": "ball"}][: len(prompts)],
    )


def test_height_or_width_alone_leaves_the_other_as_the_models_own(pipeline):
    own = generated(pipeline, SHORTEST, PROMPTS[:1], [5]).latents.shape[-2:]
    for key, axis in (("height", 0), ("width", 1)):
        found = generated(pipeline, SHORTEST, PROMPTS[:1], [5], **{key: 48}).latents.shape[-2:]
        assert found[1 - axis] == own[1 - axis]
        assert found[axis] == 48 // pipeline.vae_scale_factor


def test_generate_seeds_each_sample(pipeline):
    own, sampling = pipeline.scheduler, {"kind": "custom", "timesteps": [999, 500, 20]}
    found = generated(pipeline, sampling)
    assert pipeline.scheduler is own
    assert len(found.latents) == 2
    assert found.timesteps.tolist() == pytest.approx([999, 500, 20])
    assert [word.role for word in found.words[0]] == ["", "", "subject", "", "", "", "subject"]
    alone = generated(pipeline, sampling, PROMPTS[:1], seeds=[5])
    assert torch.equal(alone.latents[0, 0], found.latents[0, 0])
    scale = found.latents[0].abs().max()
    assert (alone.latents[0] - found.latents[0]).abs().max() <= 1e-5 * scale


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


def test_the_older_callback_still_works():
    pipeline, seen = loaded("tiny_pixart"), []

    def callback(index, timestep, latents):
        seen.append((index, int(timestep), latents.clone()))

    _, found = traced(pipeline, **CASES["batch"], callback=callback, callback_steps=2)
    assert [index for index, *_ in seen] == [0, 2]
    assert torch.equal(seen[1][2], found.latents[:, 3])


def test_one_block_records_one_call(sd1):
    with trace(sd1):
        call(sd1, **ONE)
        with pytest.raises(ValueError, match="one call"):
            call(sd1, **ONE)
