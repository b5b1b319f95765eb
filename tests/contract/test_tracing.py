"""Tracing is invisible and complete, on real pipelines."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler

from stepscope.models.families import registry
from stepscope.tracing.call import SHORTEST, trace, trace_prompts
from stepscope.tracing.trace import steps_of
from support import tiny
from support.traced import (
    CASES,
    PROMPTS,
    SHIPPED,
    call,
    cross_attention,
    generated,
    loaded,
    replaying,
    rows,
    traced,
)


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


def test_height_or_width_alone_leaves_the_other_as_the_models_own(pipeline):
    own = generated(pipeline, SHORTEST, PROMPTS[:1], [5]).latents.shape[-2:]
    for key, axis in (("height", 0), ("width", 1)):
        found = generated(pipeline, SHORTEST, PROMPTS[:1], [5], **{key: 48}).latents.shape[-2:]
        assert found[1 - axis] == own[1 - axis]
        assert found[axis] == 48 // pipeline.vae_scale_factor


def test_generate_seeds_each_sample(pipeline):
    # in float64, where no guided sampling makes the rounding of different batches visible
    timesteps = [999, 500, 20]
    pipeline = deepcopy(pipeline).to(torch.float64)
    own, sampling = pipeline.scheduler, {"kind": "custom", "timesteps": timesteps}
    found = generated(pipeline, sampling)
    assert pipeline.scheduler is own
    assert len(found.latents) == 2
    assert found.latents.dtype == torch.float64
    assert found.timesteps.tolist() == pytest.approx(timesteps)
    assert [word.role for word in found.words[0]] == ["", "", "subject", "", "", "", "subject"]
    alone = generated(pipeline, sampling, PROMPTS[:1], seeds=[5])
    assert torch.equal(alone.latents[0, 0], found.latents[0, 0])
    scale = found.latents[0].abs().max()
    assert (alone.latents[0] - found.latents[0]).abs().max() <= 1e-10 * scale


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


def test_the_older_callback_still_works():
    pipeline, seen = loaded("tiny_pixart"), []

    def callback(index, timestep, latents):
        seen.append((index, int(timestep), latents.clone()))

    _, found = traced(pipeline, **CASES["batch"], callback=callback, callback_steps=2)
    assert [index for index, *_ in seen] == [0, 2]
    assert torch.equal(seen[1][2], found.latents[:, 3])


def test_roles_of_a_single_prompt_are_one_mapping(sd1):
    with trace(sd1, {"subject": "cat"}) as tracer:
        call(sd1, prompt=PROMPTS[0])
    (words,) = tracer.result().words
    assert [word.text for word in words if word.role == "subject"] == ["cat", "cat"]


def test_a_flow_is_known_by_the_path_that_its_solver_takes():
    pipeline = tiny.tiny_sd3()
    solver = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
    pipeline.scheduler = DPMSolverMultistepScheduler(**solver, solver_order=1)
    seeds = {"generator": [torch.Generator().manual_seed(5)], "output_type": "latent"}
    own = pipeline(PROMPTS[0], num_inference_steps=4, guidance_scale=4.0, **seeds).images
    found = trace_prompts(
        pipeline,
        PROMPTS[:1],
        [5],
        sampling={"kind": "uniform", "steps": 4},
        scheduler={"name": "dpmsolver++", "order": 1},
        guidance=4.0,
        negative_prompt="",
        height=None,
        width=None,
        roles=None,
    )
    assert found.prediction_type == "flow"
    share = found.sigmas / (1 + found.sigmas)
    share[np.isinf(found.sigmas)] = 1
    np.testing.assert_allclose(share, [1, 0.9, 0.75, 0.5, 0], atol=1e-3)
    assert torch.equal(found.latents[:, -1], own)


def test_the_shipped_pipeline_is_of_one_dtype_in_plain_diffusers():
    pipeline = DiffusionPipeline.from_pretrained(SHIPPED)
    parts = {name: part for name, part in pipeline.components.items() if hasattr(part, "dtype")}
    assert {part.dtype for part in parts.values()} == {torch.float32}
    assert len(traced(pipeline, prompt="a big frog", num_inference_steps=2)[1].latents) == 1
