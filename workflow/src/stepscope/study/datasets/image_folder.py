"""A folder of captioned pictures in the `imagefolder` convention of Hugging Face's datasets.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stepscope.language import ROLES
from stepscope.study.datasets import json_files
from stepscope.study.datasets.files import check_text, table
from stepscope.study.datasets.row import Row, caption, once, picture_paths, roles_of

FILES = ("metadata.jsonl", "metadata.csv")
CAPTIONS = ("text", "caption", "prompt")


def metadata(folder: str) -> Path:
    """The file of a folder that has its captions; ValueError if there are two or none."""
    paths = [path for name in FILES if (path := Path(folder, name)).is_file()]
    if len(paths) != 1:
        count = "both" if paths else "neither"
        raise ValueError(f"{folder}: the folder has {count} of {' and '.join(FILES)}.")
    return paths[0]


def rows(entry: Mapping[str, Any]) -> Iterator[Row]:
    """One row a picture of the folder `entry["images"]`; prompt_id is made from its file name.

    The captions are in `entry["column"]`, otherwise in the only one of text, caption and prompt;
    columns named as roles are the caption's words in these roles. Others are ignored. A ValueError
    names the file, the row and the key or column.
    """
    path, column = metadata(entry["images"]), entry.get("column")
    names: set[str] = set()
    if path.suffix == ".jsonl":
        numbered_rows, noun = json_files.lines(path), "key"
    else:
        numbered_rows, noun = table(path, ["file_name"], None), "column"
    for number, row in numbered_rows:
        where = f"{path}, row {number}, {noun}"
        column = column or _caption_column(row, f"{path}, row {number}", noun)
        for key in ("file_name", column, *(role for role in ROLES if row.get(role))):
            if key not in row:
                raise ValueError(f"{where} {key}: it is missing.")
            if not isinstance(row[key], str):
                raise ValueError(f"{where} {key}: {row[key]!r:.80} is not text.")
            check_text(row[key], f"{where} {key}")
        name = row["file_name"]
        once(name, names, f"{where} file_name")
        text = caption(row[column], f"{where} {column}")
        yield Row(
            prompt_id=slug(name),
            prompt=text,
            where=f"{where} file_name",
            pictures=picture_paths(entry["images"], [name], f"{where} file_name"),
            roles=roles_of(row, text, where),
        )


def _caption_column(row: Mapping[str, Any], where: str, noun: str) -> str:
    """The one of the usual names that a row has."""
    columns = [name for name in CAPTIONS if name in row]
    if len(columns) != 1:
        raise ValueError(
            f"{where}: {' and '.join(columns) or 'none of ' + ', '.join(CAPTIONS)} "
            f"could be the caption; name the {noun} in the study (column)."
        )
    return columns[0]


def slug(name: str) -> str:
    """Identifier of a file name; one that changes in more than its dot gets its checksum too."""
    kept = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-_")
    if "." in name and kept == name.replace(".", "-", 1):
        return kept
    return f"{kept}-{zlib.crc32(name.encode()):08x}".lstrip("-")
