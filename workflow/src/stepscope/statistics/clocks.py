"""rq3_clocks: when each concept of a sample is visible, worked on and decided, on one axis.

A clock is one function of the table that it is read from; all return rows of the same columns.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stepscope.language import parts
from stepscope.scores.emergence import named
from stepscope.statistics import onsets
from stepscope.statistics.gathering import UNIT
from stepscope.store import tables
from stepscope.table_columns import CLOCKS, SAMPLE

TIMED = ["log_snr", "lower", "upper", "censored", "within_steps"]
VISIBLE = {"e_u": "visible", "e_c": "visible_e_c", "guided": "visible_guided"}
WORKED_ON = ("information", "relevance")  # methods, whose names are those of the clocks
BAYES = "bayes"  # the clock of the composed world itself, and who reads it there
# What continuations start from or are given, for them to be about the sample itself.
OWN = {"trajectory": "stored", "given": "empty"}
FEWEST = 3  # steps over which work is spread


class Readings(NamedTuple):
    """What a reader saw of a family in one prediction of all samples of a model and sampling.

    `key` has model, dataset, sampling, family, clock and reader; samples are (prompt_id, seed).
    """

    key: dict[str, str]
    samples: pd.DataFrame
    right: np.ndarray  # (sample, step) bool
    chance: np.ndarray  # (sample,)
    log_snr: np.ndarray  # (step,)


def readings(emergence: pd.DataFrame, axes: pd.DataFrame) -> Iterator[Readings]:
    """Readings of rq3_emergence; `axes` has the log-SNR of every model's, dataset's and sampling's.

    Samples of one group have as many steps.
    """
    levels = axes.drop_duplicates([*UNIT, "step"]).sort_values("step").groupby(UNIT)["log_snr"]
    of_unit = {unit: values.to_numpy() for unit, values in levels}
    by = [*UNIT, "family", "reader", "prediction"]
    for values, group in emergence.groupby(by, sort=False):
        key = dict(zip(by, map(str, values), strict=True))
        log_snr = of_unit[tuple(key[name] for name in UNIT)]
        digits = np.array([list(shown) for shown in group["shown"]])
        key["clock"] = VISIBLE[key.pop("prediction")]
        yield Readings(
            key, group[["prompt_id", "seed"]], digits == "1", group["chance"].to_numpy(), log_snr
        )


def visible(read: Readings) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of a clock of readings, and what is decided by each step (sample, step).

    Chance and the reader's own errors are taken from both (see `onsets`). A sample's onset is the
    middle of the steps between which it most likely lies, within the steps of likelihood at least
    an eighth of that; it is censored where it most likely lies before the first step or never.
    """
    fitted = onsets.fit(read.right, read.chance)
    best, first, last = onsets.change_points(read.right, read.chance, fitted)
    decided = onsets.decided(read.right, read.chance, fitted.error)
    ends = np.concatenate([[-np.inf], read.log_snr, [np.inf]])
    middle = (ends[best] + ends[best + 1]) / 2
    rows = read.samples.assign(
        log_snr=np.where(np.isfinite(middle), middle, np.nan),
        lower=ends[first],
        upper=ends[last + 1],
        censored=_censored(ends[best], ends[best + 1]),
        within_steps=onsets.mean_until_end(decided, read.log_snr),
    )
    return rows.assign(**read.key), decided


def worked_on(
    blocks: Iterable[pd.DataFrame], families: Mapping[str, Sequence[str]], axes: pd.DataFrame
) -> pd.DataFrame:
    """When half of the work on a family's words is done, by each method of `WORKED_ON`.

    `blocks` are rows of rq2_relevance, those of a sample in one. Work is integrated over log-SNR by
    the trapezoidal rule: the information itself, in nats, and of relevance, whose size says nothing
    from step to step, the share of its step. A sample has the families that its prompt names a
    concept of.
    """
    found = [_of_block(block, families) for block in blocks]
    columns = [*SAMPLE, "clock", "family", "log_snr"]
    frame = pd.concat(found or [pd.DataFrame(columns=columns)], ignore_index=True)
    frame = frame.astype({"log_snr": float})
    exact = frame.assign(lower=frame["log_snr"], upper=frame["log_snr"], reader="")
    return _timed(exact, axes)


def _of_block(words: pd.DataFrame, families: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """When half of the work is done on the words of a block of rows."""
    words = words[words["method"].isin(WORKED_ON)]
    share = tables.share(words)
    words = words.assign(work=words["relevance"].clip(lower=0))
    words.loc[words["method"] != "information", "work"] = share
    keys = [*SAMPLE, "method"]
    found = [
        _halves(of_method, families).assign(
            **dict(zip([*UNIT, "method"], map(str, values), strict=True))
        )
        for values, of_method in words.groupby([*UNIT, "method"], sort=False)
    ]
    rows = pd.concat(found) if found else pd.DataFrame(columns=[*keys, "family", "log_snr"])
    samples = words[keys].drop_duplicates()  # in the order of the table
    samples = samples.astype({name: str for name in keys if name != "seed"})
    frame = samples.merge(rows, on=keys).dropna(subset="log_snr")[[*keys, "family", "log_snr"]]
    return frame.rename(columns={"method": "clock"})


def _halves(words: pd.DataFrame, families: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """When half of the `work` on each family's words is done: prompt_id, seed, family, log_snr.

    Of one method on one model, dataset and sampling; NaN where a prompt names no concept.
    """
    work = words.pivot_table(
        index=["prompt_id", "seed", "word_index", "word"], columns="log_snr", values="work"
    )
    samples = work.reset_index(["word_index", "word"]).index
    starts = np.flatnonzero(~samples.duplicated())
    texts = np.split(work.index.get_level_values("word").to_numpy(), starts[1:])
    own = np.concatenate([_own_words(tuple(of_sample), families) for of_sample in texts])
    values, log_snr = work.to_numpy(), work.columns.to_numpy()
    known = np.logical_or.reduceat(np.isfinite(values), starts)
    rows = []
    for place, family in enumerate(families):
        sums = np.add.reduceat(np.where(own[:, place, None], values, 0), starts)
        for (prompt, seed), of_sample, steps in zip(samples[starts], sums, known, strict=True):
            if steps.sum() >= FEWEST:
                rows.append((prompt, seed, family, _half(of_sample[steps], log_snr[steps])))
    return pd.DataFrame(rows, columns=["prompt_id", "seed", "family", "log_snr"])


def _own_words(texts: tuple[str, ...], families: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Which words of a prompt name a concept of each family, (word, family) bool."""
    own = np.zeros((len(texts), len(families)), bool)
    for place, concepts in enumerate(families.values()):
        (is_named,) = named([" ".join(texts)], concepts)
        wanted = {part for concept in np.array(concepts)[is_named] for part in parts(concept)}
        own[:, place] = [bool(wanted & set(parts(text))) for text in texts]
    return own


def between(table: pd.DataFrame, clock: str, axes: pd.DataFrame) -> pd.DataFrame:
    """A clock that is known to lie between the columns `lower` and `upper` of a table.

    Keys are those of a sample, family and reader; an infinite end is open, and rows without ends
    are left out. Of several rows of one key, as a table of steps has, the first counts. Of switches
    those from the sample's own latents count, of continuations those of the empty prompt.
    """
    by = [*SAMPLE, "family", "reader"]
    for column, own in OWN.items():
        if column in table:
            table = table[table[column] == own]
    frame = table[[*by, "lower", "upper"]].dropna().drop_duplicates(by)
    middle = (frame["lower"] + frame["upper"]) / 2
    return _timed(frame.assign(clock=clock, log_snr=middle), axes)


def truth(world: pd.DataFrame, rows: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """The composed world's own clock beside the other rows of the models that draw its scenes.

    `world` is world_clock_families: the log-SNR at which the posterior of a family passes the
    middle, with its interval, the same for all samples.
    """
    known = world[world["reader"] == BAYES].rename(
        columns={"middle_log_snr": "log_snr", "ci_low": "lower", "ci_high": "upper"}
    )
    samples = rows.loc[rows["model"].isin(models), [*SAMPLE, "family"]].drop_duplicates()
    frame = samples.merge(known[["family", "log_snr", "lower", "upper"]], on="family")
    frame = frame.dropna(subset="log_snr")
    return frame.assign(clock=BAYES, reader="", censored="", within_steps=frame["log_snr"])


def _timed(frame: pd.DataFrame, axes: pd.DataFrame) -> pd.DataFrame:
    """Times between `lower` and `upper` with what is censored, and held to their sampling's steps.

    The middle of an open interval counts as the end of the steps that it holds.
    """
    steps = axes.groupby(UNIT)["log_snr"].agg(first="min", last="max").reset_index()
    frame = frame.merge(steps, on=UNIT)
    low, high = frame["lower"].to_numpy(float), frame["upper"].to_numpy(float)
    ends = frame[["first", "last"]].to_numpy(float)
    inside = np.clip(low, *ends.T) / 2 + np.clip(high, *ends.T) / 2
    inside = np.where(np.isinf(low), ends[:, 0], np.where(np.isinf(high), ends[:, 1], inside))
    both = np.isinf(low) & np.isinf(high)
    found = frame["log_snr"].where(np.isfinite(frame["log_snr"]))
    return frame.assign(
        log_snr=found,
        censored=_censored(low, high),
        within_steps=np.where(both, np.nan, inside),
    ).drop(columns=["first", "last"])


def _censored(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Which side of an interval is open: before, never, both, or none of them, (...,) of text."""
    names = np.array([["", "never"], ["before", "both"]])
    return names[np.isinf(lower).astype(int), np.isinf(upper).astype(int)]


def _half(work: np.ndarray, log_snr: np.ndarray) -> float:
    """Log-SNR by which half of the work (step,) is done; NaN without any."""
    pieces = (work[1:] + work[:-1]) / 2 * np.diff(log_snr)
    done = np.concatenate([[0], np.cumsum(pieces)])
    return float(np.interp(done[-1] / 2, done, log_snr)) if done[-1] > 0 else np.nan


def ordered(parts_: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of all clocks as rq3_clocks; the open end of an interval is empty."""
    some = [part for part in parts_ if len(part)]
    frame = pd.concat(some, ignore_index=True) if some else pd.DataFrame(columns=CLOCKS)
    ends = frame[["lower", "upper"]].astype(float)
    frame[["lower", "upper"]] = ends.where(np.isfinite(ends))
    return tables.ordered(frame, "rq3_clocks")
