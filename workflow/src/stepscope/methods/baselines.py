"""Maps that know nothing of the model: random, centre, and edges of the picture."""

import hashlib

import numpy as np
import xarray as xr
from skimage.filters import sobel

from stepscope.pictures import regions
from stepscope.store.coordinates import sample_and_step_numbers
from stepscope.store.traces import latent_size, prompt_ids_of, sample_and_step_counts, seeds_of

NAMES = ("random", "centre", "edge")


def maps(
    tree: xr.DataTree, seed: int, pictures: np.ndarray | None = None
) -> dict[str, xr.DataArray]:
    """Baseline maps {name: (sample, step, y, x) float32} on a trace's latent grid.

    `pictures` (sample, y, x, rgb) u1, the final ones, add the map "edge", the same at every step.
    """
    size = latent_size(tree)
    shape = (*sample_and_step_counts(tree), *size)
    arrays = {
        "random": np.stack(
            [
                random(seed, prompt_id, number, shape[1:])
                for prompt_id, number in zip(prompt_ids_of(tree), seeds_of(tree), strict=True)
            ]
        ),
        "centre": np.broadcast_to(centre(size), shape),
    }
    if pictures is not None:
        edges = np.stack([edge(picture, size) for picture in pictures])
        arrays["edge"] = np.broadcast_to(edges[:, None], shape)
    coords = sample_and_step_numbers(tree)
    return {
        name: xr.DataArray(array, coords, ("sample", "step", "y", "x"))
        for name, array in arrays.items()
    }


def random(seed: int, prompt_id: str, number: int, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers in [0, 1), float32, the same for a sample whatever else is in its batch."""
    return generator("random", seed, prompt_id, number).random(shape, dtype=np.float32)


def generator(*names: object) -> np.random.Generator:
    """A generator of its own for these names, the same on every machine."""
    key = hashlib.sha256("/".join(map(str, names)).encode()).digest()[:8]
    return np.random.default_rng(int.from_bytes(key, "little"))


def centre(size: tuple[int, int]) -> np.ndarray:
    """A Gaussian (h, w), float32, in the middle, with a quarter of each side as its sigma."""
    y, x = (((np.arange(n) + 0.5) / n - 0.5) * 4 for n in size)
    return np.exp(-(y[:, None] ** 2 + x**2) / 2).astype(np.float32)


def edge(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sobel magnitude of the brightness of a picture (y, x, rgb) u1, averaged onto the grid."""
    return regions.onto(sobel(picture.mean(-1) / 255), size).astype(np.float32)
