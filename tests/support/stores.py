"""Results on disk, to be compared with those of another run."""

import json
from pathlib import Path

TIMES = ("created", "metadata_sha256")  # attributes that tell runs apart


def contents(result: Path) -> dict[str, object]:
    """Bytes of a file, or of every file of a store or folder, but for when a store was made."""
    if result.is_file():
        return {result.name: result.read_bytes()}
    found: dict[str, object] = {
        path.relative_to(result).as_posix(): path.read_bytes()
        for path in result.rglob("*")
        if path.is_file() and path.name != ".snakemake_timestamp"
    }
    if "zarr.json" not in found:
        return found
    root = json.loads(found.pop("zarr.json"))
    for name in TIMES:
        root["attributes"].pop(name, None)
    return {**found, "zarr.json": root}
