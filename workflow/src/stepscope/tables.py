"""The tables of a study: their columns, one format for all, and the merging of per-batch parts."""

import gzip
import io
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import pandas as pd
import xarray as xr

SAMPLE = ("model", "dataset", "sampling", "prompt_id", "seed")
KEYS = (*SAMPLE, "step", "timestep", "log_snr")
WORD = ("word", "word_index", "role", "method")
INTERVAL = ("n", "missing", "estimate", "ci_low", "ci_high")
GAME = ("method", "similarity", "game", "substrate", "score")
COLUMNS = {
    "rq1_recovery": (*KEYS, "region", "band", "recovered"),
    "rq1_saliency": (*KEYS, "method", "semantic_mass", "detail_correlation"),
    "rq1_auc": (*KEYS, *GAME, "auc_distance", "auc_similarity"),
    "rq1_curves": (*KEYS, *GAME, "move", "value"),
    "rq2_relevance": (*KEYS, *WORD, "relevance", "relevance_minmax"),
    "rq2_grounding": (*KEYS, *WORD, "pointing", "iou", "average_precision", "mass"),
    "rq3_concepts": (*KEYS, "prediction", "family", "concept", "probability", "margin"),
    "rq3_emergence": (
        *(*SAMPLE, "prediction", "family", "concept"),
        *("onset_step", "onset_timestep", "onset_log_snr"),
    ),
    "rq3_roles": (*SAMPLE, "role", "relevance"),
    "claims": (
        *("model", "dataset", "claim", "statement", "statistic"),
        *("n", "estimate", "ci_low", "ci_high", "p_value", "verdict", "reason"),
    ),
}
TEXT = (
    *("model", "dataset", "sampling", "prompt_id", "region", "band", "method", "similarity"),
    *("game", "substrate", "score", "word", "role", "prediction", "family", "concept"),
    *("quantity", "compared", "claim", "statement", "statistic", "verdict", "reason"),
)


def ordered(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Put the columns of a table in their order; one that is missing is refused by name."""
    for column in COLUMNS[table]:
        if column not in frame:
            raise ValueError(f"{table}: column {column} is missing.")
    return frame[list(COLUMNS[table])]


def who_and_when(stored: xr.DataTree | xr.Dataset) -> dict[str, tuple]:
    """Coordinates of a store that become keys: who a sample is and when a step was."""
    names = ("sample", "step", "prompt_id", "seed", "timestep", "log_snr")
    return {name: (stored[name].dims, stored[name].to_numpy()) for name in names}


def tidy(values: xr.Dataset, keys: dict[str, str]) -> pd.DataFrame:
    """One row per cell of (sample, [step], ...) arrays, with who and when as columns.

    ``keys`` are model, dataset and sampling; prompt_id, seed, timestep, log_snr, word_text and
    word_role are taken from the coordinates.
    """
    frame = values.to_dataframe().reset_index().assign(**keys)
    names = {"word": "word_index", "word_text": "word", "word_role": "role"}
    return frame.rename(columns=names)


def share(frame: pd.DataFrame) -> pd.Series:
    """Each word's part of its step's relevance over all words; negative relevance counts as none.

    Raw scores are gradients, whose size changes from step to step; their shares compare. ``frame``
    has the columns of rq2_relevance.
    """
    positive = frame["relevance"].clip(lower=0)
    keys = [*SAMPLE, "step", "method"]
    total = positive.groupby([frame[key] for key in keys]).transform("sum")
    return positive / total.where(total > 0)


def write(path: str, frame: pd.DataFrame) -> None:
    """Write a table as TSV, compressed if its name ends in .gz: same table, same bytes."""
    with _opened(path, "w") as file:
        frame.to_csv(file, sep="\t", index=False, float_format="%.8g", lineterminator="\n")


def read(path: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table; text stays text (a prompt may hold the word "nan"), empty numbers are NaN."""
    with _opened(path, "r") as file:
        names = file.readline().rstrip("\n").split("\t")
    return pd.read_table(
        path,
        usecols=columns,
        dtype={name: str for name in names if name in TEXT},
        keep_default_na=False,
        na_values={name: [""] for name in names if name not in TEXT},
    )


def merge(path: str, parts: Sequence[str]) -> None:
    """Write the rows of all parts under one header, line by line, whatever their number."""
    with _opened(path, "w") as whole:
        header = None
        for part in parts:
            with _opened(part, "r") as file:
                first = file.readline()
                if header is None:
                    header = first
                    whole.write(first)
                if first != header:
                    raise ValueError(f"{part}: its columns are not those of {parts[0]}.")
                shutil.copyfileobj(file, whole)


@contextmanager
def _opened(path: str, mode: str) -> Iterator[TextIO]:
    """Open a text file, compressed by name; neither time nor name goes into its bytes."""
    if not str(path).endswith(".gz"):
        with open(path, mode, encoding="utf-8", newline="") as file:
            yield file
    elif mode == "r":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            yield file
    else:
        with (
            open(path, "wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="") as file,
        ):
            yield file
