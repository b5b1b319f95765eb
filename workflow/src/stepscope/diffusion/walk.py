"""A sampling from a stored noise to its final latents, by a denoiser and without a trace."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.schedule import Latents
from stepscope.diffusion.step import Step


def walk(denoiser: Denoiser, firsts: Sequence[Step]) -> Latents:
    """Final latents of the samples whose first steps are given, by the denoiser's own sampling.

    As `walked`, whose last states they are.
    """
    steps: Sequence[Step] = firsts
    for steps, _ in walked(denoiser, firsts):  # noqa: B007
        pass
    return torch.stack([step.after for step in steps])


def walked(denoiser: Denoiser, firsts: Sequence[Step]) -> Iterator[tuple[list[Step], Latents]]:
    """Each step of the denoiser's own sampling: the samples' steps, and their clean predictions.

    `firsts` are the first steps of traces of any sampling that starts from the same noise level.
    Of the steps, latents and history are the sampling's own; outputs, clean prediction and
    attention are still those of `firsts`. A solver of second order remembers as it goes. One guided
    call a sample and step.
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
        clean, latents = _after(denoiser, latents, steps)
        remembered.append(clean)
        yield [replace(step, after=row) for step, row in zip(steps, latents, strict=True)], clean


@torch.inference_mode()
def _after(denoiser: Denoiser, latents: Latents, steps: Sequence[Step]) -> tuple[Latents, Latents]:
    """Clean predictions of a step's latents, and the latents after it."""
    output = denoiser.guided(denoiser.outputs(latents, steps))
    return denoiser.clean(latents, output, steps), denoiser.advance(latents, output, steps)
