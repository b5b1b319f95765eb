"""Which schedulers can be replayed: a pipeline's own, or one made for a sampling."""

import copy
import math

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    SchedulerMixin,
)

from stepscope.diffusion import samplings
from stepscope.models.noise_levels import trained_count

# One network call a step, and nothing remembered that a trace does not hold.
REPLAYED = (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)


def scheduled(
    own: SchedulerMixin, spec: dict | None, sampling: dict, device: torch.device | str = "cpu"
) -> SchedulerMixin:
    """Scheduler that walks through a sampling: the one that `spec` names, or a copy of `own`.

    What cannot be replayed is a ValueError.
    """
    check_sampling(sampling, trained_count(own.config))
    if spec is None:
        check(own, "Denoiser")
        # a configuration forgets: what was set later, and defaults that a pipeline changed
        made = copy.copy(own)
    else:
        made = samplings.make_scheduler(spec, own, sampling)
    samplings.schedule(made, sampling, device=device)
    return made


def check(scheduler: SchedulerMixin, where: str) -> None:
    """Refuse a pipeline's own scheduler whose steps a trace cannot replay, with a way out.

    The ValueError is one sentence that begins with `where`.
    """
    try:
        process = samplings.process_of(scheduler)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    name, config = type(scheduler).__name__, scheduler.config
    if not isinstance(scheduler, REPLAYED):
        if process == "diffusion":
            remedy = (
                f"{_from_config('DPMSolverMultistepScheduler')}, or the same of "
                "EulerDiscreteScheduler, or of DDIMScheduler or DDPMScheduler with "
                "clip_sample=False"
            )
        elif config.get("use_flow_sigmas"):
            remedy = _from_config("DPMSolverMultistepScheduler")
        else:
            remedy = _from_config("FlowMatchEulerDiscreteScheduler")
        raise ValueError(f"{where}: the steps of {name} cannot be replayed; set {remedy}.")
    for option in samplings.CLIPPING:
        if config.get(option):
            raise ValueError(
                f"{where}: the scheduler has {option} on, which clips latents as if they were "
                f"pictures; set {_from_config(name, f'{option}=False')}."
            )
    if config.get("use_dynamic_shifting"):
        remedy = _from_config(name, "use_dynamic_shifting=False")
        raise ValueError(
            f"{where}: the scheduler shifts its noise levels by the picture's size "
            f"(use_dynamic_shifting), which a stored step cannot replay; set {remedy}."
        )


def _from_config(name: str, option: str = "") -> str:
    """The statement that sets a pipeline's scheduler from what its own one says."""
    given = ", ".join(filter(None, ["pipeline.scheduler.config", option]))
    return f"pipeline.scheduler = {name}.from_config({given})"


def check_sampling(sampling: dict, trained: int) -> None:
    """Refuse numbers of a sampling that no study of a model with `trained` time steps lets through.

    The ValueError names the key.
    """
    most = trained - 1
    if sampling.get("kind") == "custom":
        chosen = list(sampling.get("timesteps") or ())
        wrong = [t for t in chosen if not (0 <= t <= most and float(t).is_integer())]
        if wrong or not chosen:
            raise ValueError(
                f"timesteps: a custom sampling names whole numbers from {most} to 0, not "
                f"{wrong[0] if wrong else 'none'}."
            )
        return
    steps, gamma = sampling.get("steps"), sampling.get("gamma", 0)
    if not (isinstance(steps, int) and 1 <= steps <= most):
        raise ValueError(f"steps: a sampling has from 1 to {most} of them, not {steps!r}.")
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma: a finite number of at least 0 is needed, not {gamma}.")
    for key in ("start", "end"):
        if sampling.get(key) != "uniform" and not math.isfinite(sampling.get(key, 0)):
            raise ValueError(f"{key}: a finite log-SNR is needed, not {sampling[key]}.")
