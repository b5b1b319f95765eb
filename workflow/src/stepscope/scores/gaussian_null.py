"""A sampling without objects: the optimal denoiser of a Gaussian with the final latents' spectra.

What it recovers first and last follows from the spectra alone, so that only what a model does
beyond it says anything of objects.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from stepscope.store.moments import write_moments
from stepscope.store.traces import final_latents, open_trace


def moments(finals: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean (C,) f8 and spectra about it (y, x, C, C) c16 of latents (C, y, x).

    The mean is each channel's over all cells and latents. The spectra are those of a stationary
    Gaussian on a torus: at every frequency, the covariance of the channels' orthonormal Fourier
    coefficients, so that white noise of variance 1 has the identity everywhere.
    """
    count, sums, products = 0, np.zeros(1), np.zeros(1, np.complex128)
    for final in finals:
        wave = np.moveaxis(np.fft.fft2(final.astype(np.float64), norm="ortho"), 0, -1)
        count, sums = count + 1, sums + final.mean((1, 2), dtype=np.float64)
        products = products + wave[..., :, None] * wave[..., None, :].conj()
    mean, spectra = sums / count, products / count
    height, width = spectra.shape[:2]
    spectra[0, 0] -= height * width * np.outer(mean, mean)  # other frequencies have no mean
    return mean, spectra


def predictions(
    noise: np.ndarray,
    log_snr: np.ndarray,
    mean: np.ndarray,
    spectra: np.ndarray,
    *,
    forward: bool = False,
) -> np.ndarray:
    """Clean predictions (step, C, y, x) f8 of the optimal denoiser, from noise (C, y, x).

    E[x0 | u] = m + S (S + s^2)^-1 (u - m) for u = x0 + s noise with s = exp(-log_snr / 2), where S
    are the spectra of `moments`. The steps are those of first-order DPM-Solver++, which is linear
    here and solved in the spectra's eigenvectors. `forward` predicts the picture that these steps
    lead to, with the noise added to it again at each step, as real pictures are traced.
    """
    values, vectors = np.linalg.eigh(spectra)
    values = values.clip(min=0)
    ratio = np.exp(-np.asarray(log_snr, np.float64) / 2)[:, None, None, None]  # noise to signal
    kept = values / (values + ratio**2)
    wave = np.fft.fft2(noise, norm="ortho")
    of_noise = np.einsum("yxck,cyx->yxk", vectors.conj(), wave)
    wave = np.sqrt(1 + ratio[0] ** 2) * wave
    wave[:, 0, 0] -= np.sqrt(noise[0].size) * mean
    start = np.einsum("yxck,cyx->yxk", vectors.conj(), wave)
    moved = (values + ratio[:-1] * ratio[1:]) / (values + ratio[:-1] ** 2)
    states = start * np.cumprod(np.concatenate([np.ones((1, *values.shape)), moved]), axis=0)
    if forward:
        states = states[-1] * kept[-1] + ratio * of_noise
    waves = np.einsum("yxck,nyxk->ncyx", vectors, kept * states)
    return np.fft.ifft2(waves, norm="ortho").real + mean[:, None, None]


def write_finals(path: str, traces: Sequence[str]) -> None:
    """Write the moments of the final latents of one model, dataset and sampling, all batches."""
    trees = map(open_trace, traces)
    write_moments(path, *moments(final for tree in trees for final in final_latents(tree)))
