"""Bands of spatial frequency, in which tables tell layout from detail."""

import numpy as np

BANDS = ("low", "mid", "high")
NYQUIST = 0.5  # cycles per latent cell


def bands(size: tuple[int, int]) -> np.ndarray:
    """Low, middle and high frequencies of a grid's transform by radius, (band, h, w) bool.

    Thirds of the radii up to the Nyquist frequency, 1/2 cycle a cell; the corners beyond it are
    high, the mean is low.
    """
    y, x = (np.fft.fftfreq(side) for side in size)
    radius = np.hypot(y[:, None], x)
    third = np.digitize(radius, [NYQUIST / 3, 2 * NYQUIST / 3])
    return np.stack([third == number for number in range(len(BANDS))])
