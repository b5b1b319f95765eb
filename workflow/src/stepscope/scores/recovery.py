"""RQ1 straight from the trace: what share of the error a step removes, by region and band."""

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import binary_dilation

from stepscope.pictures.regions import object_mask, onto
from stepscope.store import tables
from stepscope.store.maps import open_masks
from stepscope.store.traces import clean_predictions, final_latents, open_trace

REGIONS = ("object", "background", "border")
BANDS = ("low", "mid", "high")
NYQUIST = 0.5  # cycles per latent cell
FLOOR = 1e-6  # squared relative rounding error of float16, in which predictions are stored


def regions(mask: np.ndarray) -> np.ndarray:
    """Object, background and border cells of the latent grid, (region, h, w) bool.

    `mask` (h, w) is the objects' share of each cell. An object cell is covered by half or more; the
    border is one cell (of the 8 around) outside. Each cell is in exactly one region; without a mask
    (NaN) in none.
    """
    inside = mask >= 0.5
    border = binary_dilation(inside, np.ones((3, 3))) & ~inside
    return np.stack([inside, ~inside & ~border, border]) & np.isfinite(mask)


def bands(size: tuple[int, int]) -> np.ndarray:
    """Low, middle and high frequencies of a grid's transform by radius, (band, h, w) bool.

    Thirds of the radii up to the Nyquist frequency, 1/2 cycle a cell; the corners beyond it are
    high, the mean is low.
    """
    y, x = (np.fft.fftfreq(side) for side in size)
    radius = np.hypot(y[:, None], x)
    third = np.digitize(radius, [NYQUIST / 3, 2 * NYQUIST / 3])
    return np.stack([third == number for number in range(len(BANDS))])


def errors(denoised: np.ndarray, final: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Squared error d_k of clean predictions against the final latent, (step, region, band).

    The error is split by frequency first (inverse transforms of the bands sum to it) and each
    part's square is then summed over a region's cells and channels: over the whole grid the bands
    sum to the squared error (Parseval), and the regions of a band always do; the bands of one
    region need not, since parts of different frequency are orthogonal only on the whole grid.
    denoised (step, C, h, w), final (C, h, w), mask (h, w) share of the objects.
    """
    difference = np.fft.fft2(denoised.astype(np.float64) - final)
    split = np.fft.ifft2(difference[:, None] * bands(mask.shape)[:, None]).real
    return np.einsum("kbcyx,ryx->krb", split**2, regions(mask).astype(np.float64))


def recovered(denoised: np.ndarray, final: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Share of the first step's error that each later one removes, (step, region, band) f8.

    The share of step k is (d_{k-1} - d_k) / d_1 with d_k from `errors`, negative where the error
    grows. NaN at the first step, which has none before it, and where there is nothing to recover:
    in an empty region, or where d_1 is at most `FLOOR` times the mean square of the final latent
    for each of the region's values, which is the rounding of the stored predictions.
    """
    squared = errors(denoised, final, mask)
    share = np.full_like(squared, np.nan)
    cells = regions(mask).sum((1, 2))[:, None]
    least = FLOOR * np.mean(final.astype(np.float64) ** 2) * cells * len(final)
    first = np.where(squared[0] > least, squared[0], np.nan)
    share[1:] = (squared[:-1] - squared[1:]) / first
    return share


def recovery_table(tree: xr.DataTree, masks: xr.DataArray, keys: dict[str, str]) -> pd.DataFrame:
    """rq1_recovery of a batch: a row per sample, step, region and band."""
    denoised = clean_predictions(tree)
    final = final_latents(tree)
    objects = onto(object_mask(masks), final.shape[-2:])
    shares = np.stack([recovered(*sample) for sample in zip(denoised, final, objects, strict=True)])
    values = xr.Dataset(
        {"recovered": (("sample", "step", "region", "band"), shares)},
        coords={"region": list(REGIONS), "band": list(BANDS)} | tables.who_and_when(tree),
    )
    return tables.ordered(tables.tidy(values, keys), "rq1_recovery")


def write_recovery(path: str, *, traces: str, masks: str, keys: dict[str, str]) -> None:
    """Write a batch's part of rq1_recovery."""
    tables.write(path, recovery_table(open_trace(traces), open_masks(masks), keys))
