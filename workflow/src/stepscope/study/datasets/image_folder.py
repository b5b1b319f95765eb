"""A folder of captioned pictures in the ``imagefolder`` convention of Hugging Face's datasets.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from stepscope.language import ROLES
from stepscope.study.datasets import json_files
from stepscope.study.datasets.files import table
from stepscope.study.datasets.row import Row, caption, once, pictures, roles

FILES = ("metadata.jsonl", "metadata.csv")
CAPTIONS = ("text", "caption", "prompt")
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.[A-Za-z0-9]+")


def metadata(folder: str) -> Path:
    """The file of a folder that has its captions."""
    found = [path for name in FILES if (path := Path(folder, name)).is_file()]
    if len(found) != 1:
        count = "both" if found else "neither"
        raise ValueError(f"{folder}: the folder has {count} of {' and '.join(FILES)}.")
    return found[0]


def rows(entry: dict) -> Iterator[Row]:
    """One row a picture of the folder ``entry["images"]``; prompt_id is made from its file name.

    The captions are in ``entry["column"]``, otherwise in the only one of text, caption and prompt;
    columns named as roles are the caption's words in these roles. Others are ignored.
    """
    path, known, column = metadata(entry["images"]), set(), entry.get("column")
    if path.suffix == ".jsonl":
        listed, noun = json_files.lines(path), "key"
    else:
        listed, noun = table(path, ["file_name"], None), "column"
    for number, row in listed:
        place = f"{path}, row {number}, {noun}"
        column = column or _caption_column(row, f"{path}, row {number}", noun)
        for key in ("file_name", column, *(role for role in ROLES if row.get(role))):
            if key not in row:
                raise ValueError(f"{place} {key}: it is missing.")
            if not isinstance(row[key], str):
                raise ValueError(f"{place} {key}: {row[key]!r:.80} is not text.")
        name = row["file_name"]
        once(name, known, f"{place} file_name")
        text = caption(row[column], f"{place} {column}")
        yield Row(
            prompt_id=slug(name),
            prompt=text,
            place=f"{place} file_name",
            pictures=pictures(entry["images"], [name], f"{place} file_name"),
            roles=roles(row, text, place),
        )


def _caption_column(row: dict, place: str, noun: str) -> str:
    """The one of the usual names that a row has."""
    found = [name for name in CAPTIONS if name in row]
    if len(found) != 1:
        raise ValueError(
            f"{place}: {' and '.join(found) or 'none of ' + ', '.join(CAPTIONS)} "
            f"could be the caption; name the {noun} in the study (column)."
        )
    return found[0]


def slug(name: str) -> str:
    """Identifier of a file name; one that loses more than its dot gets its checksum as well."""
    found = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-_")
    if PLAIN.fullmatch(name):
        return found
    return f"{found}-{zlib.crc32(name.encode()):08x}".lstrip("-")
