"""Datasets in the formats they are published in, as the records that `datasets.read` gives.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepscope.study.datasets import coco, composed, image_folder, prompt_table, visual_genome
from stepscope.study.datasets.files import check_picture, readable
from stepscope.study.datasets.row import Record, Row, batch_of, drawn, once
from stepscope.study.datasets.seeds import of_prompts, shared

Entry = Mapping[str, Any]  # a dataset's entry in the config
# The function that reads the rows of a dataset whose entry names its source by this key.
SOURCES: dict[str, Callable[[Entry], Iterator[Row]]] = {
    "coco": coco.rows,
    "visual_genome": visual_genome.rows,
    "scenes": composed.rows,
    "images": image_folder.rows,
}


def read_all(entries: Mapping[str, Entry], folder: str, version: str) -> dict[str, list[Record]]:
    """Records of each dataset of a study.

    A Snakefile is parsed again in every job, and converting Visual Genome takes a minute: what an
    adapter made is kept in `folder` until the entry, the file or the code (`version`) changes.
    It is written last, so that a study which is refused (with a ValueError) leaves nothing behind.
    """
    by_dataset: dict[str, list[Record]] = {}
    fresh: dict[Path, dict[str, Any]] = {}
    for name, entry in entries.items():
        if "prompts" in entry:
            keys = ("batches", "seeds", "limit", "subset_seed")
            options = {key: entry[key] for key in keys if key in entry}
            by_dataset[name] = prompt_table.read(entry["prompts"], **options)
            continue
        if "scenes" in entry:
            by_dataset[name] = composed.placed(read(entry), entry, Path(folder).parent, name)
            continue
        path, made_from = Path(folder, f"{name}.json"), _made_from(entry, version)
        records = _kept(path, made_from)
        if records is None:
            records = read(entry)
            fresh[path] = {"made_from": made_from, "records": records}
        by_dataset[name] = records
    for path, content in fresh.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")  # another job may write it as well
        temporary.write_text(json.dumps(content), encoding="utf-8")
        os.replace(temporary, path)
    return by_dataset


def read(entry: Entry) -> list[Record]:
    """Records of one dataset, in the order in which `subset_seed` draws its rows.

    With a `limit`, at most that many, whatever the order of the file. Pictures are looked for
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
    identifiers: set[str] = set()
    for row in chosen:
        once(row.prompt_id, identifiers, row.where)
    seeds = of_prompts(identifiers, entry.get("seeds", 1 if "scenes" in entry else [0]))
    return [_record(row, entry, seeds[row.prompt_id]) for row in chosen]


def warnings(
    entries: Mapping[str, Entry], prompts: Mapping[str, Sequence[Record]]
) -> Iterator[str]:
    """A sentence for each dataset whose prompts share their noises, by its entry and its records.

    Of inverted pictures each has the noise that was found for it, whatever its seed.
    """
    for name, entry in entries.items():
        noises = shared(prompts[name]) if entry.get("trace") != "invert" else 0
        if noises:
            yield (
                f"{_file(entry)}: all {len(prompts[name])} prompts start from the same "
                f"{noises} noise{'s' if noises > 1 else ''}, so that intervals over prompts leave "
                f"the noise out; `seeds: {noises}` in the entry datasets/{name}, in the place of "
                "the seeds named now, draws each prompt its own."
            )


def place(entry: Entry, prompt_id: str) -> str:
    """File and row of a prompt of a dataset, for errors that only a job can find."""
    if "prompts" in entry:
        records = prompt_table.read(entry["prompts"], seeds=entry.get("seeds"))
    else:
        records = read(entry)
    return next(record["where"] for record in records if record["prompt_id"] == prompt_id)


def _source(entry: Entry) -> str:
    """The key that names the source; `images` is the folder of the pictures beside another."""
    return next(key for key in SOURCES if key in entry)


def _file(entry: Entry) -> str:
    """The file that the rows of an entry are read from."""
    if "prompts" in entry:
        return entry["prompts"]
    source = _source(entry)
    if source == "scenes":
        return "scenes"  # which are drawn, not read
    return str(image_folder.metadata(entry["images"])) if source == "images" else entry[source]


def _record(row: Row, entry: Entry, seeds: list[int]) -> Record:
    """A row as a record; its picture must be there if the study names a folder of pictures."""
    image = ""
    if row.pictures:
        existing = (path for path in row.pictures if os.path.isfile(path))
        image = next(existing, row.pictures[0])
        check_picture(image, row.where)
    return {
        "prompt_id": row.prompt_id,
        "prompt": row.prompt,
        "seeds": seeds,
        "batch": batch_of(row.prompt_id, entry.get("batches", 1)),
        "roles": row.roles,
        "image": image,
        "masks": {"image": image, "boxes": row.boxes} if row.boxes else "",
        "where": row.where,
    }


def _made_from(entry: Entry, version: str) -> dict[str, Any]:
    """What the records depend on, as plain JSON; a large file by its size and time alone."""
    path = _file(entry)
    with readable(path):
        status = os.stat(path)
    return {
        "entry": entry,
        "file": path,
        "bytes": status.st_size,
        "modified": status.st_mtime_ns,
        "code": version,
    }


def _kept(path: Path, made_from: dict[str, Any]) -> list[Record] | None:
    """Records kept from an earlier parse; None if there are none, or of something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content["records"] if content["made_from"] == made_from else None
    except (OSError, ValueError, KeyError, TypeError):  # a torn file is made again
        return None
