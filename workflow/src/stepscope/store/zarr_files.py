"""Writing a zarr store: under a temporary name, consolidated, renamed into place."""

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

# The separator "/" would make several folders for every chunk.
FLAT: dict[str, Any] = {"name": "default", "separator": "."}


def write_dataset(path: str, dataset: xr.Dataset) -> None:
    """Write a Dataset as one consolidated zarr store, by way of a temporary name.

    A chunk is what the first axis has at one place: a sample.
    """
    temporary = Path(f"{path}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    dataset = dataset.drop_encoding()
    encoding = flat_keys(dataset)
    for name, variable in dataset.data_vars.items():
        encoding[str(name)]["chunks"] = (1, *variable.shape[1:])
        if np.issubdtype(variable.dtype, np.floating):
            encoding[str(name)]["_FillValue"] = np.nan
    dataset.to_zarr(temporary, zarr_format=3, consolidated=False, encoding=encoding)
    commit(temporary, Path(path))


def flat_keys(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Encodings of a Dataset's variables whose chunks are files of one folder."""
    return {str(name): {"chunk_key_encoding": FLAT} for name in dataset.variables}


def commit(temporary: Path, path: Path) -> None:
    """Consolidate, which marks a store as complete, and rename it into place."""
    with warnings.catch_warnings():  # that other zarr libraries may not read it; they need not
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(temporary)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, path)
