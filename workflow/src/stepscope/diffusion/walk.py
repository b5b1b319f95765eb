"""A sampling from a stored noise to its final latents, by a denoiser and without a trace."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser, stacked
from stepscope.diffusion.schedule import Latents
from stepscope.diffusion.step import Step


class Walked(NamedTuple):
    """What a step of a walk starts from, predicts and leads to."""

    latents: Latents
    clean: Latents
    after: Latents


@torch.inference_mode()
def walked(denoiser: Denoiser, firsts: Sequence[Step]) -> Iterator[Walked]:
    """Each step of the walk of the samples whose first steps are given, from the noisiest.

    `firsts` are the first steps of traces of any sampling that starts from the same noise level. A
    solver of second order remembers as it goes. One call a sample and step, by the denoiser's own
    guidance.
    """
    latents = torch.stack([step.latent for step in firsts]).to(denoiser.device)
    remembered: list[Tensor] = []
    order = denoiser.solver_order
    conditioning = stacked([step.conditioning for step in firsts])
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
        output = denoiser.guided(denoiser.outputs(latents, steps[0], conditioning))
        clean = denoiser.clean(latents, output, steps[0])
        remembered = [*remembered, clean][-order:]
        of_rows = steps if order > 1 or denoiser.draws_noise else steps[0]
        after = denoiser.advance(latents, output, of_rows)
        yield Walked(latents, clean, after)
        latents = after


def walk(denoiser: Denoiser, firsts: Sequence[Step]) -> Latents:
    """Final latents of a walk, as `walked` has them."""
    for step in walked(denoiser, firsts):
        latents = step.after
    return latents
