"""Word information: how much of a step's noise prediction a word accounts for."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from stepscope.denoiser import Denoiser, Step
from stepscope.explaining import described


@described(
    calls=lambda words, p: (words + 1) / 2,
    target="half the squared difference that a word makes to the predicted noise",
    features="words, replaced by the padding token with positions kept",
    held_fixed="time step, latent, all other words",
)
@torch.inference_mode()
def word_information(denoiser: Denoiser, step: Step) -> np.ndarray:
    """Maps (word, h, w) float32: half the squared norm, over channels, of e_c - e_c(without it).

    In nats per latent pixel and unit of log-SNR: by I-MMSE, half the squared error of the predicted
    noise is the derivative of the information by log-SNR (Kong et al., arXiv 2310.07972).
    """
    latents = step.latent[None].to(denoiser.device)
    difference = added_by_words(denoiser, step)
    zero = torch.zeros_like(difference)
    # v-prediction to noise: the latent's part cancels in the difference
    noise = denoiser.noise(latents, difference, step) - denoiser.noise(latents, zero, step)
    return (noise.float() ** 2).sum(1).div(2).cpu().numpy()


@torch.no_grad()
def added_by_words(denoiser: Denoiser, step: Step) -> Tensor:
    """e_c - e_c(without the word) for each word, raw outputs (word, C, h, w), in one call."""
    rows = [denoiser.without(step), *(denoiser.without(step, word) for word in step.words)]
    conditioning = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    latents = step.latent.expand(len(rows), *step.latent.shape).to(denoiser.device)
    outputs = conditional(denoiser, latents, step, conditioning).float()
    return outputs[:1] - outputs[1:]


def conditional(
    denoiser: Denoiser,
    latents: Tensor,
    step: Step,
    conditioning: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Raw output (B, C, h, w) for the prompt alone: half of what ``outputs`` costs."""
    alone = copy.copy(denoiser)
    alone.guidance = 1.0
    return alone.outputs(latents, step, conditioning)[:, 1]


@torch.no_grad()
def added_by_prompt(denoiser: Denoiser, step: Step) -> Tensor:
    """e_c - e_u, raw outputs (C, h, w): what the prompt adds at this step."""
    outputs = denoiser.outputs(step.latent[None].to(denoiser.device), step)[0].float()
    difference = outputs[1] - outputs[0]
    if difference.isnan().any():
        raise ValueError("target: prompt needs guidance above 1, which gives e_u to compare with.")
    return difference
