"""Fetching models from the hub once, so that the jobs that use them need no network."""

import hashlib
import json
from pathlib import Path

from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download

from stepscope.models import folders, pipelines

SEGMENTER = ["*.json", "*.txt", "*.safetensors"]  # no pickles, no weights for other libraries


def fetch(path: str, *, model: dict) -> None:
    """Download a model into the hub's cache; write its revision and files' digests as JSON.

    `model` is an entry of the config: a pipeline {"repo", "revision"}, a segmenter, which has a
    "kind" beside them, or a CLIP {"name", "tag"}. Files that are there are not downloaded again and
    broken downloads go on, as the hub's library does it. The JSON is an input of the jobs and
    compared by content: fetched again, nothing runs again.
    """
    how = fetch_segmenter if "kind" in model else fetch_clip if "name" in model else fetch_pipeline
    named = " ".join(str(model[key]) for key in ("repo", "revision", "name", "tag") if key in model)
    try:
        record = how(model)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{named} could not be fetched ({reason}).") from error
    Path(path).write_text(json.dumps(record, indent=1) + "\n")


def fetch_pipeline(model: dict) -> dict:
    """A pipeline at its revision: safetensors only, no part that is never loaded."""
    folder = Path(
        DiffusionPipeline.download(
            model["repo"],
            revision=model["revision"],
            variant=model.get("variant"),
            use_safetensors=True,
            **dict.fromkeys(folders.SKIPPED),
        )
    )
    pipelines.read_family(model | {"folder": str(folder)})
    return _record(model, folder, folders.check_folder(folder, model.get("variant")))


def fetch_segmenter(model: dict) -> dict:
    """A segmenter of transformers at its revision."""
    folder = Path(
        snapshot_download(model["repo"], revision=model["revision"], allow_patterns=SEGMENTER)
    )
    folders.check_segmenter(folder, model["kind"])
    files = {file for pattern in SEGMENTER for file in folder.glob(pattern)}
    return _record(model, folder, sorted(files))


def _record(model: dict, folder: Path, files: list[Path]) -> dict:
    return {
        "repo": model["repo"],
        "revision": model["revision"],
        "sha256": {file.relative_to(folder).as_posix(): whole_digest(file) for file in files},
    }


def fetch_clip(model: dict) -> dict:
    """A CLIP by open_clip's name and tag, which are published without a pinned revision."""
    import open_clip  # here, since it takes seconds to import

    where = f"name: {model['name']} with tag {model['tag']}"
    config = open_clip.get_pretrained_cfg(model["name"], model["tag"])
    if not config:
        raise ValueError(f"{where} is unknown to open_clip (open_clip.list_pretrained()).")
    file = Path(open_clip.download_pretrained(config))
    if file.suffix != ".safetensors":
        raise ValueError(f"{where} is published as the pickle {file.name}: choose another tag.")
    return {
        **{key: model[key] for key in ("name", "tag")},
        "revision": file.parent.name,
        "sha256": {file.name: whole_digest(file)},
    }


def whole_digest(file: Path) -> str:
    """SHA-256 of a file in the hub's cache, where large files are called by it; refused if torn."""
    blob, found = file.resolve(), digest(file)
    if blob.parent.name == "blobs" and len(blob.name) == len(found) and blob.name != found:
        raise ValueError(f"{file} is damaged: delete {blob}, so that it is downloaded again.")
    return found


def digest(file: Path) -> str:
    """SHA-256 of a file, read in chunks: weights are larger than a login node's memory."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
