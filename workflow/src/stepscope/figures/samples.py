"""The samples that the picture figures draw, read from the stores of previews, masks and maps."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import xarray as xr

from stepscope.pictures import regions
from stepscope.store.maps import final_picture, flat, read_sample

KEYS = ("model", "dataset", "sampling", "prompt_id", "prompt", "seed")


def load_samples(
    records: Sequence[Mapping[str, Any]],
    previews: Sequence[str],
    masks: Sequence[str],
    maps: Sequence[str],
    method: str,
    per_word: bool = False,
    per_layer: bool = False,
) -> list[xr.Dataset]:
    """Read one dataset per record (see `KEYS`) that has a map; each record has a path of each kind.

    preview (step, prediction, y, x, rgb) u1; image (image_y, image_x, rgb) u1; mask (mask_y,
    mask_x) in [0, 1], the union of the subject and the objects; map (step, map_y, map_x), reduced
    as `maps.flat` does, or (step, word | layer, map_y, map_x) of a map `per_word` or `per_layer`;
    error, the standard error of a map that has one and is not reduced; attrs are the record's.
    """
    samples = []
    for record, *paths in zip(records, previews, masks, maps, strict=True):
        pictures, mask, saliency = (
            read_sample(path, record["prompt_id"], record["seed"]) for path in paths
        )
        values = saliency[method]
        kept = [axis for axis, asked in (("word", per_word), ("layer", per_layer)) if asked]
        if not set(kept) & set(values.dims):
            values = flat({method: values})[method]
        values = values.rename(y="map_y", x="map_x")
        if np.isfinite(values).any():
            objects = regions.object_mask(mask["mask"])
            sample = pictures[["preview", "image"]].assign(
                map=values.drop_vars(["word_text", "word_role"], errors="ignore"),
                mask=(("mask_y", "mask_x"), np.nan_to_num(objects)),
            )
            error = saliency.get(f"{method}_se")
            if error is not None and error.dims == saliency[method].dims == ("step", "y", "x"):
                sample["error"] = error.rename(y="map_y", x="map_x")
            samples.append(sample.assign_attrs({key: record[key] for key in KEYS}))
    return samples


def load_previews(
    records: Sequence[Mapping[str, Any]], previews: Sequence[str]
) -> list[xr.Dataset]:
    """Read the clean predictions of one sample per record (see `KEYS`).

    preview (step, prediction, y, x, rgb) u1, log_snr (step) f8; attrs are the record's.
    """
    return [
        read_sample(path, record["prompt_id"], record["seed"])[["preview"]].assign_attrs(
            {key: record[key] for key in KEYS}
        )
        for record, path in zip(records, previews, strict=True)
    ]


def load_by_sampling(
    records: Sequence[Mapping[str, Any]], previews: Sequence[str]
) -> list[xr.Dataset]:
    """Read the final pictures, one dataset per model and dataset of prompts.

    image (sampling, prompt, y, x, rgb) u1, log_snr (sampling, step) f8, seed and prompt_id
    (prompt); `records` come sorted by model, dataset and prompt, with every sampling of a prompt
    together.
    """

    def unit(pair: tuple[Mapping[str, Any], str]) -> tuple[str, str]:
        record, _ = pair
        return record["model"], record["dataset"]

    def prompt(pair: tuple[Mapping[str, Any], str]) -> str:
        record, _ = pair
        return record["prompt_id"]

    figures = []
    for (model, name), pairs in groupby(zip(records, previews, strict=True), unit):
        columns = [
            _joined([_final(*pair) for pair in row], "sampling")
            for _, row in groupby(pairs, prompt)
        ]
        figures.append(_joined(columns, "prompt").assign_attrs(model=model, dataset=name))
    return figures


def steps_with_map(sample: xr.Dataset) -> np.ndarray:
    """Select the steps, int (step,), at which a sample's `map` has a finite value."""
    values = sample["map"].transpose("step", ...).to_numpy()
    finite = np.isfinite(values.reshape(len(values), -1)).any(axis=1)
    return sample["step"].to_numpy()[finite]


def _joined(parts: list[xr.Dataset], axis: str) -> xr.Dataset:
    """Join along an axis what has it; a shorter schedule is filled with NaN at its end."""
    return xr.concat(
        parts, axis, data_vars="minimal", coords="minimal", compat="override", join="outer"
    )


def _final(record: Mapping[str, Any], path: str) -> xr.Dataset:
    """Take a sample's final picture and its steps' log-SNR, named by its sampling."""
    sample = read_sample(path, record["prompt_id"], record["seed"])
    image = final_picture(sample)
    final = xr.Dataset(
        {
            "image": image.variable.set_dims(("prompt", *image.dims)),
            "log_snr": sample["log_snr"].variable,
        },
        coords={
            "step": sample["step"].to_numpy(),
            **{name: ("prompt", [record[name]]) for name in ("seed", "prompt_id")},
        },
    )
    return final.expand_dims("sampling").assign_coords(
        sampling=[record["sampling"]], prompt=[record["prompt"]]
    )
