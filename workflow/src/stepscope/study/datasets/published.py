"""Datasets in the formats they are published in, as the records that ``datasets.read`` gives.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import json
import os
from pathlib import Path

from stepscope.study.datasets import coco, image_folder, prompt_table, visual_genome
from stepscope.study.datasets.files import check_picture
from stepscope.study.datasets.row import Row, batch_of, drawn

# The function that reads the rows of a dataset whose entry names its source by this key.
SOURCES = {"coco": coco.rows, "visual_genome": visual_genome.rows, "images": image_folder.rows}


def read_all(entries: dict[str, dict], folder: str, version: str) -> dict[str, list[dict]]:
    """Records of each dataset of a study.

    A Snakefile is parsed again in every job, and converting Visual Genome takes a minute: what an
    adapter made is kept in ``folder`` until the entry, the file or the code (``version``) changes.
    It is written last, so that a study which is refused leaves nothing behind.
    """
    found, fresh = {}, {}
    for name, entry in entries.items():
        if "prompts" in entry:
            drawn = {key: entry[key] for key in ("limit", "subset_seed") if key in entry}
            found[name] = prompt_table.read(entry["prompts"], entry.get("batches", 1), **drawn)
            continue
        path, made_from = Path(folder, f"{name}.json"), _made_from(entry, version)
        found[name] = _kept(path, made_from)
        if found[name] is None:
            found[name] = read(entry)
            fresh[path] = {"made_from": made_from, "records": found[name]}
    for path, content in fresh.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")  # another job may write it as well
        temporary.write_text(json.dumps(content), encoding="utf-8")
        os.replace(temporary, path)
    return found


def read(entry: dict) -> list[dict]:
    """Records of one dataset, in the order in which ``subset_seed`` draws its rows.

    With a ``limit``, at most that many, whatever the order of the file. Pictures are looked for
    when rows are drawn: a subset needs only its own.
    """
    source = _source(entry)
    chosen = drawn(
        SOURCES[source](entry),
        entry.get("limit"),
        entry.get("subset_seed", 0),
        lambda row: row.prompt_id,
    )
    if not chosen:
        raise ValueError(f"{_file(entry)}: the dataset has no rows.")
    return [_record(row, entry) for row in chosen]


def _source(entry: dict) -> str:
    """The key that names the source; ``images`` is the folder of the pictures beside another."""
    return next(key for key in SOURCES if key in entry)


def _file(entry: dict) -> str:
    """The file that the rows of an entry are read from."""
    source = _source(entry)
    return str(image_folder.metadata(entry["images"])) if source == "images" else entry[source]


def _record(row: Row, entry: dict) -> dict:
    """A row as a record; its picture must be there if the study names a folder of pictures."""
    image = ""
    if row.pictures:
        there = (path for path in row.pictures if os.path.isfile(path))
        image = next(there, row.pictures[0])
        check_picture(image, row.place)
    return {
        "prompt_id": row.prompt_id,
        "prompt": row.prompt,
        "seeds": list(entry.get("seeds", [0])),
        "batch": batch_of(row.prompt_id, entry.get("batches", 1)),
        "roles": row.roles,
        "image": image,
        "masks": {"image": image, "boxes": row.boxes} if row.boxes else "",
    }


def _made_from(entry: dict, version: str) -> dict:
    """What the records depend on, as plain JSON; a large file by its size and time alone."""
    path = _file(entry)
    try:
        found = os.stat(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}.") from None
    return {
        "entry": entry,
        "file": path,
        "bytes": found.st_size,
        "modified": found.st_mtime_ns,
        "code": version,
    }


def _kept(path: Path, made_from: dict) -> list[dict] | None:
    """Records kept from an earlier parse; None if there are none, or of something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content["records"] if content["made_from"] == made_from else None
    except (OSError, ValueError, KeyError, TypeError):  # a torn file is made again
        return None
