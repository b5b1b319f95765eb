"""The paper's claims, tested on the study's own tables."""

from collections.abc import Iterable, Mapping

import pandas as pd

from stepscope.statistics import (
    findings_clocks,
    findings_rq1,
    findings_rq2,
    findings_rq2_regions,
    findings_rq3,
)
from stepscope.statistics.verdicts import PERMUTATIONS, tested_sampling, with_verdicts
from stepscope.statistics.word_courses import SOURCES
from stepscope.store import tables
from stepscope.table_columns import CLAIMS, SAMPLE

STATEMENTS = {
    "R1a": "Early steps recover regions with semantic content, later steps finer detail.",
    "R1b": "DF-RISE explains a step better than LIME and than a random map.",
    "R1c": "The structure term of SSIM is the best similarity for DF-RISE.",
    "R2a": "A step works on particular words; their order differs by prompt and by word.",
    "R2b": "DF-CAM lights the region of the word whose relevance is high at that step.",
    "R3a": "Stages carry visual concepts of their own; sampling a stage densely emphasises them.",
    "R3b": "Early sampling lowers the subject's relevance and raises the object's; latter neither.",
    "C1": "A concept is visible only after it is decided.",
    "C2": "Work on a concept's words peaks between what a prompt can override and what is visible.",
    "C3": "The order of concept families is the same for all clocks.",
}
# What findings look at: tables of all samplings, and of the others methods and columns.
LACKED = ("rq3_clocks", "rq3_clocks_null", "rq3_samplings")  # by some studies
ALL_SAMPLINGS = ("rq2_relevance", "rq3_samplings")
METHODS = {
    "rq1_saliency": ("df_rise", findings_rq1.ON_NULL, "random"),
    "rq2_relevance": tuple(SOURCES),
    "rq2_order": tuple(SOURCES),
    "rq2_grounding": ("df_cam_word", "random"),
    "rq2_regions": ("df_cam_word",),
}
OF_WORDS = (*SAMPLE, "step", "log_snr", "word_index", "role", "method")
COLUMNS = {
    "rq1_recovery": findings_rq1.RECOVERED,
    "rq2_relevance": (*OF_WORDS, "relevance"),
    "rq2_grounding": (*OF_WORDS, "mass"),
    "rq2_regions": (*OF_WORDS, "gain"),
}


def looked_at(name: str, block: pd.DataFrame, sampling: str) -> pd.DataFrame:
    """What claims that are tested on a sampling look at, of the rows of whole samples of a table.

    Of rq1_recovery `findings_rq1.recovery_times`, and of rq2_relevance each word's share of its
    step; of words those with a role.
    """
    if name not in ALL_SAMPLINGS:
        block = block[block["sampling"] == sampling]
    if name in METHODS:
        block = block[block["method"].isin(METHODS[name])]
    if name == "rq1_recovery":
        block = findings_rq1.recovery_times(block)
    if name == "rq2_relevance":
        block = block.assign(share=tables.share(block)).drop(columns="relevance")
    return block[block["role"] != ""] if "role" in block else block


def _where(holds: pd.Series, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of a table for which something holds; of all no copy."""
    return frame if holds.all() else frame[holds]


def claims_table(
    measured: Mapping[str, Iterable[pd.DataFrame]],
    *,
    samplings: Mapping[str, str],
    draws: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """claims.tsv: every claim by every statistic that the tables hold, per model and dataset.

    `measured` holds blocks of tables by name (`store.tables.blocks`), those that a study lacks left
    out, `samplings` the kind of each sampling. All but R3b and what samplings change are tested on
    the `tested_sampling`.
    """
    sampling = tested_sampling(samplings)
    frames = []
    every = {**dict.fromkeys(LACKED, ()), **measured}
    whole = {
        name: tables.whole(name, (looked_at(name, block, sampling) for block in blocks))
        for name, blocks in every.items()
    }
    units = whole["rq1_recovery"][["model", "dataset"]].drop_duplicates()
    for model, dataset in units.itertuples(index=False):
        of_unit = {
            name: _where((frame["model"] == model) & (frame["dataset"] == dataset), frame)
            for name, frame in whole.items()
        }
        of_sampling = {
            name: _where(frame["sampling"] == sampling, frame) for name, frame in of_unit.items()
        }
        kinds = {
            name: of_unit[name].assign(kind=of_unit[name]["sampling"].map(samplings))
            for name in ("rq2_relevance", "rq3_samplings")
        }
        findings = [
            *findings_rq1.regions_and_detail(of_sampling),
            *findings_rq1.areas(of_sampling),
            *findings_rq2.words(of_sampling, PERMUTATIONS, seed),
            *findings_rq2_regions.df_cam_follows_relevance(of_sampling, PERMUTATIONS, seed),
            *findings_rq3.stages(of_sampling),
            *findings_rq3.changes(kinds),
            *findings_rq3.roles(kinds),
            *findings_clocks.order(of_sampling),
        ]
        rows = with_verdicts(findings, draws, confidence, seed)
        statement = rows["claim"].map(STATEMENTS.__getitem__)
        frames.append(rows.assign(model=model, dataset=dataset, statement=statement))
    empty = pd.DataFrame(columns=CLAIMS)
    return tables.ordered(pd.concat(frames) if frames else empty, "claims")
