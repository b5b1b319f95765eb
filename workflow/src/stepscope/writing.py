"""Writing zarr stores: partial files under a lock, assembled, checked, and renamed into place.

A torn store is never seen and a killed job loses one forward batch. Working on in place cannot do
that: Snakemake deletes the output of a job that was killed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from stepscope.joblog import bar

SCHEMA_VERSION = 1
# The separator "/" would make several folders for every chunk.
FLAT = {"name": "default", "separator": "."}
PER_SAMPLE = ("prompts", "prompt_ids", "seeds", "words", "token_text", "reconstruction_error")
# Axes behind (sample, step or state) of each group's ``value``.
AXES = {
    "latent": ("sample", "state", "channel", "y", "x"),
    "output": ("sample", "step", "half", "channel", "y", "x"),
    "denoised": ("sample", "step", "channel", "y", "x"),
    "attn": ("sample", "step", "word_token", "y", "x"),
}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file lock ``path``; whoever is killed releases it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another job writes this store; waiting for {path}.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(**parts: object) -> str:
    """Digest of plain values: what a store is made from."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def write_in_parts(
    path: str,
    partial: str,
    key: str,
    count: int | Callable[[], int],
    make: Callable[[int], tuple[dict[str, np.ndarray], dict]],
) -> None:
    """Write the trace store ``path`` from ``count`` parts, making only those not yet on disk.

    ``make(i)`` returns the arrays (see ``allocate``) and the attributes of forward batch i; each is
    kept in ``partial`` as ``<key>.<i>.npz`` until the store is complete. A function ``count`` is
    called once the store's lock is held.
    """
    store, folder = Path(path), Path(partial)
    name = hashlib.sha256(os.path.abspath(path).encode()).hexdigest()[:16]
    with locked(folder / f"{name}.lock"):
        if store.exists():
            if is_complete(store, key):
                print(f"{path} was completed by another job.")
                return
            shutil.rmtree(store)
        count = count() if callable(count) else count
        parts = [folder / f"{key}.{index}.npz" for index in range(count)]
        missing = [index for index, part in enumerate(parts) if not part.exists()]
        print(f"{len(missing)} of {count} forward batches to make.", flush=True)
        for index in bar(missing, "forward batches"):
            save_part(parts[index], *make(index))
        assembled = folder / f"{key}.zarr"
        assemble(assembled, parts, key)
        check(assembled)
        commit(assembled, store)
        for part in parts:
            part.unlink()


def is_complete(store: Path, key: str) -> bool:
    """Whether a store was committed and is made from what ``key`` says."""
    try:
        return zarr.open_group(store, mode="r", use_consolidated=True).attrs.get("digest") == key
    except (ValueError, FileNotFoundError):
        return False


def save_part(path: Path, arrays: dict[str, np.ndarray], attrs: dict) -> None:
    """Write one forward batch under a temporary name and rename it."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, attrs=np.array(json.dumps(attrs)), **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def assemble(path: Path, parts: list[Path], key: str) -> None:
    """Put all parts into one store; attention is padded with NaN to the longest prompt."""
    shutil.rmtree(path, ignore_errors=True)
    opened = [np.load(part) for part in parts]
    attrs = [json.loads(str(part["attrs"])) for part in opened]
    sizes = [len(item["prompts"]) for item in attrs]
    shapes = {
        name: (sum(sizes), *np.max([part[name].shape[1:] for part in opened], axis=0).tolist())
        for name in opened[0].files
        if "/" in name
    }
    shared = root(opened, attrs, key)
    shared.to_zarr(path, zarr_format=3, consolidated=False, encoding=_flat(shared))
    group = zarr.open_group(path, mode="r+")
    for name, shape in shapes.items():
        array = allocate(group, name, shape, opened[0][name].dtype)
        start = 0
        for part, size in zip(opened, sizes, strict=True):
            values = part[name]
            for row in range(size):  # a chunk is a sample: each is written once
                array[(start + row, *map(slice, values.shape[1:]))] = values[row]
            start += size


def allocate(group: zarr.Group, name: str, shape: tuple[int, ...], dtype: np.dtype) -> zarr.Array:
    """Create ``<group>/<variable>`` at its final shape; NaN marks what was never written."""
    kind = name.split("/")[0].split("_")[0]
    variable = name.split("/")[1]
    second = {"conditioning": "half", "solver": "step"}.get(kind)
    axes = AXES.get(kind) or (
        "sample",
        second,
        *(f"{variable}_{axis}" for axis in range(2, len(shape))),
    )
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(1, *shape[1:]),
        dimension_names=axes,
        fill_value=np.nan if np.issubdtype(dtype, np.floating) else 0,
        attributes={"units": "1"},
        chunk_key_encoding=FLAT,
    )


def per_sample(attrs: Sequence[dict]) -> dict[str, list]:
    """Attributes of parts that have an item for each sample, put together."""
    return {
        name: [item for part in attrs for item in part[name]]
        for name in PER_SAMPLE
        if name in attrs[0]
    }


def root(parts: list, attrs: list[dict], key: str) -> xr.Dataset:
    """Coordinates that all groups share, and the attributes of the store."""
    first = attrs[0]
    listed = per_sample(attrs)
    tokens = max(map(len, listed["token_text"]))
    text = np.full((len(listed["prompts"]), tokens), "", dtype=object)
    for row, names in enumerate(listed["token_text"]):
        text[row, : len(names)] = names
    timesteps = parts[0]["timesteps"]
    rest = {name: value for name, value in first.items() if name not in (*listed, "split")}
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
            "timestep": ("step", timesteps, {"units": "1"}),
            "log_snr": ("step", parts[0]["log_snr"], {"units": "nat"}),
            "sigma": ("state", parts[0]["sigmas"], {"units": "1"}),
            "seed": ("sample", np.array(listed["seeds"], dtype="i8")),
            "prompt_id": ("sample", np.array(listed["prompt_ids"], dtype=object)),
            "token_text": (("sample", "word_token"), text),
            "token_count": ("sample", np.array([*map(len, listed["token_text"])], dtype="i4")),
        },
        attrs={
            "schema_version": SCHEMA_VERSION,
            "digest": key,
            "prompts": listed["prompts"],
            "words": listed["words"],
            "forward_batches": sizes,
            **rest,
        },
    )


def check(path: str | Path) -> None:
    """Refuse a trace store with a hole: any NaN where the model put a number."""
    group = zarr.open_group(path, mode="r")
    counts = group["token_count"][:]
    guided = group.attrs["guidance"] > 1
    for name, array in ((f"{key}/value", item["value"]) for key, item in _groups(group)):
        for row, count in enumerate(counts):
            values = array[row]
            if name.startswith("attn"):
                values = values[:, :count]
            if name.startswith("output") and not guided:
                values = values[:, 1:]  # there is no unconditional half
            if np.isnan(values).any():
                raise ValueError(f"{path}: {name} of sample {row} has missing or infinite numbers.")


def _groups(group: zarr.Group) -> list[tuple[str, zarr.Group]]:
    return [(key, item) for key, item in group.groups() if "value" in item]


def write_dataset(path: str, dataset: xr.Dataset) -> None:
    """Write a Dataset as one consolidated zarr store, by way of a temporary name."""
    temporary = Path(f"{path}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    dataset = dataset.drop_encoding()
    encoding = _flat(dataset)
    for name, variable in dataset.data_vars.items():
        encoding[name]["chunks"] = (1, *variable.shape[1:])
        if np.issubdtype(variable.dtype, np.floating):
            encoding[name]["_FillValue"] = np.nan
    dataset.to_zarr(temporary, zarr_format=3, consolidated=False, encoding=encoding)
    commit(temporary, Path(path))


def _flat(dataset: xr.Dataset) -> dict[str, dict]:
    return {name: {"chunk_key_encoding": FLAT} for name in dataset.variables}


def commit(temporary: Path, path: Path) -> None:
    """Consolidate, which marks a store as complete, and rename it into place."""
    with warnings.catch_warnings():  # that other zarr libraries may not read it; they need not
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(temporary)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, path)
