"""Which verdicts on RQ1 hold under the other choices that a study's tables allow.

A choice puts other rows or columns in the place of those that the claims rest on; then the
functions that make the claims are asked again, so that nothing else differs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from stepscope.statistics.finding import Finding
from stepscope.statistics.findings_rq1 import (
    BASELINES,
    ON_NULL,
    RECOVERED,
    areas,
    courses,
    orders,
    recovery_times,
)
from stepscope.statistics.primary_games import primary
from stepscope.statistics.verdicts import judged, tested, tested_sampling
from stepscope.store import tables
from stepscope.table_columns import SENSITIVITY

Measured: TypeAlias = Mapping[str, pd.DataFrame]
READ = ("rq1_recovery", "rq1_saliency", "rq1_auc")
COLUMNS = {"rq1_recovery": RECOVERED}
PRIMARY = "primary"  # the choice that claims.tsv rests on
OWN = "df_rise"
# Other measures of what a column of rq1_saliency stands for in the claims.
MEASURES = {
    "pointing": "semantic_mass",
    "detail_correlation": "detail_partial",
    "detail_corrected": "detail_partial",
}
# Other bands and regions of rq1_recovery, and the one in whose place each is put.
PLACES = (
    ("band", "mid", "high"),
    ("band", "mid", "low"),
    ("region", "border", "background"),
    ("region", "border", "object"),
)


@dataclass(frozen=True)
class Choice:
    """What is chosen, what is put in the place of the primary choice, and the tables it changes."""

    kind: str
    instead: str
    changed: Measured


def sensitivity_table(
    measured: Mapping[str, Iterable[pd.DataFrame]],
    *,
    samplings: Mapping[str, str],
    draws: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """rq1_sensitivity: RQ1's findings over all steps, as in claims.tsv and under each other choice.

    `measured` holds blocks of the tables of `READ` by name, `samplings` each sampling's kind. A
    choice has no row for a finding that it leaves as it is, or of which the tables then have no
    sample. P-values are by Holm over the findings of RQ1, all others being the primary ones.
    """
    sampling = tested_sampling(samplings)
    frames = []
    whole = {
        name: tables.whole(
            name, (tables.plain(ASKED_ABOUT[name](block)) for block in measured[name])
        )
        for name in READ
    }
    for model, dataset in units(whole):
        own = part(whole, model=model, dataset=dataset)
        rows = under_choices(
            part(own, sampling=sampling),
            [*single(part(own, sampling=sampling)), *other(whole, own, model, sampling)],
            draws,
            confidence,
            seed,
        )
        frames.append(rows.assign(model=model, dataset=dataset))
    empty = pd.DataFrame(columns=SENSITIVITY)
    return tables.ordered(pd.concat(frames) if frames else empty, "rq1_sensitivity")


def _of_own(maps: pd.DataFrame) -> pd.DataFrame:
    """Rows of the maps that findings are about."""
    return maps[maps["method"].str.startswith(OWN)]


def _of_rivals(areas_: pd.DataFrame) -> pd.DataFrame:
    """Rows of the games of maps that findings are about."""
    compared = areas_["method"].isin(BASELINES) | (areas_["similarity"] != "")
    return areas_[compared]


# What findings look at of the rows of a block.
ASKED_ABOUT = {"rq1_recovery": recovery_times, "rq1_saliency": _of_own, "rq1_auc": _of_rivals}


def units(measured: Measured) -> list[tuple[str, str]]:
    """(model, dataset) of a study, in their order."""
    frame = measured["rq1_recovery"][["model", "dataset"]].drop_duplicates()
    return list(frame.itertuples(index=False, name=None))


def part(measured: Measured, **where: str) -> dict[str, pd.DataFrame]:
    """The rows of each table that have these values."""
    return {
        name: frame[np.logical_and.reduce([frame[key] == value for key, value in where.items()])]
        for name, frame in measured.items()
    }


def under_choices(
    measured: Measured, choices: Sequence[Choice], draws: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Rows of one model and dataset on the tested sampling: the primary ones, then each choice's.

    They stand by finding, in the order of claims.tsv.
    """
    primary_ones = found(measured)
    rows = tested(list(primary_ones.values()), draws, confidence, seed)
    places = {key: place for place, key in enumerate(primary_ones)}
    about = {"choice": PRIMARY, "instead": "as in claims", "masks": masks_of(measured)}
    every = [_judged(rows).assign(place=list(places.values()), **about)]
    for choice in choices:
        others = {
            places[key]: finding
            for key, finding in found(choice.changed).items()
            if key in places and _differs(finding, primary_ones[key])
        }
        if not others:
            continue
        taken = tested(list(others.values()), draws, confidence, seed)
        replaced = rows.copy()
        replaced.loc[list(others), taken.columns] = taken.set_axis(list(others))
        about = {"choice": choice.kind, "instead": choice.instead}
        about["masks"] = masks_of({**measured, **choice.changed})
        of_choice = _judged(replaced).loc[list(others)]
        every.append(of_choice.assign(place=list(others), **about))
    return pd.concat(every).sort_values("place", kind="stable")


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    return judged(rows, [""] * len(rows))


def _differs(finding: Finding, primary_one: Finding) -> bool:
    """Whether a finding has values, and others than the primary one."""
    values, own = finding.values, primary_one.values
    if values is None or not len(values):
        return False
    return own is None or not np.array_equal(values, own)


def found(changed: Measured) -> dict[tuple[str, str], Finding]:
    """Findings of RQ1 over all steps that rest on these tables, by claim and statistic.

    In these keys a statistic does not name the substrate and the score.
    """
    asked: list[Finding] = []
    if "rq1_saliency" in changed:
        asked += courses(changed["rq1_saliency"])
    if "rq1_recovery" in changed:
        asked += orders(changed["rq1_recovery"])
    if "rq1_auc" in changed:
        asked += areas(changed, at_each_step=False)
    return {
        (finding.claim, re.sub(r" AUC \(.*?\)", " AUC", finding.statistic)): finding
        for finding in asked
    }


def masks_of(measured: Measured) -> str:
    """Where the regions of tables are from."""
    return ", ".join(measured["rq1_recovery"]["masks"].unique())


def single(measured: Measured) -> Iterator[Choice]:
    """Choices within one model, dataset and sampling: maps, measures, bands, regions, games."""
    recovery, saliency, every = (measured[name] for name in READ)
    played = primary(every)
    names = dict.fromkeys([*saliency["method"], *played["method"]])
    for name in names:
        if name.startswith(f"{OWN}_") and name != ON_NULL:
            changed = {
                "rq1_saliency": in_place_of_own(saliency, name),
                "rq1_auc": in_place_of_own(played, name),
            }
            yield Choice("map", name.removeprefix(f"{OWN}_"), changed)
    for measure, column in MEASURES.items():
        yield Choice(
            "measure", measure, {"rq1_saliency": saliency.assign(**{column: saliency[measure]})}
        )
    for column, name, place in PLACES:
        others = recovery[recovery[column] != place].replace({column: {name: place}})
        yield Choice(column, f"{name} for {place}", {"rq1_recovery": others})
    for game, substrate, score in every[["game", "substrate", "score"]].drop_duplicates().values:
        chosen = (every["game"] == game) & (every["substrate"] == substrate)
        rows = every[chosen & (every["score"] == score)]
        yield Choice("game", f"{substrate}, {score}", {"rq1_auc": rows})
    steps = sorted(played["step"].unique())
    for step in steps if len(steps) > 1 else []:
        yield Choice("step", str(step), {"rq1_auc": every[every["step"] == step]})


def in_place_of_own(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of a table in which one map of DF-RISE stands for DF-RISE, without all its others."""
    stays = frame["method"].isin([name, ON_NULL]) | ~frame["method"].str.startswith(OWN)
    rows = frame[stays]
    own = rows["method"] == name
    rows = rows.assign(method=rows["method"].mask(own, OWN))
    if "similarity" in rows:
        rows = rows.assign(similarity=rows["similarity"].mask(own, ""))
    return rows


def other(measured: Measured, own: Measured, model: str, sampling: str) -> Iterator[Choice]:
    """Choices of other samplings of the same model and dataset, and of its other datasets."""
    for name in own["rq1_recovery"]["sampling"].unique():
        if name != sampling:
            yield Choice("sampling", name, part(own, sampling=name))
    for of_model, dataset in units(measured):
        if of_model == model and dataset != own["rq1_recovery"]["dataset"].iloc[0]:
            theirs = part(measured, model=model, dataset=dataset, sampling=sampling)
            yield Choice("dataset", dataset, theirs)
