"""Tables as files: their form, reading, writing, and the merging of per-batch parts."""

import csv
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pandas.api.types import union_categoricals

from stepscope.store.coordinates import SHARED
from stepscope.table_columns import SAMPLE, WHOLE
from stepscope.table_registry import TABLES, TEXT

REMEDY = "Delete the file; Snakemake then makes it again."
ROWS = 2**19  # that are read at once where some are kept
BLOCK = 2**26  # bytes of parts that are read together


def ordered(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Put the columns of a table in their order; a missing one raises ValueError by its name."""
    for column in columns(table):
        if column not in frame:
            raise ValueError(f"{table}: column {column} is missing.")
    return frame[columns(table)]


def columns(table: str) -> list[str]:
    """Columns of a table in their order."""
    return list(WHOLE[table] if table in WHOLE else TABLES[table].columns)


def who_and_when(stored: xr.DataTree | xr.Dataset) -> dict[str, tuple[Any, np.ndarray]]:
    """Coordinates of a store that become keys: who a sample is and when a step was."""
    names = ("sample", "step", *SHARED)
    return {name: (stored[name].dims, stored[name].to_numpy()) for name in names}


def who(stored: xr.DataTree | xr.Dataset) -> dict[str, tuple[Any, np.ndarray]]:
    """Coordinates of a store that say who a sample is, for what has no steps."""
    return {name: at for name, at in who_and_when(stored).items() if "step" not in at[0]}


def tidy(values: xr.Dataset, keys: Mapping[str, str]) -> pd.DataFrame:
    """One row per cell of (sample, [step], ...) arrays, with who and when as columns.

    `keys` are model, dataset and sampling; prompt_id, seed, timestep, log_snr, word_text and
    word_role are taken from the coordinates.
    """
    frame = values.to_dataframe().reset_index().assign(**keys)
    names = {"word": "word_index", "word_text": "word", "word_role": "role"}
    return frame.rename(columns=names)


def share(frame: pd.DataFrame) -> pd.Series:
    """Each word's part of its step's relevance over all words, f8; negative counts as none.

    Raw scores are gradients, whose size changes from step to step; their shares compare. `frame`
    has the columns of rq2_relevance.
    """
    positive = frame["relevance"].clip(lower=0)
    keys = [*SAMPLE, "step", "method"]
    total = positive.groupby([frame[key] for key in keys]).transform("sum")
    return positive / total.where(total > 0)


def write(path: str, frame: pd.DataFrame) -> None:
    """Write a table as TSV."""
    frame.to_csv(path, sep="\t", index=False, float_format="%.8g", lineterminator="\n")


def read(path: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table; text stays text (a prompt may hold the word "nan"), empty numbers are NaN.

    A table whose last line is cut raises ValueError.
    """
    return pd.read_table(path, **_as_ours(path, columns, str))


def read_large(
    path: str,
    columns: Sequence[str] | None = None,
    kept: Callable[[pd.DataFrame], "np.ndarray | pd.Series[bool]"] | None = None,
) -> pd.DataFrame:
    """Read a table of many rows, whose texts become categories, as in `blocks`.

    `kept` says of rows which are: what is not is never held.
    """
    with pd.read_table(path, **_as_ours(path, columns, "category"), chunksize=ROWS) as given:
        pieces = [piece if kept is None else piece[kept(piece)] for piece in given]
    some = [piece for piece in pieces if len(piece)]
    return joined(some) if some else read(path, columns).iloc[:0]


def _as_ours(path: str, columns: Sequence[str] | None, text: object) -> dict[str, Any]:
    """How pandas reads a table: which columns, and text as which type."""
    names = _header(path).rstrip("\n").split("\t")
    return {
        "usecols": None if columns is None else list(columns),
        "dtype": {name: text for name in names if name in TEXT},
        "keep_default_na": False,
        "na_values": {name: [""] for name in names if name not in TEXT},
    }


def blocks(parts: Sequence[str], columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """Rows of a table's parts in blocks that fit into memory, those of a batch in one block.

    The blocks of a model, dataset and sampling come one after another; none is empty. Their texts
    are categories, in alphabetical order: of rows in millions they take an eighth of the memory,
    and are grouped several times as fast.
    """
    units: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for part in parts:
        *unit, batch = _place(part)
        units.setdefault(tuple(unit), {}).setdefault(batch, []).append(part)
    for of_unit in units.values():
        for paths in _together(list(of_unit.values())):
            for path in paths:
                _check_rows(path)
            pieces = [pd.read_table(path, **_as_ours(path, columns, "category")) for path in paths]
            if some := [piece for piece in pieces if len(piece)]:
                yield joined(some)


def joined(pieces: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of pieces one after another, whose texts stay categories."""
    columns = {name: [piece[name] for piece in pieces] for name in pieces[0]}
    return pd.DataFrame(
        {
            name: union_categoricals(of_pieces, sort_categories=True)
            if isinstance(of_pieces[0].dtype, pd.CategoricalDtype)
            else pd.concat(of_pieces, ignore_index=True)
            for name, of_pieces in columns.items()
        },
        copy=False,  # columns of one type are not put together once more
    )


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose texts are no categories."""
    return rows.astype(dict.fromkeys(rows.select_dtypes("category"), str))


def whole(table: str, rows: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """What is kept of the blocks of a table, one after another; of none, its columns."""
    kept = list(rows)
    return joined(kept) if kept else pd.DataFrame(columns=columns(table))


def _place(part: str) -> list[str]:
    """Model, dataset, sampling and batch of a part, by its path (`<part>` in the Snakefile)."""
    names = Path(part).with_suffix("").parts
    table = len(names) - names[::-1].index("parts")
    return list(names[table + 1 : table + 5])


def _together(batches: Sequence[list[str]]) -> Iterator[list[str]]:
    """Paths of as many batches as a block holds, one after another."""
    together: list[str] = []
    size = 0
    for paths in batches:
        of_batch = sum(map(os.path.getsize, paths))
        if together and size + of_batch > BLOCK:
            yield together
            together, size = [], 0
        together, size = together + paths, size + of_batch
    if together:
        yield together


def merge(path: str, parts: Sequence[str]) -> None:
    """Write the rows of all parts under one header, whatever their number.

    A part with other columns than the first one, or a row of fewer or more fields, raises
    ValueError.
    """
    with open(path, "w", encoding="utf-8", newline="") as whole:
        header = _header(parts[0])
        whole.write(header)
        for part in parts:
            if _header(part) != header:
                raise ValueError(f"{part}: its columns are not those of {parts[0]}.")
            _check_rows(part)
            with open(part, encoding="utf-8", newline="") as file:
                file.readline()
                shutil.copyfileobj(file, whole)


def _header(path: str) -> str:
    """First line of a table; one that ends within a line raises ValueError."""
    with open(path, "rb") as file:
        header = file.readline().decode(errors="replace")
        file.seek(-1 if header else 0, os.SEEK_END)
        if file.read(1) != b"\n":
            raise ValueError(f"{path}: the last line is cut. {REMEDY}")
    return header


def _is_even(path: str) -> bool:
    """Whether a table has as many separators as its lines ask for: then none is short or long.

    Fields in quotes may hold either: tables with quotes are looked at row by row.
    """
    tabs = lines = 0
    with open(path, "rb") as file:
        header = file.readline()
        of_line, plain = header.count(b"\t"), header.isascii()
        while piece := file.read(2**20):
            if b'"' in piece:
                return False
            plain = plain and piece.isascii()
            signs = np.frombuffer(piece, np.uint8)  # counted twice as fast as in bytes
            tabs += int(np.count_nonzero(signs == ord("\t")))
            lines += int(np.count_nonzero(signs == ord("\n")))
    if not plain:
        with open(path, encoding="utf-8") as text:
            for _ in text:
                pass  # raises where it is not UTF-8
    return tabs == of_line * lines


def _check_rows(path: str) -> None:
    """Raise ValueError if a row has fewer or more fields than the header."""
    with suppress(UnicodeDecodeError):
        if _is_even(path):
            return
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", strict=True)
        try:
            count = len(next(rows))
            wrong = next((row for row in enumerate(rows, 1) if len(row[1]) != count), None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: {error}. {REMEDY}") from error
    if wrong is not None:
        number, row = wrong
        raise ValueError(f"{path}: row {number} has {len(row)} fields, not {count}. {REMEDY}")
