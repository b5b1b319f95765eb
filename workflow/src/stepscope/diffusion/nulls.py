"""Denoisers that decide nothing: the Gaussian null without objects, and a fixed picture."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from stepscope.diffusion import prediction
from stepscope.diffusion.denoiser import Denoiser, Latents
from stepscope.diffusion.planted import NoisePredicting
from stepscope.diffusion.step import Step


class GaussianNull(NoisePredicting):
    """The optimal denoiser of a stationary Gaussian; it knows neither objects, places nor text.

    E[x0 | z] = m + alpha S (alpha^2 S + sigma^2 I)^-1 (z - alpha m), with S the spectra: linear in
    the latent, at every frequency by itself.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        mean: Float[np.ndarray, " channel"],
        spectra: Complex[np.ndarray, "y x channel channel"],
    ) -> None:
        """`mean` and complex `spectra` are those of `store.moments`, of the latents' size."""
        super().__init__(denoiser)
        self.mean = torch.from_numpy(mean).double()[:, None, None]
        values, self.vectors = torch.linalg.eigh(torch.from_numpy(spectra))
        self.values = values.clamp(min=0)

    def _noise(self, z: Latents, step: Step) -> Latents:
        alpha, sigma = prediction.levels(step.log_snr, self.prediction_type)
        gain = sigma / (alpha**2 * self.values + sigma**2)
        filters = (self.vectors * gain[..., None, :] @ self.vectors.mH).to(z.device)
        wave = torch.fft.fft2(z.double() - alpha * self.mean.to(z.device))
        filtered = torch.einsum("yxcd,bdyx->bcyx", filters, wave)
        return torch.fft.ifft2(filtered).real.to(z.dtype)


class FixedPicture(NoisePredicting):
    """Predicts one clean latent for each sample, whatever it is given."""

    def __init__(self, denoiser: Denoiser, pictures: Mapping[tuple[str, int], Tensor]) -> None:
        """`pictures` are clean latents (C, h, w) by prompt_id and seed."""
        super().__init__(denoiser)
        self.pictures = pictures

    def _noise(self, z: Latents, step: Step) -> Latents:
        alpha, sigma = prediction.levels(step.log_snr, self.prediction_type)
        return (z - alpha * self.pictures[step.prompt_id, step.seed].to(z)) / sigma
