"""Stores of maps, masks and previews: reading all of them, writing maps and masks."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from stepscope.store.traces import coordinates
from stepscope.store.zarr_files import write_dataset

if TYPE_CHECKING:
    pass


def write_maps(path: str, maps: dict[str, xr.DataArray], tree: xr.DataTree, attrs: dict) -> None:
    """Write maps (sample, step, [word | layer], y, x) float32 with their trace's coordinates.

    NaN where a method was not computed. ``<name>_se`` holds the standard errors of ``<name>``.
    """
    dataset = xr.Dataset({name: values.astype("f4") for name, values in maps.items()})
    dataset = dataset.assign_coords(_fitting(coordinates(tree), dataset))
    write_dataset(path, dataset.assign_attrs(attrs, trace=tree.attrs["digest"]))


def _fitting(coords: dict, dataset: xr.Dataset) -> dict:
    """Leave out coordinates along axes that no variable has."""
    return {name: value for name, value in coords.items() if set(value.dims) <= set(dataset.dims)}


def open_dataset(path: str) -> xr.Dataset:
    """Open a store of maps, previews or masks lazily; a torn one raises ValueError."""
    return xr.open_zarr(path, consolidated=True, chunks=None)


def read_maps(path: str) -> dict[str, xr.DataArray]:
    """All maps of a store by name, without their standard errors."""
    return {name: values for name, values in _variables(path).items() if not _is_error(name, path)}


def flat(maps: dict[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """One map (sample, step, y, x) a method: layers summed, words averaged over those with a role.

    Word maps need the coordinate ``word_role`` (sample, word); a prompt without roles averages all
    its words. NaN stays where nothing was computed.
    """
    reduced = {}
    for name, values in maps.items():
        if "layer" in values.dims:
            reduced[name] = values.sum("layer", min_count=1)
        elif "word" in values.dims:
            with_role = values["word_role"] != ""
            used = with_role | ~with_role.any("word")
            reduced[name] = values.where(used).mean("word")
        else:
            reduced[name] = values
    return reduced


def read_errors(path: str) -> dict[str, xr.DataArray]:
    """Standard errors of a store's maps, by the map's name."""
    return {
        name.removesuffix("_se"): values
        for name, values in _variables(path).items()
        if _is_error(name, path)
    }


def _variables(path: str) -> dict[str, xr.DataArray]:
    return {str(name): values.load() for name, values in open_dataset(path).data_vars.items()}


def _is_error(name: str, path: str) -> bool:
    return name.endswith("_se") and name.removesuffix("_se") in open_dataset(path).data_vars


def open_previews(path: str) -> xr.Dataset:
    """Pictures: preview (sample, step, prediction, y, x, rgb) and image (sample, y, x, rgb), u1."""
    return open_dataset(path)


def open_masks(path: str) -> xr.DataArray:
    """Masks (sample, word, y, x) in [0, 1] at image size; NaN where a word has none."""
    return open_dataset(path)["mask"]


def write_masks(path: str, mask: np.ndarray, tree: xr.DataTree, attrs: dict) -> None:
    """Write masks (sample, word, y, x), float32 in [0, 1], NaN where a word has none."""
    dataset = xr.Dataset({"mask": (("sample", "word", "y", "x"), mask.astype("f4"))})
    dataset = dataset.assign_coords(_fitting(coordinates(tree), dataset))
    write_dataset(path, dataset.assign_attrs(attrs, trace=tree.attrs["digest"]))
