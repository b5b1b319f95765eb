"""Scaling of values to the range from 0 to 1."""

import numpy as np


def minmax(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """(v - min) / (max - min) in the dtype of float `values`, over `axis` or over all of them.

    NaN entries are ignored and stay NaN. Where all entries are equal, all are NaN.
    """
    low = np.fmin.reduce(values, axis=axis, keepdims=True)
    span = np.fmax.reduce(values, axis=axis, keepdims=True) - low
    return (values - low) / np.where(span > 0, span, np.nan)


def scaled(values: np.ndarray) -> np.ndarray:
    """Values scaled to [0, 1]; zeros where they are all the same."""
    return minmax(values) if values.max() > values.min() else np.zeros_like(values)
