"""Writing a trace store: forward batches as partial files, assembled when all are there.

A killed job loses one forward batch. Working on in place cannot do that: Snakemake deletes the
output of a job that was killed.
"""

import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stepscope.joblog import bar
from stepscope.store.trace_layout import assemble, check
from stepscope.store.zarr_files import commit


def store_key(**made_from: object) -> str:
    """Key of a store: the digest of the plain values that it is made from."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]


def write_in_parts(
    path: str,
    partial: str,
    key: str,
    batches: Sequence[str],
    make: Callable[[int], tuple[dict[str, np.ndarray], dict[str, Any]]],
) -> None:
    """Write the trace store `path` from its named forward batches, making those not yet on disk.

    `make(i)` returns the arrays (see `allocate`) and the attributes of forward batch i; each stays
    in the folder `partial` as `<key>.<name>.npz`, for whoever takes over. A torn one is made again;
    a store with missing numbers raises ValueError.
    """
    parts = [Path(partial) / f"{key}.{name}.npz" for name in batches]
    missing = [index for index, part in enumerate(parts) if not is_whole(part)]
    print(f"{len(missing)} of {len(parts)} forward batches to make.", flush=True)
    for index in bar(missing, "forward batches"):
        save_part(parts[index], *make(index))
    assemble(Path(path), parts, key)
    check(path)
    commit(Path(path))


def is_whole(part: Path) -> bool:
    """Whether a forward batch is on disk, as it was written; a torn one is said to be."""
    if not part.exists():
        return False
    try:
        with zipfile.ZipFile(part) as file:
            torn = file.testzip() is not None or "attrs.npy" not in file.namelist()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError):
        torn = True
    if torn:
        print(f"{part} is damaged; it is made again.", flush=True)
    return not torn


def save_part(path: Path, arrays: dict[str, np.ndarray], attrs: dict[str, Any]) -> None:
    """Write one forward batch under a temporary name and rename it."""
    contents: dict[str, Any] = {"attrs": np.array(json.dumps(attrs)), **arrays}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **contents)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def discard(partial: str) -> None:
    """Remove the forward batches of a store that is in its place."""
    shutil.rmtree(partial)
