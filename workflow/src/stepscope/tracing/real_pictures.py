"""Real pictures as traces: noised to each step's level, or inverted to noise and sampled again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from torch import Tensor

from stepscope.diffusion import samplings
from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.models import autoencoder
from stepscope.models.families import registry
from stepscope.pictures.files import read_picture
from stepscope.tracing.call import SHORTEST, trace_prompts
from stepscope.tracing.trace import Trace, steps_of

# Fixed-point iterations of an inverted step; the first alone is plain DDIM inversion.
ITERATIONS = 5


def trace_pictures(
    kind: str,
    pipeline: DiffusionPipeline,
    prompts: list[str],
    seeds: list[int],
    images: list[str],
    **settings: Any,
) -> tuple[Trace, dict]:
    """Trace of a forward batch of picture files, and what else the store says of its samples.

    `kind`: "noise" or "invert" (see `noised` and `inverted`). `settings` are those of
    generation.
    """
    clean = read(images, pipeline, settings["height"], settings["width"])
    if kind == "noise":
        return noised(pipeline, prompts, seeds, clean, **settings), {}
    trace, errors = inverted(pipeline, prompts, seeds, clean, **settings)
    for path, error in zip(images, errors, strict=True):
        print(f"{path}: reconstruction error {error:.2g}", flush=True)
    return trace, {"reconstruction_error": errors.tolist()}


def read(
    paths: Sequence[str], pipeline: DiffusionPipeline, height: int | None, width: int | None
) -> Tensor:
    """Clean latents (B, C, h, w) of picture files, resized to height and width as masks are.

    None is the size of the pictures that the model makes by itself.
    """
    pictures = [read_picture(path) for path in paths]
    family = registry.family_of(pipeline)
    height, width = family.size(height, width)
    prepared = pipeline.image_processor.preprocess(pictures, height=height, width=width)
    return autoencoder.encode(pipeline, prepared).to(family.dtype)


def noised(
    pipeline: DiffusionPipeline,
    prompts: list[str],
    seeds: list[int],
    clean: Tensor,
    **settings: Any,
) -> Trace:
    """Trace of clean latents (B, C, h, w), noised to the level of each step.

    One step is made from each latent; the noise of a sample is that of its seed, the same at every
    level. After the last step the clean latent stands. `settings` are those of generation.
    """
    scheduler = samplings.make_scheduler(
        settings["scheduler"], pipeline.scheduler, settings["sampling"]
    )
    samplings.schedule(scheduler, settings["sampling"], device=clean.device)

    def path(noise: Tensor) -> list[Tensor]:
        # the pipeline scaled it, except for a flow
        noise = noise / getattr(scheduler, "init_noise_sigma", 1.0)
        levels = (add_noise(scheduler, clean.to(noise), noise, t) for t in scheduler.timesteps)
        return [*levels, clean.to(noise)]

    return trace_prompts(pipeline, prompts, seeds, path=path, **settings)


def add_noise(scheduler: SchedulerMixin, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """Latents at a time step's level, in the scheduler's scale, by the library."""
    times = timestep.expand(len(clean)).to(clean.device)
    if hasattr(scheduler, "scale_noise"):  # of a flow
        return scheduler.scale_noise(clean, times, noise)
    return scheduler.add_noise(clean, noise, times)


def inverted(
    pipeline: DiffusionPipeline,
    prompts: list[str],
    seeds: list[int],
    clean: Tensor,
    **settings: Any,
) -> tuple[Trace, np.ndarray]:
    """Trace of sampling again from the noise that DDIM inversion finds.

    Also the reconstruction error (B,): squared distance of the last latent from the clean one,
    over the clean one's squared norm. Inversion takes the study's own guidance, and each step is
    solved for by fixed-point iterations (Pan et al., ICCV 2023): x <- x + (x_k - step(x)) / slope.
    """
    spec = settings["scheduler"]
    if spec["name"] == "ddpm" or spec.get("order", 1) > 1:
        raise ValueError(
            "scheduler: inversion needs steps without noise and history, dpmsolver++ of order 1 "
            "or euler."
        )
    shortest = settings | {"sampling": SHORTEST}
    first = trace_prompts(pipeline, prompts, seeds, **shortest)  # how the prompts are encoded
    denoiser = Denoiser(
        pipeline,
        sampling=settings["sampling"],
        scheduler=spec,
        guidance=first.guidance,
        guidance_rescale=first.guidance_rescale,
    )
    pattern = steps_of(first, 0)[0]
    start = invert(denoiser, pattern, first.conditioning, clean)
    trace = trace_prompts(
        pipeline, prompts, seeds, path=lambda noise: [start.to(noise)], **settings
    )
    wanted = clean.float().cpu().flatten(1)
    error = ((trace.latents[:, -1].float().flatten(1) - wanted) ** 2).sum(1) / (wanted**2).sum(1)
    return trace, error.numpy()


@torch.no_grad()
def invert(
    denoiser: Denoiser, pattern: Step, conditioning: dict[str, Tensor], clean: Tensor
) -> Tensor:
    """Latents (B, C, h, w) from which the denoiser's steps lead to the clean ones.

    `pattern` is any step of the sampling's model; `conditioning` has (B, 2, ...) tensors.
    """
    latents = clean
    for number in range(denoiser.step_count, 0, -1):
        step = replace(pattern, number=number, log_snr=denoiser.log_snr(number))
        slope = denoiser.slope(number)
        wanted, latents = latents, latents.clone()
        for _ in range(ITERATIONS):
            output = denoiser.guided(denoiser.outputs(latents, step, conditioning))
            latents = latents + (wanted - denoiser.advance(latents, output, step)) / slope
    return latents
