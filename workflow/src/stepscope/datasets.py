"""Prompt tables: read, checked and split into batches with the standard library alone.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import csv
import hashlib
import heapq
import io
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

ROLES = ("subject", "relation", "object", "attribute", "background")
REQUIRED = ("prompt_id", "prompt", "seed")
COLUMNS = (*REQUIRED, "batch", *ROLES, "image", "masks")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
SEEDS = re.compile(r"\d+(\s*,\s*\d+)*")
LARGEST = 2**63 - 1  # seed that a generator takes and a store keeps
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")
Row = TypeVar("Row")


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


def drawn(
    rows: Iterable[Row], limit: int | None, seed: int, name: Callable[[Row], str]
) -> list[Row]:
    """Rows in an order drawn by ``seed``, the first ``limit`` of them (None: all).

    A row's place depends on its name alone, so that neither the order of a file nor rows added to
    it change which of the others come first.
    """

    def rank(row: Row) -> bytes:
        return hashlib.blake2b(f"{seed}:{name(row)}".encode(), digest_size=8).digest()

    return sorted(rows, key=rank) if limit is None else heapq.nsmallest(limit, rows, key=rank)


def table(
    path: Path, required: Iterable[str], known: Iterable[str] | None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Number (the header is row 1) and cells of each row of a TSV or CSV that is not blank.

    As spreadsheets write them: a byte-order mark, CRLF, quotes, empty cells at the ends of rows.
    Columns beyond ``known`` are refused unless it is None.
    """
    lines = csv.reader(
        io.StringIO(text_of(path), newline=""),
        delimiter="," if path.suffix == ".csv" else "\t",
        strict=True,  # an open quote would otherwise swallow the rest of the table
    )
    try:
        header = _without_empty_end(next(lines, []))
        _check_header(path, header, required, known)
        for cells in lines:
            cells = _without_empty_end(cells)
            if not cells:
                continue
            if len(cells) > len(header):
                raise ValueError(
                    f"{path}, row {lines.line_num}: more cells than the header has columns."
                )
            cells += [""] * (len(header) - len(cells))
            yield lines.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}, row {lines.line_num}: the quotes are wrong ({error}).") from None


def _without_empty_end(cells: list[str]) -> list[str]:
    """Cells without the blanks around them and without the empty ones at the end."""
    cells = [cell.strip() for cell in cells]
    while cells and not cells[-1]:
        del cells[-1]
    return cells


def _check_header(
    path: Path, header: list[str], required: Iterable[str], known: Iterable[str] | None
) -> None:
    """Refuse a header that lacks a column, names one twice, or one that is not known."""
    for name in required:
        if name not in header:
            raise ValueError(f"{path}, row 1: column {name} is missing.")
    for name in header:
        if known is not None and name not in known:
            hint = "".join(f", did you mean {near}" for near in get_close_matches(name, known, 1))
            raise ValueError(f"{path}, row 1: column {name!r} is not known{hint}.")
        if header.count(name) > 1:
            raise ValueError(f"{path}, row 1: column {name} occurs twice.")


def text_of(path: Path) -> str:
    """Text of a UTF-8 file with or without a byte-order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        row = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, row {row}: the file is not UTF-8.") from None
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}.") from None


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


def batch_of(prompt_id: str, batches: int) -> str:
    """Name of the batch that a prompt is in, whatever other prompts there are."""
    return str(zlib.crc32(prompt_id.encode()) % batches)


def composed(text: str) -> str:
    """The text with each accented letter as one character, as tokenizers read it."""
    return unicodedata.normalize("NFC", text)


def roles(row: dict, prompt: str, place: str) -> dict[str, str]:
    """Words of the prompt by role, from what a row holds under the names of the roles."""
    found = {role: composed(row[role]) for role in ROLES if row.get(role)}
    present = set(words(prompt))
    for role, text in found.items():
        named = words(text)
        if not named:
            raise ValueError(f"{place} {role}: {text!r} holds no word.")
        for word in named:
            if word not in present:
                raise ValueError(
                    f"{place} {role}: {word!r} does not occur in the prompt {prompt!r}."
                )
            _check_alone(word, role, found, prompt, f"{place} {role}")
    return found


def _check_alone(word: str, role: str, found: dict[str, str], prompt: str, place: str) -> None:
    """Refuse a word of several roles, but a subject and an object that occur one after another."""
    others = [other for other in found if other != role and word in words(found[other])]
    if not others or ({role, *others} == {"subject", "object"} and words(prompt).count(word) > 1):
        return
    raise ValueError(f"{place}: {word!r} is also the {others[0]}, and a word has one role.")


def words(text: str) -> list[str]:
    """Words of a text in lower case, without punctuation; a hyphen or apostrophe stays inside."""
    return re.findall(r"\w+(?:[-'\u2019]\w+)*", text.lower())


def check_picture(name: str, place: str) -> None:
    """Refuse a file that cannot be read or does not begin as a picture does."""
    try:
        with open(name, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ValueError(f"{place}: {name}: {error.strerror}.") from None
    if not start.startswith(PICTURES):
        raise ValueError(f"{place}: {name} is no picture.")


def _masks(name: str, place: str) -> str:
    if name and not Path(name).is_dir():
        raise ValueError(f"{place} masks: {name} is no folder.")
    return name
