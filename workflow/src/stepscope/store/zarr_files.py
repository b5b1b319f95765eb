"""Writing a zarr store: every chunk with its checksum, and the metadata of all arrays last."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from stepscope.store.checked import CHECKSUM, LAYOUT, METADATA, VERSION, checksum

# The separator "/" would make several folders for every chunk.
FLAT: dict[str, Any] = {"name": "default", "separator": "."}
CODECS = (ZstdCodec(), Crc32cCodec())


def write_dataset(path: str | Path, dataset: xr.Dataset) -> None:
    """Write a Dataset as one consolidated zarr store.

    A chunk is what the first axis has at one place: a sample.
    """
    dataset = dataset.drop_encoding()
    encoding = encodings(dataset)
    for name, variable in dataset.data_vars.items():
        encoding[str(name)]["chunks"] = (1, *variable.shape[1:])
        if np.issubdtype(variable.dtype, np.floating):
            encoding[str(name)]["_FillValue"] = np.nan
    write_arrays(path, dataset, encoding)
    commit(path)


def encodings(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Encodings of a Dataset's variables: chunks are files of one folder, with checksums."""
    shared = {"chunk_key_encoding": FLAT, "compressors": CODECS}
    return {str(name): dict(shared) for name in dataset.variables}


def write_arrays(path: str | Path, dataset: xr.Dataset, encoding: dict[str, Any]) -> None:
    """Write a Dataset as a zarr group that is not yet complete."""
    dataset.to_zarr(
        path, zarr_format=3, consolidated=False, encoding=encoding, write_empty_chunks=True
    )


def commit(path: str | Path) -> None:
    """Consolidate the metadata and add layout and checksum, which mark a store as complete."""
    with warnings.catch_warnings():  # that other zarr libraries may not read it; they need not
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(path)
    file = Path(path, METADATA)
    metadata = json.loads(file.read_text(encoding="utf-8"))
    metadata["attributes"][LAYOUT] = VERSION
    metadata["attributes"][CHECKSUM] = checksum(metadata)
    file.write_text(json.dumps(metadata, indent=2), encoding="utf-8")
