"""Ways of choosing time steps, and the schedulers that walk through them."""

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

from stepscope.timesteps import TRAINED, timesteps

SCHEDULERS = {
    "dpmsolver++": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
    "ddpm": DDPMScheduler,
}
FLOW_SCHEDULERS = {
    "dpmsolver++": DPMSolverMultistepScheduler,
    "euler": FlowMatchEulerDiscreteScheduler,
}
CLIPPING = ("clip_sample", "thresholding")  # they hold clean latents to +-1
# One network call a step, and nothing remembered that a trace does not hold.
REPLAYED = tuple({*SCHEDULERS.values(), *FLOW_SCHEDULERS.values(), DDIMScheduler})


def make_scheduler(spec: dict, config: dict, sampling: dict) -> SchedulerMixin:
    """Scheduler named by `spec` with the noise schedule of a model's `config`.

    `spec` is {"name": "dpmsolver++", "order": 1}, or name euler or ddpm. Linear spacing without
    an offset is set whatever the hub's config carries: only this reaches the last log-SNR of the
    paper. First-order DPM-Solver++ is DDIM with eta 0. A model of flow matching gets the solver of
    that name for flows, with the model's own shift of the noise levels, or none where `sampling`
    names the time steps: they are then the ones used.
    """
    name, flow = spec["name"], "beta_start" not in config
    if name not in SCHEDULERS:
        raise ValueError(
            f"scheduler/name: {name!r} is not supported ({', '.join(SCHEDULERS)}): DDIM assumes a "
            "constant stride and PNDM takes no time steps, use dpmsolver++ with order 1 for both."
        )
    if flow and name not in FLOW_SCHEDULERS:
        raise ValueError(
            f"scheduler/name: {name} is no solver for a model of flow matching "
            f"({', '.join(FLOW_SCHEDULERS)})."
        )
    for key in spec.keys() - {"name", "order"}:
        clips = "would clip latents, which are no pictures"
        reason = clips if key in CLIPPING else "the key is not known"
        raise ValueError(f"scheduler/{key}: {reason}.")
    if flow:
        return _flow_scheduler(spec, config, timesteps(sampling) is not None)
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


def _flow_scheduler(spec: dict, config: dict, named: bool) -> SchedulerMixin:
    """Scheduler for a model of flow matching; `named` time steps are not shifted."""
    if config.get("use_dynamic_shifting"):
        raise ValueError(
            "scheduler: the model shifts its noise levels by the picture's size "
            "(use_dynamic_shifting), which a stored step cannot replay."
        )
    shift = 1.0 if named else config.get("shift", config.get("flow_shift", 1.0))
    trained = config["num_train_timesteps"]
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


def check(scheduler: SchedulerMixin, where: str) -> None:
    """Refuse a pipeline's own scheduler whose steps a trace cannot replay, in one sentence."""
    if not isinstance(scheduler, REPLAYED):
        replayed = ", ".join(sorted(scheduler.__name__ for scheduler in REPLAYED))
        raise ValueError(
            f"{where}: the steps of {type(scheduler).__name__} cannot be replayed; set "
            f"pipeline.scheduler to one of {replayed}, by its "
            "from_config(pipeline.scheduler.config)."
        )
    for option in CLIPPING:
        if scheduler.config.get(option):
            raise ValueError(
                f"{where}: the scheduler has {option} on, which clips latents as if they were "
                "pictures."
            )


def draws_noise(scheduler: SchedulerMixin) -> bool:
    """Whether a scheduler's steps are random."""
    return isinstance(scheduler, DDPMScheduler) or scheduler.config.get(
        "algorithm_type", ""
    ).startswith("sde")


def call_arguments(scheduler: SchedulerMixin, sampling: dict, how: str) -> dict:
    """The arguments of a pipeline call that make it walk through a sampling.

    `how` is the argument that the pipeline takes time steps in, "timesteps" or "sigmas".
    """
    chosen = timesteps(sampling)
    if chosen is None:
        return {"num_inference_steps": sampling["steps"]}
    if how == "timesteps":
        return {"timesteps": chosen}
    if not isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        raise ValueError(
            f"samplings: {sampling['kind']} names time steps, which this pipeline takes for the "
            "scheduler euler alone."
        )
    return {"num_inference_steps": len(chosen), "sigmas": [t / TRAINED for t in chosen]}


def schedule(scheduler: SchedulerMixin, sampling: dict, device: torch.device | str = "cpu") -> None:
    """Set a scheduler's time steps to those of a sampling, in where."""
    chosen = timesteps(sampling)
    if chosen is None:
        scheduler.set_timesteps(sampling["steps"], device=device)
    elif isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        scheduler.set_timesteps(sigmas=[t / TRAINED for t in chosen], device=device)
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
    return np.append(np.sqrt((1 - kept) / kept), 0.0)


def input_scale(scheduler: SchedulerMixin, sigma: float) -> float:
    """Factor from a scheduler's latent to the network's: Euler's latents are x0 + sigma eps."""
    if isinstance(scheduler, EulerDiscreteScheduler):
        return 1 / math.sqrt(sigma**2 + 1)
    return 1.0
