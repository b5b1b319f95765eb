"""What a prompt, or one word of it, adds to a step's output."""

from collections.abc import Sequence

import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser, stacked
from stepscope.diffusion.step import Step


@torch.no_grad()
def added_by_words(denoiser: Denoiser, steps: Sequence[Step]) -> list[Tensor]:
    """e_c - e_c(without the word) for each word, raw outputs (word, C, h, w) of every step.

    All rows of all steps are one call of the network.
    """
    changes = [(step, words) for step in steps for words in ((), *((w,) for w in step.words))]
    conditioning = stacked(denoiser.without_each(changes))
    rows = [step for step, _ in changes]
    outputs = denoiser.conditional(latents_of(denoiser, rows), rows, conditioning).float()
    of_steps = outputs.split([1 + len(step.words) for step in steps])
    return [of_step[:1] - of_step[1:] for of_step in of_steps]


def in_noise(denoiser: Denoiser, step: Step, difference: Tensor) -> Tensor:
    """Differences (row, C, h, w) of a step's raw outputs as those of the predicted noise, float32.

    The latent's part, which v-prediction has in it, cancels.
    """
    latents, zero = step.latent[None], torch.zeros_like(difference)
    noise = denoiser.noise(latents, difference, step) - denoiser.noise(latents, zero, step)
    return noise.float()


@torch.no_grad()
def unconditional(denoiser: Denoiser, steps: Sequence[Step]) -> Tensor:
    """e_u, raw outputs (step, C, h, w), for half of what both guidance halves cost.

    ValueError without guidance, as there is then nothing to compare the prompt with.
    """
    if denoiser.guidance <= 1:
        raise ValueError("prompt: what the prompt adds needs guidance above 1, which gives e_u.")
    own = stacked(denoiser.without_each([(step, ()) for step in steps]))
    empty = {name: halves[:, :1].expand_as(halves) for name, halves in own.items()}
    return denoiser.conditional(latents_of(denoiser, steps), steps, empty).float()


def latents_of(denoiser: Denoiser, steps: Sequence[Step]) -> Tensor:
    """Latents (step, C, h, w) before the steps, where the denoiser computes."""
    return torch.stack([step.latent for step in steps]).to(denoiser.device)


def added(unconditional: Tensor, conditional: Tensor) -> Tensor:
    """Conditional minus unconditional; without guidance there is none of these: ValueError."""
    if unconditional.isnan().any():
        raise ValueError("prompt: what the prompt adds needs guidance above 1, which gives e_u.")
    return conditional - unconditional
