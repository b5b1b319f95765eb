"""Fetching a model from the hub once, so that the jobs that use it need no network."""

import hashlib
import json
from pathlib import Path

from diffusers import DiffusionPipeline


def fetch(path: str, *, model: dict) -> None:
    """Download a pipeline at its revision into the hub's cache; write its files' digests as JSON.

    The JSON is an input of generation and compared by content: fetched again, nothing runs again.
    """
    folder = Path(
        DiffusionPipeline.download(
            model["repo"], revision=model["revision"], variant=model.get("variant")
        )
    )
    files = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    record = {"repo": model["repo"], "revision": model["revision"], "sha256": files}
    Path(path).write_text(json.dumps(record, indent=1) + "\n")
