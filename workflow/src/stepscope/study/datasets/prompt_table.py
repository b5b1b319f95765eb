"""Prompt tables: read, checked and split into batches with the standard library alone.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from stepscope.language import ROLES, composed, key, words
from stepscope.study.datasets.files import check_picture, table
from stepscope.study.datasets.row import Record, batch_of, check_words, drawn, once, roles_of
from stepscope.study.datasets.seeds import LARGEST, of_prompts

REQUIRED = ("prompt_id", "prompt")
FILLED = (*REQUIRED, "seed")  # columns whose cells are never empty
COLUMNS = (*FILLED, "batch", *ROLES, "image", "masks")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
SEEDS = re.compile(r"\d{1,99}(\s*,\s*\d{1,99})*")


def read(
    path: str,
    batches: int = 1,
    *,
    seeds: int | Sequence[int] | None = None,
    limit: int | None = None,
    subset_seed: int = 0,
) -> list[Record]:
    """Records of a TSV or CSV prompt table: prompt_id, prompt, seeds, batch, roles, image, masks.

    Bad input raises a ValueError of one sentence that names file, row and column. A prompt's batch
    is its `batch` column, otherwise `crc32(prompt_id) % batches`: one inserted row then moves
    one batch, where positions would move them all. With a `limit`, that many are `drawn`. A table
    without a column `seed` takes `seeds` (see `seeds.of_prompts`).
    """
    records = []
    identifiers: set[str] = set()
    for number, row in table(Path(path), REQUIRED, COLUMNS):
        where = f"{path}, row {number}, column"
        _check_seeds("seed" in row, seeds, f"{path}, row 1: column seed")
        record = _record(row, where, batches)
        once(record["prompt_id"], identifiers, f"{where} prompt_id")
        records.append(record)
    if not records:
        raise ValueError(f"{path}: the table has no rows.")
    if limit is not None:
        records = drawn(records, limit, subset_seed, lambda record: record["prompt_id"])
    if seeds is not None:
        of_prompt = of_prompts([record["prompt_id"] for record in records], seeds)
        records = [record | {"seeds": of_prompt[record["prompt_id"]]} for record in records]
    return records


def _check_seeds(in_table: bool, seeds: int | Sequence[int] | None, where: str) -> None:
    """Refuse a table whose seeds nobody names, or both its column and the entry.

    The ValueError begins with `where`.
    """
    if not in_table and seeds is None:
        raise ValueError(f"{where} is missing, and the dataset's entry has no seeds in its place.")
    if in_table and seeds is not None:
        raise ValueError(
            f"{where}: the dataset's entry has seeds ({seeds}) too; leave one of the two out."
        )


def _record(row: dict[str, str], where: str, batches: int) -> Record:
    """Check one row of a prompt table and turn its cells into plain values."""
    for name in FILLED:
        if row.get(name) == "":
            raise ValueError(f"{where} {name}: the cell is empty.")
    if not SLUG.fullmatch(row["prompt_id"]):
        raise ValueError(
            f"{where} prompt_id: {row['prompt_id']!r} is no slug (letters, digits, -, _)."
        )
    seeds = _seeds(row["seed"], f"{where} seed") if "seed" in row else []
    batch = row.get("batch") or batch_of(row["prompt_id"], batches)
    if not SLUG.fullmatch(batch):
        raise ValueError(f"{where} batch: {batch!r} is no slug (letters, digits, - and _).")
    prompt = composed(row["prompt"])
    check_words(prompt, f"{where} prompt")
    if image := row.get("image", ""):
        check_picture(image, f"{where} image")
    roles = roles_of(row, prompt, where)
    masks = row.get("masks", "")
    if masks:
        check_masks(masks, prompt, f"{where} masks")
    return {
        "prompt_id": row["prompt_id"],
        "prompt": prompt,
        "seeds": seeds,
        "batch": batch,
        "roles": roles,
        "image": image,
        "masks": masks,
        "where": f"{where} prompt",
    }


def check_masks(folder: str, prompt: str, where: str) -> None:
    """Refuse a folder without a picture `<word>.png` of a word of the prompt.

    The ValueError begins with `where`.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"{where}: {folder} is no folder.")
    spoken, files = set(words(prompt)), sorted(Path(folder).iterdir())
    paths = [path for path in files if path.suffix.lower() == ".png" and key(path.stem) in spoken]
    if not paths:
        raise ValueError(f"{where}: {folder} has no <word>.png of a word of the prompt {prompt!r}.")
    for path in paths:
        check_picture(str(path), where)


def _seeds(cell: str, where: str) -> list[int]:
    """Seeds of a cell such as 0,1,2."""
    if not SEEDS.fullmatch(cell):
        raise ValueError(f"{where}: {cell!r} is neither an integer nor a list such as 0,1,2.")
    seeds = [int(seed) for seed in cell.split(",")]
    if max(seeds) > LARGEST:
        raise ValueError(f"{where}: {max(seeds)} is larger than {LARGEST}.")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{where}: {cell!r} names a seed twice.")
    return seeds
