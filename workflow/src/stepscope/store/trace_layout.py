"""The layout of a trace store: its groups, axes and attributes, and its check."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from stepscope.store.zarr_files import CODECS, FLAT, encodings, write_arrays

READ, BYTES = 8, 2**28  # samples read at once by the check, fewer where they are large
PER_SAMPLE = ("prompts", "prompt_ids", "seeds", "words", "token_text", "reconstruction_error")
# Axes of the variable `value` of each group; names behind "_" are sizes.
AXES = {
    "latent": ("sample", "state", "channel", "y", "x"),
    "output": ("sample", "step", "half", "channel", "y", "x"),
    "denoised": ("sample", "step", "channel", "y", "x"),
    "attn": ("sample", "step", "word_token", "y", "x"),
    "heads": ("sample", "step", "head", "word_token", "y", "x"),
}
NAMES = {
    "latent": "latent before and after each step",
    "output": "raw output of the network",
    "denoised": "clean prediction, guided",
    "attn": "cross-attention, mean over heads and layers",
    "heads": "cross-attention of each head, layer after layer",
}
HALVES = ("uncond", "cond")
SECOND = {"conditioning": "half", "solver": "step"}  # second axis of the groups of named variables


def assemble(path: Path, parts: list[Path], key: str) -> None:
    """Put all parts into one store; attention is padded with NaN to the longest prompt.

    One array of one part is held at a time, and one file open, however many parts there are.
    """
    attrs = []
    for part in parts:
        with np.load(part) as opened:
            attrs.append(json.loads(str(opened["attrs"])))
    sizes = [len(item["prompts"]) for item in attrs]
    with np.load(parts[0]) as first:
        shared = root(first, attrs, key)
        write_arrays(path, shared, encodings(shared))
        group = zarr.open_group(path, mode="r+")
        arrays = {
            name: allocate(group, name, (sum(sizes), *_shape(name, of, shared)), of.dtype)
            for name in first.files
            if "/" in name
            for of in [first[name]]
        }
    ends = np.cumsum(sizes)
    for part, start, end in zip(parts, ends - sizes, ends, strict=True):
        with np.load(part) as opened:
            for name, array in arrays.items():
                values = opened[name]
                # a chunk is a sample, written once; those of a part together, as each call costs a
                # millisecond
                filled = (slice(length) for length in values.shape[1:])
                array[(slice(start, end), *filled)] = values


def _shape(name: str, values: np.ndarray, shared: xr.Dataset) -> tuple[int, ...]:
    """Shape of a sample in the store, of an array of one part."""
    axes = AXES.get(name.partition("_")[0], ())
    sizes = zip(values.shape, axes or ("",) * values.ndim, strict=True)
    _, *shape = (shared.sizes["word_token"] if axis == "word_token" else n for n, axis in sizes)
    return tuple(shape)


def allocate(group: zarr.Group, name: str, shape: tuple[int, ...], dtype: np.dtype) -> zarr.Array:
    """Create `<group>/<variable>` at its final shape; NaN marks what was never written."""
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=_chunk(name, shape),
        dimension_names=_axes(name, len(shape)),
        fill_value=np.nan if np.issubdtype(dtype, np.floating) else 0,
        attributes=_described(name),
        chunk_key_encoding=FLAT,
        compressors=CODECS,
        config={"write_empty_chunks": True},
    )


def _chunk(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A sample; of maps by head, which may be hundreds of megabytes, a step of it."""
    return (1, 1, *shape[2:]) if name.startswith("heads") else (1, *shape[1:])


def _described(name: str) -> dict[str, Any]:
    """Attributes of `<group>/<variable>`: its unit and what it is."""
    group, _, variable = name.partition("/")
    kind = group.partition("_")[0]
    return {"units": "1", "long_name": NAMES.get(kind) or f"{kind}: {variable.replace('_', ' ')}"}


def _axes(name: str, count: int) -> tuple[str, ...]:
    """Names of the axes of `<group>/<variable>`, so many."""
    group, _, variable = name.partition("/")
    kind = group.partition("_")[0]
    if kind in AXES:
        return AXES[kind]
    return ("sample", SECOND[kind], *(f"{variable}_{axis}" for axis in range(2, count)))


def per_sample(attrs: Sequence[Mapping[str, Any]]) -> dict[str, list]:
    """Attributes of parts that have an item for each sample, put together."""
    return {
        name: [item for part in attrs for item in part[name]]
        for name in PER_SAMPLE
        if name in attrs[0]
    }


def root(
    first: Mapping[str, np.ndarray], attrs: Sequence[Mapping[str, Any]], key: str
) -> xr.Dataset:
    """Coordinates that all groups share, and the attributes of the store, by its `first` part."""
    listed = per_sample(attrs)
    tokens = max(map(len, listed["token_text"]))
    text = np.full((len(listed["prompts"]), tokens), "", dtype=object)
    for row, names in enumerate(listed["token_text"]):
        text[row, : len(names)] = names
    timesteps = first["timesteps"]
    common = {name: value for name, value in attrs[0].items() if name not in (*listed, "split")}
    # a forward batch that did not fit into memory says into what sizes it was split
    sizes = [size for part in attrs for size in part.get("split", [len(part["prompts"])])]
    errors = listed.get("reconstruction_error")
    inverted = {} if errors is None else {"reconstruction_error": ("sample", np.array(errors))}
    return xr.Dataset(
        coords=inverted
        | {
            "sample": np.arange(len(listed["prompts"]), dtype="i4"),
            "step": np.arange(1, len(timesteps) + 1, dtype="i4"),
            "state": np.arange(len(timesteps) + 1, dtype="i4"),
            "half": np.array(HALVES, dtype=object),
            "timestep": ("step", timesteps, {"units": "1", "long_name": "time step of the model"}),
            "log_snr": ("step", first["log_snr"], {"units": "nat", "long_name": "log-SNR"}),
            "sigma": ("state", first["sigmas"], {"units": "1", "long_name": "noise scale"}),
            "seed": ("sample", np.array(listed["seeds"], dtype="i8")),
            "prompt_id": ("sample", np.array(listed["prompt_ids"], dtype=object)),
            "token_text": (("sample", "word_token"), text),
            "token_count": ("sample", np.array([*map(len, listed["token_text"])], dtype="i4")),
        },
        attrs={
            "digest": key,
            "prompts": listed["prompts"],
            "words": listed["words"],
            "forward_batches": sizes,
            **common,
        },
    )


def check(path: str | Path) -> None:
    """Refuse a trace store with a hole: NaN where the model put a number raises ValueError."""
    group = zarr.open_group(path, mode="r")
    counts = np.asarray(_array(group, "token_count")[:])
    attrs: Mapping[str, Any] = group.attrs
    guided = attrs["guidance"] > 1
    for name, array in _values(group):
        for row, (count, values) in enumerate(zip(counts, _rows(array), strict=True)):
            if name.startswith(("attn", "heads")):
                values = values[..., :count, :, :]
            if name.startswith("output") and not guided:
                values = values[:, 1:]  # there is no unconditional half
            if np.isnan(values).any():
                raise ValueError(f"{path}: {name} of sample {row} has missing or infinite numbers.")


def _values(group: zarr.Group) -> Iterator[tuple[str, zarr.Array]]:
    """Path and array of the variable `value` of each group that has one."""
    for key, inner in group.groups():
        if "value" in inner:
            yield f"{key}/value", _array(inner, "value")


def _rows(array: zarr.Array) -> Iterator[np.ndarray]:
    """Rows of an array, read some at a time: each call costs a millisecond."""
    rows = array.shape[0]
    count = max(1, min(READ, BYTES * rows // array.nbytes))
    for start in range(0, rows, count):
        yield from np.asarray(array[start : start + count])


def _array(group: zarr.Group, name: str) -> zarr.Array:
    """An array of a group."""
    array = group[name]
    assert isinstance(array, zarr.Array), f"{name} is a group"
    return array
