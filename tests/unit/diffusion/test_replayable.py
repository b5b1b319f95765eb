"""A copy of every scheduler that is accepted steps as the pipeline's own does; others say why."""

import re

import diffusers
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    IPNDMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)

from stepscope.diffusion import prediction
from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.replayable import REPLAYED, check
from stepscope.diffusion.samplings import draws_noise, input_scale, prediction_type, sigmas_of
from stepscope.diffusion.step import Step
from support import tiny

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
OFFSET = BETAS | {"steps_offset": 1}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
SAMPLING = {"kind": "uniform", "steps": 4}
VARIANTS = [
    (DDIMScheduler, OFFSET),
    (DDIMScheduler, OFFSET | {"set_alpha_to_one": False}),
    (DDIMScheduler, OFFSET | {"timestep_spacing": "linspace"}),
    (DDIMScheduler, OFFSET | {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}),
    (DDPMScheduler, OFFSET),
    (DDPMScheduler, OFFSET | {"variance_type": "fixed_large", "prediction_type": "sample"}),
    (DPMSolverMultistepScheduler, OFFSET),
    (DPMSolverMultistepScheduler, OFFSET | {"solver_order": 1, "use_karras_sigmas": True}),
    (DPMSolverMultistepScheduler, OFFSET | {"solver_order": 3, "use_lu_lambdas": True}),
    (DPMSolverMultistepScheduler, OFFSET | {"solver_type": "heun", "euler_at_final": True}),
    (DPMSolverMultistepScheduler, OFFSET | {"final_sigmas_type": "sigma_min"}),
    (DPMSolverMultistepScheduler, OFFSET | {"algorithm_type": "sde-dpmsolver++"}),
    (
        DPMSolverMultistepScheduler,
        OFFSET | {"algorithm_type": "sde-dpmsolver++", "solver_order": 1},
    ),
    (DPMSolverMultistepScheduler, FLOW),
    (EulerDiscreteScheduler, OFFSET),
    (EulerDiscreteScheduler, OFFSET | {"use_karras_sigmas": True}),
    (
        EulerDiscreteScheduler,
        OFFSET | {"timestep_spacing": "leading", "final_sigmas_type": "sigma_min"},
    ),
    (
        EulerDiscreteScheduler,
        OFFSET | {"timestep_type": "continuous", "prediction_type": "v_prediction"},
    ),
    (FlowMatchEulerDiscreteScheduler, {"shift": 3.0}),
    (FlowMatchEulerDiscreteScheduler, {"shift_terminal": 0.1, "use_karras_sigmas": True}),
    (FlowMatchEulerDiscreteScheduler, {"stochastic_sampling": True}),
]


@pytest.fixture(scope="module")
def unet():
    return tiny._unet()


def with_scheduler(unet, scheduler):
    """A real pipeline, which changes what it is given: it turns off clipping, for one."""
    return StableDiffusionPipeline(
        vae=None,
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def output_for(z, clean, log_snr, kind):
    """What a network puts out that sees through the noise."""
    alpha, sigma = prediction.levels(log_snr, kind)
    return {
        "epsilon": lambda: (z - alpha * clean) / sigma,
        "v_prediction": lambda: (alpha * z - clean) / sigma,
        "sample": lambda: clean,
        "flow": lambda: (z - clean) / sigma,
    }[kind]()


def third_share(denoiser):
    """Share of the noise in a flow's latent before the third step of four."""
    return 1 - float(torch.tensor(denoiser.log_snr(3) / 2).sigmoid())


def shifted(share, shift):
    return shift * share / (1 + (shift - 1) * share)


def noisy(scheduler, sigma, clean, noise):
    """The latent at a scheduler's noise level, in its scale."""
    kind = prediction_type(scheduler)
    alpha, level = prediction.levels(prediction.log_snr_of(sigma), kind)
    return (alpha * clean + level * noise) / input_scale(scheduler, sigma)


def walk(scheduler, clean, noise):
    """Steps of a network that sees through the noise, their outputs and random states."""
    kind, generator = prediction_type(scheduler), torch.Generator().manual_seed(1)
    scheduler.set_timesteps(SAMPLING["steps"])
    sigmas = sigmas_of(scheduler)
    latent, found = noisy(scheduler, sigmas[0], clean, noise), []
    for k, timestep in enumerate(scheduler.timesteps):
        log_snr, history = prediction.log_snr_of(sigmas[k]), None
        if remembered := getattr(scheduler, "model_outputs", [])[1:]:
            missing = torch.full_like(clean, torch.nan)
            history = torch.cat([missing if one is None else one for one in remembered])
        z = latent * input_scale(scheduler, sigmas[k])
        output = output_for(z, clean, log_snr, kind)
        state = generator.get_state()
        after = scheduler.step(output, timestep, latent, generator=generator, return_dict=False)[0]
        step = Step(
            number=k + 1,
            timestep=float(timestep),
            log_snr=log_snr,
            latent=latent[0],
            after=after[0],
            outputs=torch.cat([output, output]),
            denoised=clean[0],
            conditioning={},
            words=(),
            prompt="",
            negative_prompt="",
            prompt_id="",
            seed=0,
            history=history,
        )
        found.append((step, output, state))
        latent = after
    return found


def test_every_accepted_class_is_tried():
    assert {kind for kind, _ in VARIANTS} == {*REPLAYED}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "options"), VARIANTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_pipelines_own_scheduler_is_replayed_bitwise(unet, kind, options):
    pipeline = with_scheduler(unet, kind(**options))
    clean, noise = torch.randn(2, 1, 4, 6, 6, generator=torch.Generator().manual_seed(0)) * 3
    steps = walk(pipeline.scheduler, clean, noise)
    denoiser = Denoiser(pipeline, sampling=SAMPLING, guidance=4.0)
    for step, output, state in reversed(steps):
        generator = torch.Generator()
        generator.set_state(state)
        after = denoiser.advance(step.latent[None], output, step, generator)
        assert torch.equal(after[0], step.after)
        found = denoiser.clean(step.latent[None], output, step)
        torch.testing.assert_close(found, clean, rtol=1e-3, atol=1e-3)
        again = [denoiser.advance(step.latent[None], output, step) for _ in range(2)]
        assert torch.equal(*again)
    if not draws_noise(pipeline.scheduler) and options.get("timestep_spacing") != "linspace":
        # the last sigma is the noise that is left
        expected = noisy(pipeline.scheduler, sigmas_of(pipeline.scheduler)[-1], clean, noise)
        torch.testing.assert_close(steps[-1][0].after, expected[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ({"set_alpha_to_one": False, "steps_offset": 1}, 0.0292),
        ({"set_alpha_to_one": True, "steps_offset": 1}, 0.0),
        ({"set_alpha_to_one": False, "timestep_spacing": "trailing"}, 0.0292),
    ],
)
def test_the_last_sigma_of_ddim_is_that_of_its_final_alpha(options, last):
    scheduler = DDIMScheduler(**BETAS, **options)
    scheduler.set_timesteps(20)
    assert sigmas_of(scheduler)[-1] == pytest.approx(last, abs=5e-5)


def test_a_shift_that_was_set_later_is_kept(unet):
    pipeline = with_scheduler(unet, FlowMatchEulerDiscreteScheduler(shift=1.0))
    pipeline.scheduler.set_shift(3.0)
    solvers = ((None, 1 / 3), ({"name": "euler"}, 1 / 3), ({"name": "dpmsolver++"}, 1 / 2))
    for spec, share in solvers:  # the last ends in 0, the others have the last step there
        denoiser = Denoiser(pipeline, sampling=SAMPLING, scheduler=spec, guidance=4.0)
        assert third_share(denoiser) == pytest.approx(shifted(share, 3.0), abs=0.01)


@pytest.mark.parametrize(
    "scheduler",
    [
        PNDMScheduler(**OFFSET, skip_prk_steps=True),  # what Stable Diffusion 1 comes with
        HeunDiscreteScheduler(**BETAS),
        UniPCMultistepScheduler(**FLOW),
        FlowMatchHeunDiscreteScheduler(shift=3.0),
        DDPMScheduler(**BETAS),  # clips
        DDIMScheduler(**BETAS, clip_sample=False, thresholding=True),
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_the_way_out_of_a_refusal_works(unet, scheduler):
    pipeline = with_scheduler(unet, PNDMScheduler(**OFFSET, skip_prk_steps=True))
    pipeline.scheduler = scheduler
    with pytest.raises(ValueError, match=r"^Denoiser: .*; set pipeline\.scheduler = ") as error:
        Denoiser(pipeline, sampling=SAMPLING, guidance=4.0)
    message = str(error.value)
    statement = re.search(r"pipeline\.scheduler = \w+\.from_config\([^)]*\)", message).group()
    others = re.search(r"or the same of (\w+), or of (\w+) or (\w+) with (\S+)\.", message)
    statements = [statement]
    if others:
        plain, *clipping, option = others.groups()
        own = re.search(r"= (\w+)", statement).group(1)
        statements.append(statement.replace(own, plain))
        statements += [
            statement.replace(own, name).replace(")", f", {option})") for name in clipping
        ]
    for way in statements:
        pipeline.scheduler = scheduler
        exec(way, {"pipeline": pipeline, **vars(diffusers)})
        denoiser = Denoiser(pipeline, sampling=SAMPLING, guidance=4.0)
        flow = "Flow" in type(scheduler).__name__ or scheduler.config.get("use_flow_sigmas")
        assert (denoiser.prediction_type == "flow") == bool(flow)
        shift = scheduler.config.get("shift", scheduler.config.get("flow_shift", 1.0))
        if flow:
            share = 1 / 2 if "DPMSolver" in way else 1 / 3
            assert third_share(denoiser) == pytest.approx(shifted(share, shift), abs=0.01)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (EDMEulerScheduler(), "EDM's preconditioning"),
        (EDMDPMSolverMultistepScheduler(), "EDM's preconditioning"),
        (IPNDMScheduler(), "IPNDMScheduler belongs to .* is not known"),
        (DPMSolverMultistepScheduler(use_flow_sigmas=True), "contradicts itself"),
        (DPMSolverMultistepScheduler(prediction_type="flow_prediction"), "contradicts itself"),
        (FlowMatchEulerDiscreteScheduler(invert_sigmas=True), "runs backwards"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_no_scheduler_can_replace_is_refused_without_advice(scheduler, message):
    with pytest.raises(ValueError, match=rf"^trace: scheduler: [^;]*{message}") as error:
        check(scheduler, "trace")
    assert "from_config" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sampling": {"kind": "custom", "timesteps": [10, 999]}}, "timesteps: .* must descend"),
        ({"sampling": {"kind": "custom", "timesteps": [999, 500, 500]}}, "timesteps: .* descend"),
        ({"sampling": {"kind": "custom", "timesteps": [1500, 10]}}, "timesteps: .* not 1500"),
        ({"sampling": {"kind": "custom", "timesteps": [float("nan")]}}, "timesteps: .* not nan"),
        ({"sampling": {"kind": "custom", "timesteps": []}}, "timesteps: .* not none"),
        ({"sampling": {"kind": "uniform", "steps": 0}}, "steps: .* not 0"),
        ({"sampling": {"kind": "uniform"}}, "steps: .* not None"),
        ({"sampling": {"kind": "early", "steps": 5, "gamma": float("inf")}}, "gamma: .* not inf"),
        ({"guidance": float("nan")}, "Denoiser: guidance is nan"),
        ({"guidance": float("inf")}, "Denoiser: guidance is inf"),
        ({"guidance_rescale": float("nan")}, "Denoiser: guidance_rescale is nan"),
    ],
)
def test_numbers_without_meaning_are_refused(unet, changed, message):
    pipeline = with_scheduler(unet, EulerDiscreteScheduler(**OFFSET))
    arguments = {"sampling": SAMPLING, "guidance": 4.0} | changed
    with pytest.raises(ValueError, match=message):
        Denoiser(pipeline, **arguments)


def test_time_steps_that_a_scheduler_does_not_take_are_refused(unet):
    pipeline = with_scheduler(unet, DDIMScheduler(**OFFSET))
    sampling = {"kind": "custom", "timesteps": [999, 10]}
    with pytest.raises(ValueError, match="DDIMScheduler does not take"):
        Denoiser(pipeline, sampling=sampling, guidance=4.0)


def test_a_step_without_the_unconditional_half_is_not_guided(unet):
    pipeline = with_scheduler(unet, EulerDiscreteScheduler(**OFFSET))
    outputs = torch.stack([torch.full((4, 6, 6), torch.nan), torch.ones(4, 6, 6)])[None]
    denoiser = Denoiser(pipeline, sampling=SAMPLING, guidance=1.0)
    assert torch.equal(denoiser.guided(outputs), outputs[:, 1])
    with pytest.raises(ValueError, match=r"^guidance: 4.0 mixes the outputs"):
        Denoiser(pipeline, sampling=SAMPLING, guidance=4.0).guided(outputs)
