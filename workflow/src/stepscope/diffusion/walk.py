"""A sampling from a stored noise to its final latents, by a denoiser and without a trace."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.schedule import Latents
from stepscope.diffusion.step import Step


class Walked(NamedTuple):
    """A step of a walk: the samples' steps, and what it starts from, predicts and leads to."""

    steps: list[Step]
    latents: Latents
    clean: Latents
    after: Latents


def walk(denoiser: Denoiser, firsts: Sequence[Step]) -> Latents:
    """Final latents of the samples whose first steps are given, as `walked` has them."""
    for step in walked(denoiser, firsts):
        latents = step.after
    return latents


def walked(denoiser: Denoiser, firsts: Sequence[Step]) -> Iterator[Walked]:
    """Each step of the denoiser's own sampling, from the noisiest.

    `firsts` are the first steps of traces of any sampling that starts from the same noise level.
    Of the steps, latents and history are the sampling's own; outputs, clean prediction and
    attention are still those of `firsts`. A solver of second order remembers as it goes. One call
    a sample and step, by the denoiser's own guidance.
    """
    latents = torch.stack([step.latent for step in firsts]).to(denoiser.device)
    remembered: list[Tensor] = []
    order = denoiser.solver_order
    for number in range(1, denoiser.step_count + 1):
        history = torch.stack(remembered[-(order - 1) :], 1) if remembered and order > 1 else None
        steps = [
            replace(
                first,
                number=number,
                timestep=denoiser.timestep(number),
                log_snr=denoiser.log_snr(number),
                latent=latent,
                history=None if history is None else history[row],
            )
            for row, (first, latent) in enumerate(zip(firsts, latents, strict=True))
        ]
        with torch.inference_mode():
            output = denoiser.guided(denoiser.outputs(latents, steps))
            clean = denoiser.clean(latents, output, steps)
            after = denoiser.advance(latents, output, steps)
        remembered = [*remembered, clean][-order:]
        reached = [replace(step, after=row) for step, row in zip(steps, after, strict=True)]
        yield Walked(reached, latents, clean, after)
        latents = after
