"""Writing zarr stores: partial files under a lock, assembled, checked, and renamed into place.

A torn store is never seen and a killed job loses one forward batch. Working on in place cannot do
that: Snakemake deletes the output of a job that was killed.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from stepscope.joblog import bar
from stepscope.store.trace_layout import assemble, check
from stepscope.store.zarr_files import commit


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file lock `path`; whoever is killed releases it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another job writes this store; waiting for {path}.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def store_key(**made_from: object) -> str:
    """Key of a store: the digest of the plain values that it is made from."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]


def write_in_parts(
    path: str,
    partial: str,
    key: str,
    count: int | Callable[[], int],
    make: Callable[[int], tuple[dict[str, np.ndarray], dict[str, Any]]],
) -> None:
    """Write the trace store `path` from `count` parts, making only those not yet on disk.

    `make(i)` returns the arrays (see `allocate`) and the attributes of forward batch i; each is
    kept in `partial` as `<key>.<i>.npz` until the store is complete. A function `count` is
    called once the store's lock is held. A part with missing numbers raises ValueError.
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
    """Whether a store was committed and is made from what `key` says."""
    try:
        return zarr.open_group(store, mode="r", use_consolidated=True).attrs.get("digest") == key
    except (ValueError, FileNotFoundError):
        return False


def save_part(path: Path, arrays: dict[str, np.ndarray], attrs: dict[str, Any]) -> None:
    """Write one forward batch under a temporary name and rename it."""
    contents: dict[str, Any] = {"attrs": np.array(json.dumps(attrs)), **arrays}
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **contents)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
