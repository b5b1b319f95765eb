"""RQ1 straight from the trace: what share of the picture a step recovers, by region and band."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from stepscope.diffusion.levels import levels
from stepscope.pictures.regions import REGIONS, object_mask, onto, split
from stepscope.scores import gaussian_null
from stepscope.scores.frequencies import BANDS, bands
from stepscope.store import tables
from stepscope.store.maps import ground_of, open_masks
from stepscope.store.moments import read_moments
from stepscope.store.traces import (
    Recorded,
    latent_size,
    open_trace,
    recorded_samples,
    times_of,
)

PREDICTIONS = ("e_u", "e_c", "guided", "gaussian")
FLOOR = 1e-6  # squared relative rounding error of float16, in which predictions are stored


def errors(denoised: np.ndarray, final: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Squared error d_k of clean predictions against the final latent, (step, region, band).

    The error is split by frequency first (inverse transforms of the bands sum to it) and each
    part's square is then summed over a region's cells and channels: over the whole grid the bands
    sum to the squared error (Parseval), and the regions of a band always do; the bands of one
    region need not, since parts of different frequency are orthogonal only on the whole grid.
    denoised (step, C, h, w), final (C, h, w), mask (h, w) share of the objects.
    """
    difference = np.fft.fft2(denoised.astype(np.float64) - final)
    parts = np.fft.ifft2(difference[:, None] * bands(mask.shape)[:, None]).real
    return np.einsum("kbcyx,ryx->krb", parts**2, split(mask).astype(np.float64))


def recovered(
    denoised: np.ndarray,
    final: np.ndarray,
    mask: np.ndarray,
    mean: np.ndarray,
    log_snr: np.ndarray,
) -> np.ndarray:
    """Share of the picture that each step recovers per nat of log-SNR, (step, region, band) f8.

    That of step k is (d_{k-1} - d_k) / d_mean over the log-SNR between the two, with d_k from
    `errors` and d_mean the error of the mean latent `mean` (C,): knowing nothing of the picture
    leaves 1, guidance's overshoot is above it. Negative where the error grows. NaN at the first
    step, which has none before it, and where there is nothing to recover: in an empty region, or
    where d_mean is at most `FLOOR` times the mean square of the final latent for each of the
    region's values, which is the rounding of the stored predictions. log_snr (step,) in nats.
    """
    squared = errors(denoised, final, mask)
    unknown = errors(np.broadcast_to(mean[:, None, None], final.shape)[None], final, mask)[0]
    cells = split(mask).sum((1, 2))[:, None]
    least = FLOOR * np.mean(final.astype(np.float64) ** 2) * cells * len(final)
    whole = np.where(unknown > least, unknown, np.nan)
    share = np.full_like(squared, np.nan)
    share[1:] = -np.diff(squared, axis=0) / whole / np.diff(log_snr)[:, None, None]
    return share


def recovery_table(
    tree: xr.DataTree,
    masks: xr.DataArray,
    moments: tuple[np.ndarray, np.ndarray],
    keys: dict[str, str],
) -> pd.DataFrame:
    """rq1_recovery of a batch: a row per sample, step, prediction, region and band.

    `moments` are the mean and spectra of the sampling's final latents. The prediction "gaussian" is
    the null: what a denoiser with these moments, which knows no objects, recovers from the sample's
    noise, in the regions of the sample's picture.
    """
    mean, _ = moments
    log_snr = times_of(tree)["log_snr"]
    objects = onto(object_mask(masks), latent_size(tree))
    shares = [
        [
            recovered(denoised, final, mask, mean, log_snr)
            for denoised, final in _predicted(sample, tree, moments)
        ]
        for sample, mask in zip(recorded_samples(tree), objects, strict=True)
    ]
    dims = ("sample", "prediction", "step", "region", "band")
    coords = {"prediction": list(PREDICTIONS), "region": list(REGIONS), "band": list(BANDS)}
    values = xr.Dataset(
        {"recovered": (dims, np.array(shares))}, coords=coords | tables.who_and_when(tree)
    )
    return tables.ordered(tables.tidy(values, keys), "rq1_recovery")


def _predicted(
    sample: Recorded, tree: xr.DataTree, moments: tuple[np.ndarray, np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Clean latents (step, C, y, x) of each of the `PREDICTIONS`, with the latent they lead to."""
    final = sample.latents[-1]
    log_snr = times_of(tree)["log_snr"]
    for half in halves(sample, log_snr, tree.attrs):
        yield half, final
    yield sample.denoised, final
    noise = sample.latents[0] / np.sqrt(np.mean(np.square(sample.latents[0], dtype=np.float64)))
    forward = tree.attrs["trace"] == "noise"
    null = gaussian_null.predictions(noise, log_snr, *moments, forward=forward)
    yield null, null[-1]


def halves(sample: Recorded, log_snr: np.ndarray, attrs: Mapping[Any, Any]) -> np.ndarray:
    """Clean latents (half, step, C, y, x) by the unconditional and the conditional output.

    A clean latent is linear in the output, so that those of the halves are as far from the stored
    guided one as their outputs are from the guided output. NaN for a half that there is not.
    """
    outputs = sample.outputs.astype(np.float64).swapaxes(0, 1)  # (half, step, C, y, x)
    uncond, cond = outputs
    mixed = cond
    if attrs["guidance"] > 1:
        mixed = uncond + attrs["guidance"] * (cond - uncond)
        if rescale := attrs["guidance_rescale"]:  # as in `diffusion.prediction.guided`
            spread = [of.std((1, 2, 3), keepdims=True) for of in (cond, mixed)]
            mixed = mixed * (1 - rescale + rescale * spread[0] / spread[1])
    by_output = np.array([_by_output(level, attrs["prediction_type"]) for level in log_snr])
    return sample.denoised + by_output[:, None, None, None] * (outputs - mixed)


def _by_output(log_snr: float, prediction_type: str) -> float:
    """What the clean latent gains with an output (see `diffusion.prediction.clean`)."""
    alpha, sigma = levels(float(log_snr), prediction_type)
    if prediction_type == "sample":
        return 1.0
    return -sigma / alpha if prediction_type == "epsilon" else -sigma


def write_recovery(
    path: str, *, traces: str, masks: str, moments: str, keys: dict[str, str]
) -> None:
    """Write a batch's part of rq1_recovery."""
    tree, keys = open_trace(traces), keys | {"masks": ground_of(masks)}
    tables.write(path, recovery_table(tree, open_masks(masks), read_moments(moments), keys))
