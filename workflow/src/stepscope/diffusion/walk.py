"""A sampling from a stored noise to its final latents, by a denoiser and without a trace."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step


@torch.inference_mode()
def walk(denoiser: Denoiser, firsts: Sequence[Step]) -> Float[Tensor, "batch channel y x"]:
    """Final latents of the samples whose first steps are given, by the denoiser's own sampling.

    `firsts` are the first steps of traces of any sampling that starts from the same noise level. A
    solver of second order remembers as it goes. One guided call a sample and step.
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
        output = denoiser.guided(denoiser.outputs(latents, steps))
        remembered.append(denoiser.clean(latents, output, steps))
        latents = denoiser.advance(latents, output, steps)
    return latents
