"""What a prompt, or one word of it, adds to a step's output."""

import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step


@torch.no_grad()
def added_by_words(denoiser: Denoiser, step: Step) -> Tensor:
    """e_c - e_c(without the word) for each word, raw outputs (word, C, h, w), in one call."""
    rows = [denoiser.without(step), *(denoiser.without(step, word) for word in step.words)]
    conditioning = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    latents = step.latent.expand(len(rows), *step.latent.shape).to(denoiser.device)
    outputs = denoiser.conditional(latents, step, conditioning).float()
    return outputs[:1] - outputs[1:]


@torch.no_grad()
def added_by_prompt(denoiser: Denoiser, step: Step) -> Tensor:
    """e_c - e_u, raw outputs (C, h, w): what the prompt adds at this step."""
    outputs = denoiser.outputs(step.latent[None].to(denoiser.device), step)[0]
    return added(*outputs.float())


def added(unconditional: Tensor, conditional: Tensor) -> Tensor:
    """Conditional minus unconditional; without guidance there is none of these: ValueError."""
    if unconditional.isnan().any():
        raise ValueError("prompt: what the prompt adds needs guidance above 1, which gives e_u.")
    return conditional - unconditional
