"""Substrates of the games: what the pixels of a latent become where a game changes them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import baselines
from stepscope.methods import similarity as similarities


class Parts(NamedTuple):
    """What a step's latent is made of, (C, h, w) each, and its levels.

    The latent x_t in the scheduler's scale, the step's guided clean prediction x0, and standard
    normal numbers; x_t = signal_level x0 + noise_level eps.
    """

    latent: Tensor
    clean: Tensor
    drawn: Tensor
    signal_level: float
    noise_level: float


def parts_of(denoiser: Denoiser, step: Step, seed: int) -> Parts:
    """Parts of a stored step, float32 on the CPU; numbers are drawn by seed, sample and step."""
    generator = baselines.generator("substrate", seed, step.prompt_id, step.seed, step.number)
    latent = step.latent.float()
    guided = denoiser.guided(step.outputs.float()[None])
    return Parts(
        latent,
        denoiser.clean(latent[None], guided, step)[0],
        torch.from_numpy(generator.standard_normal(latent.shape)).float(),
        *denoiser.levels(step),
    )


def zero(parts: Parts) -> Tensor:
    """Zeros, as the masks of DF-RISE leave."""
    return torch.zeros_like(parts.latent)


def blur(parts: Parts) -> Tensor:
    """The latent's blur.

    The authors' is 11 x 11 with sigma 5 at latent side 64; both scale with the side.
    """
    side = min(parts.latent.shape[-2:])
    size = max(3, 2 * round((11 * side / 64 - 1) / 2) + 1)
    offsets = torch.arange(size, device=parts.latent.device) - size // 2
    weights = torch.exp(-(offsets**2) / (2 * (5 * side / 64) ** 2))
    return similarities.blurred(parts.latent, weights / weights.sum(), "reflect")


def noise(parts: Parts) -> Tensor:
    """Other noise in the place of signal and noise, with the channels' means and deviations."""
    mean, deviation = (
        getattr(parts.latent, name)((-2, -1), keepdim=True) for name in ("mean", "std")
    )
    return mean + deviation * parts.drawn


def renoise(parts: Parts) -> Tensor:
    """The clean prediction with other noise of the same level: keeps the signal alone."""
    return parts.signal_level * parts.clean + parts.noise_level * parts.drawn


def signal(parts: Parts) -> Tensor:
    """x_t - signal_level (x0 - mean x0), the mean being each channel's: keeps the noise alone.

    What is left is a picture of one colour at the same noise level, as far as x0 is right.
    """
    mean = parts.clean.mean((-2, -1), keepdim=True)
    return parts.latent - parts.signal_level * (parts.clean - mean)


SUBSTRATES: Mapping[str, Callable[[Parts], Tensor]] = {
    "signal": signal,
    "renoise": renoise,
    "noise": noise,
    "blur": blur,
    "zero": zero,
}
