"""Word information: how much of a step's noise prediction a word accounts for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.differences import added_by_words, in_noise
from stepscope.methods.method import method


@method(
    calls=lambda words, p: (words + 1) / 2,
    target="half the squared difference that a word makes to the predicted noise",
    features="words, replaced by the padding token with positions kept",
    held_fixed="time step, latent, all other words",
    together=True,
)
@torch.inference_mode()
def word_information(denoiser: Denoiser, steps: Sequence[Step]) -> list[np.ndarray]:
    """Maps (word, h, w) float32: half the squared norm, over channels, of e_c - e_c(without it).

    In nats per latent pixel and unit of log-SNR: by I-MMSE, half the squared error of the predicted
    noise is the derivative of the information by log-SNR (Kong et al., arXiv 2310.07972).
    """
    differences = added_by_words(denoiser, steps)
    return [information(denoiser, *pair) for pair in zip(steps, differences, strict=True)]


def information(denoiser: Denoiser, step: Step, difference: Tensor) -> np.ndarray:
    """Maps (word, h, w) from the differences (word, C, h, w) of a step's raw outputs."""
    noise = in_noise(denoiser, step, difference)
    return (noise**2).sum(1).div(2).cpu().numpy()
