"""Sensitivity: a choice has the verdict of what was planted under it, and nothing else changes."""

import numpy as np
import pandas as pd
import pytest

from stepscope.statistics.findings_rq1 import areas, recovery_times, regions_and_detail
from stepscope.statistics.sensitivity import sensitivity_table
from stepscope.statistics.verdicts import with_verdicts
from support.synthetic import blocks_of

PROMPTS = 10
SAMPLINGS = {"even": "log_snr", "uniform": "uniform"}
SETTINGS = {"draws": 100, "confidence": 0.95, "seed": 0}
WHEN = {"low": -1.0, "mid": 0.0, "high": 1.5}  # log-SNR at which an object's band is recovered
# By how much DF-RISE's deletion area is below the random map's, by substrate, score and map.
GAMES = {("signal", "clip"): 0.3, ("signal", "ssim"): -0.2, ("zero", "clip"): 0.1}
MAPS = {"df_rise": 0.0, "df_rise_paper": -0.5}
# Slopes over log-SNR of the share of a map inside objects, and of other measures.
SLOPES = {"semantic_mass": -1, "pointing": 1, "detail_partial": 1, "detail_correlation": -1}
SLOPES |= {"detail_corrected": 1}


def crossed(**axes):
    frame = pd.MultiIndex.from_product(axes.values(), names=axes.keys()).to_frame(index=False)
    return frame.assign(seed=0, timestep=0.0, log_snr=frame["step"] - 3.5)


def tables_of(dataset, sampling, sign=1, masks="segmenter"):
    """RQ1's tables of a dataset and sampling; with `sign` -1 detail comes before the layout."""
    rng = np.random.default_rng(0)
    who = {"prompt_id": [f"p{i}" for i in range(PROMPTS)]}
    recovery = crossed(
        **who,
        step=range(1, 7),
        prediction=["e_u", "e_c", "guided", "gaussian"],
        region=["object", "background", "border"],
        band=list(WHEN),
    )
    jitter = recovery["prompt_id"].map(
        dict(zip(who["prompt_id"], rng.normal(size=PROMPTS) / 9, strict=True))
    )
    is_null = recovery["prediction"] == "gaussian"
    at = sign * recovery["band"].map(WHEN) * ~is_null * (1 + jitter)
    recovery["recovered"] = np.exp(-((recovery["log_snr"] - at) ** 2))
    maps = crossed(**who, step=[1, 3, 5], method=[*MAPS, "df_rise_null", "random"])
    for name, slope in SLOPES.items():
        own = maps["method"].map(lambda method: {"df_rise": 1, "df_rise_paper": -1}.get(method, 0))
        noise = np.where(maps["method"] == "df_rise_null", 0, rng.normal(size=len(maps)))
        maps[name] = slope * own * maps["log_snr"] + 0.1 * noise
    games = crossed(
        **who,
        step=[1, 3],
        method=[*MAPS, "random", "centre"],
        game=["deletion", "insertion"],
        kind=list(GAMES),
    )
    games["substrate"], games["score"] = zip(*games.pop("kind"), strict=True)
    better = games[["substrate", "score"]].apply(tuple, axis=1).map(GAMES)
    better = (better + games["method"].map(MAPS)).fillna(0)
    games["similarity"] = np.where(games["method"].isin(MAPS), "structure", "")
    towards = games["game"].map({"deletion": -1, "insertion": 1})
    games["auc_normalised"] = 0.5 + towards * better + 0.01 * rng.normal(size=len(games))
    measured = {"rq1_recovery": recovery.assign(masks=masks), "rq1_saliency": maps}
    measured["rq1_auc"] = games
    return {
        name: frame.assign(model="m", dataset=dataset, sampling=sampling)
        for name, frame in measured.items()
    }


@pytest.fixture(scope="module")
def measured():
    parts = [
        tables_of("generated", "even"),
        tables_of("generated", "uniform", sign=-1),
        tables_of("composed", "even", sign=-1, masks="exact"),
    ]
    parts[-1]["rq1_auc"] = parts[-1]["rq1_auc"].iloc[:0]  # they take time
    return {name: pd.concat([part[name] for part in parts]) for name in parts[0]}


def blocks(measured):
    """Tables in blocks of prompts."""
    return {name: blocks_of(frame) for name, frame in measured.items()}


@pytest.fixture(scope="module")
def table(measured):
    return sensitivity_table(blocks(measured), samplings=SAMPLINGS, **SETTINGS)


def rows_of(table, choice, instead, dataset="generated"):
    found = table[(table["choice"] == choice) & (table["instead"] == instead)]
    return found[found["dataset"] == dataset].set_index("statistic")


def test_the_primary_rows_are_the_claims_own(measured, table):
    own = tables_of("generated", "even")
    own["rq1_recovery"] = recovery_times(own["rq1_recovery"])
    findings = [*regions_and_detail(own), *areas(own)]
    claims = with_verdicts([one for one in findings if not one.family], **SETTINGS)
    found = rows_of(table, "primary", CLAIMS).reset_index()
    columns = ["claim", "statistic", "n", "estimate", "ci_low", "ci_high", "p_value", "verdict"]
    pd.testing.assert_frame_equal(found[columns], claims[columns])
    assert set(found["masks"]) == {"segmenter"}


CLAIMS = "as in claims"
MASS = "mass inside objects minus .* null, over steps$"
DETAIL = "given the objects minus .* null, over steps$"
HIGH = r"high minus low frequencies, in x0\(e_u\)"
LATER, RANDOM = r"background minus object, in x0\(e_u\)", "^deletion.* df_rise minus random$"
CHOICES = {  # (choice, instead, dataset): findings with the estimate that was planted
    ("primary", "as in claims", "generated"): {
        MASS: -1,
        DETAIL: 1,
        HIGH: 2.4,
        LATER: 0,
        RANDOM: -0.3,
    },
    ("map", "paper", "generated"): {MASS: 1, DETAIL: -1, RANDOM: 0.2},
    ("measure", "pointing", "generated"): {MASS: 1, DETAIL: None},
    ("measure", "detail_correlation", "generated"): {MASS: None, DETAIL: -1},
    ("band", "mid for high", "generated"): {HIGH: 1.0, LATER: None, RANDOM: None},
    ("band", "mid for low", "generated"): {HIGH: 1.4, MASS: None},
    ("game", "signal, ssim", "generated"): {RANDOM: 0.2, MASS: None},
    ("game", "zero, clip", "generated"): {RANDOM: -0.1},
    ("step", "3", "generated"): {RANDOM: -0.3},
    ("sampling", "uniform", "generated"): {HIGH: -2.2, RANDOM: None},
    ("dataset", "composed", "generated"): {HIGH: -2.2, RANDOM: None},
    ("dataset", "generated", "composed"): {HIGH: 2.4},
}


@pytest.mark.parametrize(("asked", "planted"), CHOICES.items(), ids=str)
def test_a_choice_finds_what_was_planted_under_it(table, asked, planted):
    found = rows_of(table, *asked)
    for statistic, estimate in planted.items():
        rows = found[found.index.str.contains(statistic)]
        if estimate is None:  # it is left as it is, or what was taken is the same
            assert rows.empty, statistic
            continue
        (row,) = (row for _, row in rows.iterrows())
        assert row["estimate"] == pytest.approx(estimate, abs=0.15), statistic
        assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
        assert row["n"] == PROMPTS
        expected = -1 if statistic in (MASS, RANDOM) else 1
        supports = {True: "supported", False: "contradicted"}[estimate * expected > 0]
        assert row["verdict"] == (supports if estimate else "undecided"), statistic


def test_masks_are_named_and_only_what_the_tables_hold_has_a_row(table):
    assert set(rows_of(table, "dataset", "composed")["masks"]) == {"exact"}
    assert table["choice"].ne("primary").sum() > 30
    assert not table.duplicated(["dataset", "statistic", "choice", "instead"]).any()
    assert table["n"].gt(0).where(table["choice"] != "primary", True).all()


def test_a_study_without_games_or_other_maps_has_the_choices_of_its_traces():
    measured = tables_of("generated", "even")
    measured["rq1_auc"] = measured["rq1_auc"].iloc[:0]
    measured["rq1_saliency"] = measured["rq1_saliency"].query("method == 'random'")
    table = sensitivity_table(blocks(measured), samplings=SAMPLINGS, **SETTINGS)
    assert set(table["choice"]) == {"primary", "band"}
    assert set(table.loc[table["claim"] != "R1a", "verdict"]) == {"not_testable"}
