"""Prompt tables: read, checked and split into batches with the standard library alone.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import re
from pathlib import Path

from stepscope.language import ROLES, composed
from stepscope.study.datasets.files import check_picture, table
from stepscope.study.datasets.row import batch_of, drawn, roles

REQUIRED = ("prompt_id", "prompt", "seed")
COLUMNS = (*REQUIRED, "batch", *ROLES, "image", "masks")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
SEEDS = re.compile(r"\d+(\s*,\s*\d+)*")
LARGEST = 2**63 - 1  # seed that a generator takes and a store keeps


def read(
    path: str, batches: int = 1, *, limit: int | None = None, subset_seed: int = 0
) -> list[dict]:
    """Records of a TSV or CSV prompt table: prompt_id, prompt, seeds, batch, roles, image, masks.

    Bad input raises a ValueError of one sentence that names file, row and column. A prompt's batch
    is its ``batch`` column, otherwise ``crc32(prompt_id) % batches``: one inserted row then moves
    one batch, where positions would move them all. With a ``limit``, that many are ``drawn``.
    """
    records, known = [], set()
    for number, row in table(Path(path), REQUIRED, COLUMNS):
        found = _record(row, f"{path}, row {number}, column", batches)
        if found["prompt_id"] in known:
            raise ValueError(
                f"{path}, row {number}, column prompt_id: {found['prompt_id']!r} occurs twice."
            )
        known.add(found["prompt_id"])
        records.append(found)
    if not records:
        raise ValueError(f"{path}: the table has no rows.")
    if limit is None:
        return records
    return drawn(records, limit, subset_seed, lambda found: found["prompt_id"])


def _record(row: dict[str, str], place: str, batches: int) -> dict:
    """Check one row of a prompt table and turn its cells into plain values."""
    for name in REQUIRED:
        if not row[name]:
            raise ValueError(f"{place} {name}: the cell is empty.")
    if not SLUG.fullmatch(row["prompt_id"]):
        raise ValueError(
            f"{place} prompt_id: {row['prompt_id']!r} is no slug (letters, digits, -, _)."
        )
    if not SEEDS.fullmatch(row["seed"]):
        raise ValueError(
            f"{place} seed: {row['seed']!r} is neither an integer nor a list such as 0,1,2."
        )
    seeds = [int(seed) for seed in row["seed"].split(",")]
    if max(seeds) > LARGEST:
        raise ValueError(f"{place} seed: {max(seeds)} is larger than {LARGEST}.")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{place} seed: {row['seed']!r} names a seed twice.")
    batch = row.get("batch") or batch_of(row["prompt_id"], batches)
    if not SLUG.fullmatch(batch):
        raise ValueError(f"{place} batch: {batch!r} is no slug (letters, digits, - and _).")
    prompt = composed(row["prompt"])
    if image := row.get("image", ""):
        check_picture(image, f"{place} image")
    return {
        "prompt_id": row["prompt_id"],
        "prompt": prompt,
        "seeds": seeds,
        "batch": batch,
        "roles": roles(row, prompt, place),
        "image": image,
        "masks": _masks(row.get("masks", ""), place),
    }


def _masks(name: str, place: str) -> str:
    if name and not Path(name).is_dir():
        raise ValueError(f"{place} masks: {name} is no folder.")
    return name
