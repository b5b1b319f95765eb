"""Stores of maps, masks and previews: their layouts, writing and reading."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from stepscope.store.checked import CheckedStore
from stepscope.store.coordinates import SHARED, coordinates
from stepscope.store.zarr_files import write_dataset

PREVIEW = ("sample", "step", "prediction", "y", "x", "rgb")
IMAGE = ("sample", "image_y", "image_x", "rgb")
MASK = ("sample", "word", "y", "x")


def open_dataset(path: str) -> xr.Dataset:
    """Open a store of maps, previews or masks lazily; a torn one raises ValueError.

    So does the reading of a chunk that is missing or damaged.
    """
    dataset = xr.open_zarr(CheckedStore(path), consolidated=True, chunks=None)
    if "trace" not in dataset.attrs:
        raise ValueError(f"{path}: this is a zarr store, but not one of this workflow.")
    return dataset


def write_maps(
    path: str, maps: Mapping[str, xr.DataArray], tree: xr.DataTree, attrs: Mapping[str, Any]
) -> None:
    """Write maps (sample, step, [word], [layer], y, x) float32 with their trace's coordinates.

    NaN where a method was not computed. `<name>_se` holds the standard errors of `<name>`; numbers
    of the steps (sample, step, [word, [other_word]]) lie beside.
    """
    described = {
        name: values.astype("f4").assign_attrs(units="1", long_name=_long_name(name, maps))
        for name, values in maps.items()
    }
    dataset = xr.Dataset(described)
    _write_with_coordinates(path, dataset, tree, attrs)


def _long_name(name: str, maps: Mapping[str, xr.DataArray]) -> str:
    """What a variable of a store of maps is, in words."""
    if _is_error(name, maps):
        return f"standard error of {name.removesuffix('_se')}"
    if "y" not in maps[name].dims:
        of = {2: "step", 3: "word", 4: "pair of words"}[maps[name].ndim]
        return f"{name.replace('_', ' ')} of the {of}"
    return f"saliency by {name}"


def write_masks(path: str, mask: np.ndarray, tree: xr.DataTree, attrs: Mapping[str, Any]) -> None:
    """Write masks (sample, word, y, x), float32 in [0, 1], NaN where a word has none."""
    about = {"units": "1", "long_name": "share of a pixel that belongs to the word"}
    dataset = xr.Dataset({"mask": (MASK, mask.astype("f4"), about)})
    _write_with_coordinates(path, dataset, tree, attrs)


def _write_with_coordinates(
    path: str, dataset: xr.Dataset, tree: xr.DataTree, attrs: Mapping[str, Any]
) -> None:
    """Write a Dataset with the coordinates of its trace along the axes that it has.

    It may have some of the samples and steps alone, by their numbers.
    """
    every = xr.Dataset(coords=coordinates(tree))
    some = every.sel({axis: dataset[axis] for axis in ("sample", "step") if axis in dataset.coords})
    fitting = {
        name: coordinate.variable
        for name, coordinate in some.coords.items()
        if set(coordinate.dims) <= set(dataset.dims)
    }
    dataset = dataset.assign_coords(fitting)
    write_dataset(path, dataset.assign_attrs(attrs, trace=tree.attrs["digest"]))


def write_previews(
    path: str,
    preview: np.ndarray,
    image: np.ndarray,
    predictions: Sequence[str],
    tree: xr.DataTree,
    attrs: Mapping[str, Any],
) -> None:
    """Write pictures with the coordinates of their trace, but for those of words.

    preview (sample, step, prediction, y, x, rgb) u1 shows each of the named predictions, image
    (sample, y, x, rgb) u1 the final picture, at a size of its own.
    """
    dataset = xr.Dataset(
        {
            "preview": (PREVIEW, preview, {"units": "1", "long_name": "clean prediction, decoded"}),
            "image": (IMAGE, image, {"units": "1", "long_name": "final picture"}),
        },
        coords={"prediction": np.array(predictions, dtype=object)},
        attrs={"trace": tree.attrs["digest"], **attrs},
    )
    shared = coordinates(tree)
    names = ("sample", "step", *SHARED)
    write_dataset(path, dataset.assign_coords({name: shared[name] for name in names}))


def read_maps(path: str) -> dict[str, xr.DataArray]:
    """All maps of a store by name, float32, without their standard errors and numbers of steps."""
    variables = _variables(path)
    return {
        name: values
        for name, values in variables.items()
        if "y" in values.dims and not _is_error(name, variables)
    }


def read_methods(paths: Iterable[str], beside: Iterable[str] = ()) -> dict[str, xr.DataArray]:
    """All maps of the stores of several methods by name.

    A ValueError: a name that two stores have, or that is among those `beside` them, since the rows
    of both would be one method's.
    """
    maps: dict[str, xr.DataArray] = {}
    for path in paths:
        stored = read_maps(path)
        if taken := sorted(stored.keys() & {*maps, *beside}):
            raise ValueError(
                f"{path}: a map is called {taken[0]}, as another method's or a baseline's is; "
                "rename the method or its variant."
            )
        maps |= stored
    return maps


def read_interactions(paths: Iterable[str]) -> dict[str, xr.DataArray]:
    """Numbers of pairs of words (sample, step, word, other_word) in the stores of maps, by name."""
    return {
        str(name): values.load()
        for path in paths
        for name, values in open_dataset(path).data_vars.items()
        if "other_word" in values.dims
    }


def read_errors(path: str) -> dict[str, xr.DataArray]:
    """Standard errors of a store's maps, float32, by the map's name."""
    variables = _variables(path)
    return {
        name.removesuffix("_se"): errors
        for name, errors in variables.items()
        if _is_error(name, variables)
    }


def _variables(path: str) -> dict[str, xr.DataArray]:
    """All that a store holds, read into memory."""
    return {str(name): array.load() for name, array in open_dataset(path).data_vars.items()}


def _is_error(name: str, variables: Mapping[str, xr.DataArray]) -> bool:
    """Whether a variable holds the standard errors of another one."""
    return name.endswith("_se") and name.removesuffix("_se") in variables


def flat(maps: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """One map (sample, step, y, x) a method: layers summed, words averaged over those with a role.

    Word maps need the coordinate `word_role` (sample, word); a prompt without roles averages all
    its words. NaN stays where nothing was computed.
    """
    reduced = {}
    for name, values in maps.items():
        if "layer" in values.dims:
            values = values.sum("layer", min_count=1)
        if "word" in values.dims:
            with_role = values["word_role"] != ""
            used = with_role | ~with_role.any("word")
            reduced[name] = values.where(used).mean("word")
        else:
            reduced[name] = values
    return reduced


def is_of_words(values: xr.DataArray) -> bool:
    """Whether a method gives one map a word; those by layer and head have tables of their own."""
    return "word" in values.dims and "layer" not in values.dims


def open_masks(path: str) -> xr.DataArray:
    """Masks (sample, word, y, x) in [0, 1] at image size; NaN where a word has none."""
    return open_dataset(path)["mask"]


def ground_of(path: str) -> str:
    """Where the masks of a store are from: exact, segmenter, text_segmenter or masks."""
    return open_dataset(path).attrs["ground"]


def open_previews(path: str) -> xr.Dataset:
    """Pictures u1: preview (sample, step, prediction, y, x, rgb), image (sample, y, x, rgb)."""
    return open_dataset(path)


def final_pictures(path: str) -> np.ndarray:
    """Final pictures (sample, y, x, rgb) u1 of a store of previews."""
    return open_previews(path)["image"].to_numpy()


def prediction_pictures(previews: xr.Dataset) -> xr.DataArray:
    """Pictures (sample, step, prediction, y, x, rgb) u1 of the predictions that a trace has.

    Without guidance there is no unconditional one, as the attribute `missing` says.
    """
    names = previews["prediction"].to_numpy()
    present = [name not in previews.attrs["missing"] for name in names]
    return previews["preview"].isel(prediction=present).transpose("sample", "step", ...)


def read_sample(path: str, prompt_id: str, seed: int) -> xr.Dataset:
    """What a store of maps, masks or previews holds of one sample, without the axis of samples.

    A sample that the store lacks raises ValueError.
    """
    store = open_dataset(path)
    (sample,) = np.flatnonzero((store["prompt_id"] == prompt_id) & (store["seed"] == seed))
    return store.isel(sample=int(sample)).load().drop_vars("sample")


def final_picture(sample: xr.Dataset) -> xr.DataArray:
    """Final picture (y, x, rgb) u1 of a sample read from a store of previews."""
    return sample["image"].rename(image_y="y", image_x="x")
