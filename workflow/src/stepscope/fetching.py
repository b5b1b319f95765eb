"""Fetching a model from the hub once, so that the jobs that use it need no network."""

import hashlib
import json
from pathlib import Path

from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download

SEGMENTER_FILES = ["*.json", "*.txt", "*.safetensors"]  # no pickles, no weights of other libraries


def fetch(path: str, *, model: dict) -> None:
    """Download a pipeline at its revision into the hub's cache; write its files' digests as JSON.

    The JSON is an input of generation and compared by content: fetched again, nothing runs again.
    """
    folder = Path(
        DiffusionPipeline.download(
            model["repo"], revision=model["revision"], variant=model.get("variant")
        )
    )
    _record(path, model, folder)


def fetch_segmenter(path: str, *, segmenter: dict) -> None:
    """Download a segmenter at its revision into the hub's cache; record it as ``fetch`` does."""
    folder = snapshot_download(
        segmenter["repo"], revision=segmenter["revision"], allow_patterns=SEGMENTER_FILES
    )
    _record(path, segmenter, Path(folder))


def fetched(spec: dict) -> str:
    """Folder of a spec with "folder", or of the files that were fetched for its "repo"."""
    if "folder" in spec:
        return spec["folder"]
    return snapshot_download(spec["repo"], revision=spec["revision"], local_files_only=True)


def _record(path: str, model: dict, folder: Path) -> None:
    """Write a repository, its revision and the digests of its files in ``folder`` as JSON."""
    files = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    record = {"repo": model["repo"], "revision": model["revision"], "sha256": files}
    Path(path).write_text(json.dumps(record, indent=1) + "\n")
