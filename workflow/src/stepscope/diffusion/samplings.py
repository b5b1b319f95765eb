"""Ways of choosing time steps, and the schedulers that walk through them."""

import copy
import math

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    SchedulerMixin,
)

from stepscope.models import processes
from stepscope.models.noise_levels import log_snr_levels, trained_count
from stepscope.timesteps import ends_as_uniform, timesteps

SCHEDULERS = {
    "dpmsolver++": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
    "ddpm": DDPMScheduler,
}
CLIPPING = ("clip_sample", "thresholding")  # they hold clean latents to +-1


def make_scheduler(spec: dict, own: SchedulerMixin, sampling: dict) -> SchedulerMixin:
    """Scheduler named by `spec` with the noise schedule of a model's `own` scheduler.

    `spec` is {"name": "dpmsolver++", "order": 1}, or name euler or ddpm. Linear spacing without
    an offset is set whatever the hub's config carries: only this reaches the last log-SNR of the
    paper. First-order DPM-Solver++ is DDIM with eta 0. A model of flow matching gets the solver of
    that name for flows, with the model's own shift of the noise levels, or none where `sampling`
    names the time steps: they are then the ones used.
    """
    name, config = spec["name"], own.config
    if name not in SCHEDULERS:
        raise ValueError(
            f"scheduler/name: {name!r} is not supported ({', '.join(SCHEDULERS)}): DDIM assumes a "
            "constant stride and PNDM takes no time steps, use dpmsolver++ with order 1 for both."
        )
    process = process_of(own)
    processes.check_solver(spec, sampling, process, config)
    for key in spec.keys() - {"name", "order"}:
        clips = "would clip latents, which are no pictures"
        reason = clips if key in CLIPPING else "the key is not known"
        raise ValueError(f"scheduler/{key}: {reason}.")
    if process == "flow":
        shift = _shift_of(own) if sampling["kind"] == "uniform" else 1.0
        return _flow_scheduler(spec, config["num_train_timesteps"], shift)
    options = {
        "num_train_timesteps": config["num_train_timesteps"],
        "beta_start": config["beta_start"],
        "beta_end": config["beta_end"],
        "beta_schedule": config["beta_schedule"],
        "trained_betas": config.get("trained_betas"),
        "prediction_type": config.get("prediction_type", "epsilon"),
        "rescale_betas_zero_snr": config.get("rescale_betas_zero_snr", False),
        "timestep_spacing": "linspace",
        "steps_offset": 0,
    }
    if name == "dpmsolver++":
        options |= {"algorithm_type": "dpmsolver++", "solver_order": spec.get("order", 1)}
    if name == "ddpm":
        options |= {"clip_sample": False}
    return SCHEDULERS[name](**options)


def _flow_scheduler(spec: dict, trained: int, shift: float) -> SchedulerMixin:
    """Scheduler for a model of flow matching with `trained` time steps."""
    if spec["name"] == "euler":
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=trained, shift=shift)
    return DPMSolverMultistepScheduler(
        num_train_timesteps=trained,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift,
        algorithm_type="dpmsolver++",
        solver_order=spec.get("order", 1),
    )


def _shift_of(own: SchedulerMixin) -> float:
    """Shift of a flow's noise levels."""
    if isinstance(own, FlowMatchEulerDiscreteScheduler):
        return own.shift  # which may have been set later than the configuration
    return own.config.get("shift", own.config.get("flow_shift", 1.0))


def process_of(scheduler: SchedulerMixin) -> processes.Process:
    """Whether a scheduler walks through a diffusion or a flow; a ValueError if that is unknown."""
    names = (kind.__name__ for kind in type(scheduler).__mro__)
    return processes.process_of(names, scheduler.config)


def draws_noise(scheduler: SchedulerMixin) -> bool:
    """Whether a scheduler's steps are random."""
    config = scheduler.config
    return (
        isinstance(scheduler, DDPMScheduler)
        or config.get("algorithm_type", "").startswith("sde")
        or config.get("stochastic_sampling", False)
    )


def named_timesteps(scheduler: SchedulerMixin, sampling: dict) -> list[int] | None:
    """Time steps of a sampling of a scheduler's model; None where the scheduler spaces them."""
    if sampling["kind"] == "uniform":
        return None
    last = _uniform_end(scheduler, sampling["steps"]) if ends_as_uniform(sampling) else None
    return timesteps(sampling, log_snr_levels(process_of(scheduler), scheduler.config), last)


def _uniform_end(scheduler: SchedulerMixin, steps: int) -> int:
    """Last time step of a uniform sampling, which the scheduler spaces itself."""
    spaced = copy.deepcopy(scheduler)
    spaced.set_timesteps(steps)
    return round(float(spaced.timesteps[-1]))


def _flow_sigmas(scheduler: SchedulerMixin, chosen: list[int]) -> list[float]:
    """Shares of noise at a flow's time steps."""
    return [t / trained_count(scheduler.config) for t in chosen]


def call_arguments(scheduler: SchedulerMixin, sampling: dict, how: str) -> dict:
    """The arguments of a call that make a pipeline with this scheduler walk through a sampling.

    `how` is the argument that the pipeline takes time steps in, "timesteps" or "sigmas".
    """
    chosen = named_timesteps(scheduler, sampling)
    if chosen is None:
        return {"num_inference_steps": sampling["steps"]}
    if how == "timesteps":
        return {"timesteps": chosen}
    return {"num_inference_steps": len(chosen), "sigmas": _flow_sigmas(scheduler, chosen)}


def schedule(scheduler: SchedulerMixin, sampling: dict, device: torch.device | str = "cpu") -> None:
    """Set a scheduler's time steps to those of a sampling, in where."""
    chosen = named_timesteps(scheduler, sampling)
    if chosen is None:
        scheduler.set_timesteps(sampling["steps"], device=device)
    elif isinstance(scheduler, DDIMScheduler) or scheduler.config.get("use_flow_sigmas"):
        raise ValueError(
            f"sampling: {sampling['kind']} names time steps, which "
            f"{type(scheduler).__name__} does not take."
        )
    elif isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        scheduler.set_timesteps(sigmas=_flow_sigmas(scheduler, chosen), device=device)
    else:
        scheduler.set_timesteps(timesteps=chosen, device=device)


def prediction_type(scheduler: SchedulerMixin) -> str:
    """What the network behind a scheduler predicts: epsilon, v_prediction, sample or flow."""
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        return "flow"
    kind = scheduler.config.prediction_type
    return "flow" if kind == "flow_prediction" else kind


def sigmas_of(scheduler: SchedulerMixin) -> np.ndarray:
    """Noise / signal before each step and after the last, (N + 1,) float64.

    A flow mixes 1 - s of the signal with s of the noise; s = 1 is noise alone, an infinite ratio.
    """
    if hasattr(scheduler, "sigmas"):
        sigmas = np.asarray(scheduler.sigmas.cpu(), dtype="f8")
        if prediction_type(scheduler) != "flow":
            return sigmas
        with np.errstate(divide="ignore"):
            return sigmas / (1 - sigmas)
    kept = np.asarray(scheduler.alphas_cumprod.cpu(), dtype="f8")[scheduler.timesteps.cpu().numpy()]
    kept = np.append(kept, _last_alpha(scheduler))
    with np.errstate(divide="ignore"):  # a schedule may start from noise alone
        return np.sqrt((1 - kept) / kept)


def _last_alpha(scheduler: SchedulerMixin) -> float:
    """The cumulated alpha to which the last step leads."""
    if not isinstance(scheduler, DDIMScheduler):
        return 1.0
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    before = int(scheduler.timesteps[-1]) - stride
    # below the first time step stands 1, or its own alpha with set_alpha_to_one False
    last = scheduler.final_alpha_cumprod if before < 0 else scheduler.alphas_cumprod[before]
    return float(last)


def input_scale(scheduler: SchedulerMixin, sigma: float) -> float:
    """Factor from a scheduler's latent to the network's: Euler's latents are x0 + sigma eps."""
    if isinstance(scheduler, EulerDiscreteScheduler):
        return 1 / math.sqrt(sigma**2 + 1)
    return 1.0
