"""What share of the error each step of a sampling leaves, over all samples of a dataset."""

from collections.abc import Iterable, Sequence

import numpy as np

from stepscope.store.error_left import write_curve
from stepscope.store.traces import open_trace, predictions_and_finals, times_of


def error_left(samples: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Median over samples of the error left at each step, (step,) float64.

    A sample is its guided clean predictions (step, C, h, w) and its final latent (C, h, w). Its
    error left at step k is ||x0(k) - final||^2 / ||mean - final||^2, where the mean is each
    channel's over the cells of all samples' final latents: 1 is what knowing nothing of the picture
    leaves, guidance can begin above it. Without a final latent that differs from the mean, a
    ValueError.
    """
    errors, sums, squares, cells = [], [], [], 1
    for denoised, final in samples:
        wide = final.astype(np.float64)
        errors.append(((denoised - wide) ** 2).sum((1, 2, 3)))
        sums.append(wide.sum((1, 2)))
        squares.append((wide**2).sum())
        cells = wide[0].size
    mean = np.mean(sums, axis=0) / cells
    # ||mean - final||^2 of each sample, without a second look at it
    distance = np.array(squares) - 2 * np.array(sums) @ mean + cells * mean @ mean
    if not (known := distance > 0).any():
        raise ValueError("error_left: all final latents are their mean, so no error has a size.")
    return np.median(np.array(errors)[known] / distance[known, None], axis=0)


def write_error_left(path: str, traces: Sequence[str]) -> None:
    """Write the curve of the traces of one model, dataset and sampling, all batches together."""
    trees = [open_trace(trace) for trace in traces]
    left = error_left(pair for tree in trees for pair in predictions_and_finals(tree))
    write_curve(path, times_of(trees[0]) | {"error_left": left})
