"""Reading the zarr stores of traces, maps, previews and masks; the only module that knows them.

torch is imported only where tensors are asked for: tables and figures do without it.
"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from stepscope.writing import check, write_dataset

if TYPE_CHECKING:
    from torch import Tensor

    from stepscope.denoiser import Step
    from stepscope.words import Word

__all__ = ["check", "write_dataset"]

SHARED = ("prompt_id", "seed", "timestep", "log_snr")


def open_trace(path: str) -> xr.DataTree:
    """Open a trace store lazily; one whose writer died raises ValueError."""
    return xr.open_datatree(path, engine="zarr", consolidated=True, chunks=None)


def words_of(tree: xr.DataTree) -> "list[tuple[Word, ...]]":
    """Words of each sample's prompt."""
    from stepscope.words import Word

    return [
        tuple(Word(**{**word, "tokens": tuple(word["tokens"])}) for word in row)
        for row in tree.attrs["words"]
    ]


def step(tree: xr.DataTree, sample: int, number: int, mask: "Tensor | None" = None) -> "Step":
    """Step ``number`` (1..N) of a sample as tensors; ``mask`` (h, w) is the objects' share."""
    import torch

    from stepscope.denoiser import Step

    def read(name: str, **at: int) -> torch.Tensor:
        return torch.from_numpy(tree[name].isel(sample=sample, **at).values)

    return Step(
        number=number,
        timestep=float(tree["timestep"][number - 1]),
        log_snr=float(tree["log_snr"][number - 1]),
        latent=read("latent/value", state=number - 1),
        after=read("latent/value", state=number),
        outputs=read("output/value", step=number - 1),
        denoised=read("denoised/value", step=number - 1).float(),
        conditioning={name: read(f"conditioning/{name}") for name in tree["conditioning"]},
        words=words_of(tree)[sample],
        prompt=tree.attrs["prompts"][sample],
        negative_prompt=tree.attrs["negative_prompt"],
        prompt_id=str(tree["prompt_id"].values[sample]),
        seed=int(tree["seed"][sample]),
        attention={
            _size(name): read(f"{name}/value", step=number - 1).float()
            for name in tree.children
            if name.startswith("attn_")
        },
        mask=mask,
        history=read("solver/model_outputs", step=number - 1) if "solver" in tree else None,
    )


def steps(tree: xr.DataTree, sample: int, mask: "Tensor | None" = None) -> "list[Step]":
    """All steps of a sample, from the noisiest."""
    return [step(tree, sample, int(number), mask) for number in tree["step"].values]


def _size(name: str) -> tuple[int, int]:
    height, width = name.removeprefix("attn_").split("x")
    return int(height), int(width)


def coordinates(tree: xr.DataTree) -> dict[str, xr.Variable]:
    """Coordinates that everything made from a trace shares: who a sample is, when a step was."""
    shared = {name: tree[name].variable for name in (*SHARED, "sample", "step")}
    return shared | word_coordinates(tree)


def word_coordinates(tree: xr.DataTree) -> dict[str, xr.Variable]:
    """Text and role of each sample's words, (sample, word), empty beyond a prompt's last word."""
    rows = tree.attrs["words"]
    shape = len(rows), max(map(len, rows))
    text, role = np.full(shape, "", dtype=object), np.full(shape, "", dtype=object)
    for row, words in enumerate(rows):
        for word in words:
            text[row, word["index"]], role[row, word["index"]] = word["text"], word["role"]
    axes = ("sample", "word")
    return {"word_text": xr.Variable(axes, text), "word_role": xr.Variable(axes, role)}


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
