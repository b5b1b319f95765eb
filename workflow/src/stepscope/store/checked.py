"""Reading zarr stores so that whatever is missing or damaged is refused by the name of its file."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, WrapperStore

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

METADATA = "zarr.json"  # of all arrays, written last
CHECKSUM = "metadata_sha256"  # the attribute with their checksum
LAYOUT, VERSION = "schema_version", 1  # the attribute with the version of the layout, and ours
REMEDY = "Delete the store; Snakemake then makes it again."


class CheckedStore(WrapperStore[Store]):
    """A store that gives each chunk as it was written, or ValueError with its file.

    It is a folder, or in an object storage that fsspec knows, as `s3://bucket/traces/...`.
    Opening reads the metadata alone. Arrays from before there were checksums are given as they are.
    """

    def __init__(self, path: str | Path) -> None:
        """Take a complete store; a torn one, or none, raises ValueError."""
        remote = "://" in str(path)
        store: Store = (
            FsspecStore.from_url(str(path).rstrip("/"), read_only=True)
            if remote
            else LocalStore(path, read_only=True)
        )
        super().__init__(store)
        self._place = str(path).rstrip("/") if remote else str(Path(path))
        arrays = _metadata(store, self._place)["consolidated_metadata"]["metadata"]
        self._checked = {
            name
            for name, array in arrays.items()
            if array["node_type"] == "array" and array["codecs"][-1]["name"] == "crc32c"
        }

    async def get(
        self, key: str, prototype: "BufferPrototype", byte_range: "ByteRequest | None" = None
    ) -> "Buffer | None":
        """Bytes of a file of the store."""
        value = await super().get(key, prototype, byte_range)
        array, _, chunk = key.rpartition("/")
        if array in self._checked and chunk.startswith("c"):
            if value is None:
                raise ValueError(f"{self._place}/{key}: this file is missing. {REMEDY}")
            if byte_range is None and not _is_intact(value):
                raise ValueError(
                    f"{self._place}/{key}: this file is damaged, by its checksum. {REMEDY}"
                )
        return value


def _is_intact(chunk: "Buffer") -> bool:
    """Whether the bytes of a chunk end with the checksum of those before."""
    values = chunk.as_numpy_array()
    expected = int.from_bytes(values[-4:].tobytes(), "little")
    return len(values) >= 4 and google_crc32c.value(values[:-4]) == expected


def _metadata(store: Store, place: str) -> dict[str, Any]:
    """Metadata of a complete store; ValueError says what is in its place instead."""
    try:
        content = sync(store.get(METADATA, default_buffer_prototype()))
    except (FileNotFoundError, NotADirectoryError):
        content = None
    if content is None:
        raise ValueError(f"{place}: there is no store here, without {METADATA}.")
    try:
        metadata = json.loads(content.to_bytes())
        attributes = metadata["attributes"]
        other = CHECKSUM in attributes and attributes.get(LAYOUT, VERSION) != VERSION
        whole = other or attributes.get(CHECKSUM) in (None, checksum(metadata))
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise ValueError(f"{place}/{METADATA}: this file is damaged. {REMEDY}")
    if other:
        raise ValueError(
            f"{place}: another version of Stepscope wrote this store, by its {LAYOUT} "
            f"{attributes[LAYOUT]}, and this one reads {VERSION}: read it with that version. "
            f"{REMEDY}"
        )
    if not metadata.get("consolidated_metadata"):
        raise ValueError(f"{place}: whoever wrote this store did not finish it. {REMEDY}")
    return metadata


def checksum(metadata: dict[str, Any]) -> str:
    """Digest of a store's metadata, but for the digest among them."""
    others = {name: value for name, value in metadata["attributes"].items() if name != CHECKSUM}
    text = json.dumps(metadata | {"attributes": others}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
