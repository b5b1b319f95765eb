"""Prompt tables: read, checked and split into batches with the standard library alone.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import csv
import io
import re
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

ROLES = ("subject", "relation", "object", "attribute", "background")
REQUIRED = ("prompt_id", "prompt", "seed")
COLUMNS = (*REQUIRED, "batch", *ROLES, "image", "masks")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
SEEDS = re.compile(r"\d+(\s*,\s*\d+)*")
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def read(path: str, batches: int = 1) -> list[dict]:
    """Records of a TSV or CSV prompt table: prompt_id, prompt, seeds, batch, roles, image, masks.

    Bad input raises a ValueError of one sentence that names file, row and column. A prompt's batch
    is its ``batch`` column, otherwise ``crc32(prompt_id) % batches``: one inserted row then moves
    one batch, where positions would move them all.
    """
    records, known = [], set()
    for number, row in _rows(Path(path)):
        record = _record(row, f"{path}, row {number}", batches)
        if record["prompt_id"] in known:
            raise ValueError(
                f"{path}, row {number}, column prompt_id: {record['prompt_id']!r} occurs twice."
            )
        known.add(record["prompt_id"])
        records.append(record)
    if not records:
        raise ValueError(f"{path}: the table has no rows.")
    return records


def samples(records: list[dict]) -> list[tuple[dict, int]]:
    """One (record, seed) pair a sample, in the order of the table."""
    return [(record, seed) for record in records for seed in record["seeds"]]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Number (the header is row 1) and cells of each row that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file.") from None
    except UnicodeDecodeError as error:
        row = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, row {row}: the file is not UTF-8.") from None
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter="," if path.suffix == ".csv" else "\t"
    )
    header = [name.strip() for name in next(lines, [])]
    for name in REQUIRED:
        if name not in header:
            raise ValueError(f"{path}, row 1: column {name} is missing.")
    for name in header:
        if name not in COLUMNS:
            hint = "".join(f", did you mean {near}" for near in get_close_matches(name, COLUMNS, 1))
            raise ValueError(f"{path}, row 1: column {name!r} is not known{hint}.")
        if header.count(name) > 1:
            raise ValueError(f"{path}, row 1: column {name} occurs twice.")
    for cells in lines:
        number = lines.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(header):
            raise ValueError(f"{path}, row {number}: more cells than the header has columns.")
        cells += [""] * (len(header) - len(cells))
        yield number, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _record(row: dict[str, str], place: str, batches: int) -> dict:
    """Check one row and turn its cells into plain values."""
    for name in REQUIRED:
        if not row[name]:
            raise ValueError(f"{place}, column {name}: the cell is empty.")
    if not SLUG.fullmatch(row["prompt_id"]):
        raise ValueError(
            f"{place}, column prompt_id: {row['prompt_id']!r} is no slug (letters, digits, -, _)."
        )
    if not SEEDS.fullmatch(row["seed"]):
        raise ValueError(
            f"{place}, column seed: {row['seed']!r} is neither an integer nor a list such as 0,1,2."
        )
    seeds = [int(seed) for seed in row["seed"].split(",")]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{place}, column seed: {row['seed']!r} names a seed twice.")
    batch = row.get("batch") or str(zlib.crc32(row["prompt_id"].encode()) % batches)
    if not SLUG.fullmatch(batch):
        raise ValueError(f"{place}, column batch: {batch!r} is no slug (letters, digits, - and _).")
    roles = {role: row[role] for role in ROLES if row.get(role)}
    present = set(_split(row["prompt"]))
    for role, text in roles.items():
        for word in _split(text):
            if word not in present:
                raise ValueError(
                    f"{place}, column {role}: {word!r} does not occur in the prompt "
                    f"{row['prompt']!r}."
                )
    return {
        "prompt_id": row["prompt_id"],
        "prompt": row["prompt"],
        "seeds": seeds,
        "batch": batch,
        "roles": roles,
        "image": _image(row.get("image", ""), place),
        "masks": _masks(row.get("masks", ""), place),
    }


def _split(text: str) -> list[str]:
    """Words of a text in lower case, without punctuation; a hyphen or apostrophe stays inside."""
    return re.findall(r"\w+(?:[-'\u2019]\w+)*", text.lower())


def _image(name: str, place: str) -> str:
    if name:
        try:
            with open(name, "rb") as file:
                start = file.read(4)
        except OSError as error:
            raise ValueError(f"{place}, column image: {name}: {error.strerror}.") from None
        if not start.startswith(PICTURES):
            raise ValueError(f"{place}, column image: {name} is no picture.")
    return name


def _masks(name: str, place: str) -> str:
    if name and not Path(name).is_dir():
        raise ValueError(f"{place}, column masks: {name} is no folder.")
    return name
