"""Claims: planted effects are supported, their opposites contradicted, noise neither."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import interp1d
from scipy.ndimage import gaussian_filter1d
from scipy.stats import spearmanr

from stepscope.statistics import claims, findings_rq1, findings_rq3
from stepscope.statistics.finding import REFERENCES, Finding
from stepscope.statistics.verdicts import verdict, with_verdicts
from stepscope.store import tables
from stepscope.table_columns import CLAIMS
from support.synthetic import KEYS

PROMPTS, SEEDS, STEPS = 16, 2, 12
SAMPLINGS = {"uniform": "uniform", "dense": "early", "late": "latter"}
SETTINGS = {"samplings": SAMPLINGS, "draws": 400, "confidence": 0.95, "seed": 0}
PREDICTIONS = ["e_u", "e_c", "guided", "gaussian"]
WORDS = (("cat", "subject"), ("above", "relation"), ("dog", "object"), ("blue", "background"))
# rows with a test
MEASURED = {"R1a": 10, "R1b": 12, "R2a": 8, "R2b": 6, "R3b": 7}
CLOCKED = {"R3a": 9, "C1": 2, "C2": 2, "C3": 5}  # of rq3_clocks and rq3_samplings
CLOCKS = {"decided": -2, "bayes": -2, "overridable": -1, "relevance": 0, "information": 0}


def crossed(columns, **axes):
    frame = pd.MultiIndex.from_product(axes.values(), names=axes.keys()).to_frame(index=False)
    defaults = {**KEYS, "score": "clip", "substrate": "", "word": "", "auc_similarity": np.nan}
    defaults |= {"pointing": 0.0, "iou": 0.0, "average_precision": 0.0, "relevance_minmax": 0.0}
    frame = frame.assign(**{key: value for key, value in defaults.items() if key not in frame})
    if "step" in frame:
        frame = frame.assign(timestep=1000.0 - frame["step"], log_snr=frame["step"] - 6.0)
    return frame


def study(effect, seed=0, clocked=False):
    """Tables of a study in which every claim holds by `effect`, plus noise.

    With or without those of clocks and samplings, whose many rows cost time.
    """
    rng = np.random.default_rng(seed)
    who = {"prompt_id": [f"p{i:02}" for i in range(PROMPTS)], "seed": range(SEEDS)}
    when = {"step": range(1, STEPS + 1)}

    def noise(frame):
        return 0.5 * rng.normal(size=len(frame))

    measured = {}
    maps = crossed("rq1_saliency", **who, step=[2, 6, 11], method=["df_rise", "random"])
    maps["semantic_mass"] = 1 - effect * 0.2 * maps["log_snr"] + noise(maps)
    maps["detail_partial"] = effect * 0.2 * maps["log_snr"] + noise(maps)
    blind = maps["method"] == "random"
    for value in ("semantic_mass", "detail_partial"):
        maps.loc[blind, value] = noise(maps[blind])
    null = maps[blind].assign(method="df_rise_null")  # without objects there is no trend
    for value in ("semantic_mass", "detail_partial"):
        null[value] = 0.1 * np.random.default_rng(seed + 99).normal(size=len(null))
    measured["rq1_saliency"] = pd.concat([maps, null], ignore_index=True)
    trace = crossed(
        "rq1_recovery",
        **who,
        **when,
        prediction=PREDICTIONS,
        region=["object", "background", "border"],
        band=["low", "high"],
    )
    when_recovered = effect * (
        (trace["band"] == "high") * 3.0 + (trace["region"] == "background") * 3.0
    )
    # without objects high frequencies come a nat after the low
    when_recovered = when_recovered * (trace["prediction"] != "gaussian")
    when_recovered += trace["band"] == "high"
    jitter = rng.normal(size=(PROMPTS, SEEDS, 4, 3, 2))
    wobble = np.broadcast_to(jitter[:, :, None], (PROMPTS, SEEDS, STEPS, 4, 3, 2)).ravel()
    trace["recovered"] = np.exp(-((trace["log_snr"] + 2 - when_recovered - wobble) ** 2) / 2)
    trace.loc[trace["step"] == 1, "recovered"] = np.nan
    measured["rq1_recovery"] = trace
    games = crossed(
        "rq1_auc",
        **who,
        step=[2, 6],
        game=["deletion", "insertion"],
        method=["df_rise", "random", "centre"],
    )
    games["similarity"] = games["method"].map({"df_rise": "structure"}).fillna("")
    sign = games["game"].map({"deletion": -1, "insertion": 1}) * (games["method"] == "df_rise")
    games["auc_distance"] = 3 * 10.0 ** games["step"]  # of which the last step would decide
    games["auc_normalised"] = 0.5 + 0.3 * effect * sign + 0.3 * noise(games)
    measured["rq1_auc"] = games
    words = crossed("rq2_relevance", **who, **when, word_index=range(4), method=["relevance"])
    words["role"] = words["word_index"].map({i: role for i, (_, role) in enumerate(WORDS)})
    shape = (PROMPTS, SEEDS, STEPS, 4)
    own = gaussian_filter1d(rng.normal(size=(PROMPTS, 1, STEPS, 4)), 2, axis=2)
    other = gaussian_filter1d(rng.normal(size=shape), 2, axis=2)
    words["relevance"] = np.exp(2 * abs(effect) * own + other).ravel()
    sign = words["role"].map({"subject": 1.0, "object": -1.0}).fillna(0)  # over the steps
    words["relevance"] *= np.exp(0.3 * effect * sign * words["log_snr"])
    measured["rq2_relevance"] = words
    share = tables.share(words).to_numpy().reshape(shape)
    removal = words.assign(method="word_removal")
    measured["rq2_relevance"] = pd.concat([words, removal, *resampled(words, effect, rng)])
    measured["rq2_order"] = orders(pd.concat([words, removal]))
    regions = crossed("rq2_grounding", **who, **when, word_index=[0, 2, 3], method=["df_cam_word"])
    regions["role"] = regions["word_index"].map({i: role for i, (_, role) in enumerate(WORDS)})
    wobble = gaussian_filter1d(rng.normal(size=(PROMPTS, SEEDS, STEPS, 3)), 2, axis=2)
    mass = effect * share[..., [0, 2, 3]] + 0.1 * wobble
    regions["mass"] = mass.ravel()
    measured["rq2_grounding"] = regions
    gain = effect * (0.2 + share[..., [0, 2, 3]]) + 0.05 * wobble
    measured["rq2_regions"] = regions.assign(gain=gain.ravel())
    if not clocked:
        return measured
    clocks = crossed(
        "rq3_clocks", **who, clock=["visible", *CLOCKS], family=["object", "relation", "texture"]
    )
    is_visible = clocks["clock"] == "visible"
    clocks["reader"] = is_visible.map({True: "clip", False: ""})
    when = clocks["clock"].map(CLOCKS | {"visible": 1}) * effect
    later = clocks["family"].map({"object": 0, "relation": 0.1, "texture": 1})
    when += later * is_visible.map({True: effect, False: abs(effect)})
    clocks["within_steps"] = when + noise(clocks)
    measured["rq3_clocks"] = clocks
    changed = [(measure, part) for measure, part, *_ in findings_rq3.CHANGED]
    pictures = crossed("rq3_samplings", **who, sampling=["dense", "late"], number=range(7))
    pictures[["measure", "part"]] = [changed[number] for number in pictures["number"]]
    pictures = pictures.assign(ends="published", reader="")
    sign = pictures["number"].map([row[3] for row in findings_rq3.CHANGED].__getitem__)
    change = sign * pictures["sampling"].map({"dense": 0.5, "late": -0.5}) * effect
    measured["rq3_samplings"] = pictures.assign(value=change, change=change + noise(pictures))
    measured["rq3_samplings"]["value"] += noise(pictures)
    return measured


def orders(words):
    """Ranks of the words' centres of mass, of each sample and method."""
    words = words.assign(share=tables.share(words))
    words["weighted"] = words["share"] * words["log_snr"]
    keys = ["model", "dataset", "sampling", "prompt_id", "seed", "method", "word_index", "role"]
    frame = words.groupby(keys)[["share", "weighted"]].sum().reset_index()
    centre = frame["weighted"] / frame["share"]
    return frame.assign(centre_rank=centre.groupby([frame[key] for key in keys[:6]]).rank())


def resampled(words, effect, rng):
    """Relevance under early and latter sampling: read at other noise levels, with noise.

    Under early sampling the shares of subject and object change too.
    """
    curves = np.log(words["relevance"].to_numpy()).reshape(-1, STEPS, len(WORDS))
    when = np.unique(words["log_snr"])
    sign = words["role"].map({"subject": -1.0, "object": 1.0}).fillna(0).to_numpy()
    for name, kind in SAMPLINGS.items():
        if kind == "uniform":
            continue
        # the first half of the range twice as densely, or the second
        at = when[0] + (when - when[0]) / 2 if kind == "early" else (when + when[-1]) / 2
        at = np.concatenate([when[:1], at[1:]])  # all begin with pure noise
        read = interp1d(when, curves, axis=1)(at) + 0.05 * rng.normal(size=curves.shape)
        change = effect * sign if kind == "early" else 0
        yield words.assign(
            sampling=name,
            log_snr=np.broadcast_to(at[None, :, None], curves.shape).ravel(),
            relevance=np.exp(read.ravel() + change),
        )


def table_of(measured, **settings):
    """claims.tsv of tables that come as one block each, once."""
    return claims.claims_table({name: iter([of]) for name, of in measured.items()}, **settings)


def differing(table):
    """Rows that claim a difference, which is what a study is made with."""
    return table[~table["statistic"].str.contains("within 0")]


def verdicts(effect, seed=0):
    table = table_of(study(effect, seed, clocked=True), **SETTINGS)
    assert tuple(table.columns) == CLAIMS
    return table


def test_planted_effects_are_supported_and_all_claims_are_there():
    table = verdicts(1.0)
    assert list(dict.fromkeys(table["claim"])) == list(claims.STATEMENTS)
    tested = table[table["verdict"] != "not_testable"]
    assert tested.groupby("claim").size().to_dict() == MEASURED | CLOCKED
    planted = differing(tested)
    assert (planted["verdict"] == "supported").all(), planted[["statistic", "verdict", "p_value"]]
    assert (tested["n"] == PROMPTS).all()
    assert (tested["noises"] == SEEDS).all()
    assert (table["noises"][table["verdict"] == "not_testable"] == 0).all()


def test_texts_of_blocks_are_categories_and_claims_are_the_same(monkeypatch):
    monkeypatch.setattr(claims, "PERMUTATIONS", 99)
    measured, settings = study(1.0, clocked=True), SETTINGS | {"draws": 20}
    halves = {}
    for name, frame in measured.items():
        texts = frame.select_dtypes("str")
        first = frame["prompt_id"] < "p08"
        halves[name] = [
            frame[half].astype(dict.fromkeys(texts, "category")) for half in (first, ~first)
        ]
    found = claims.claims_table(halves, **settings)
    pd.testing.assert_frame_equal(found, table_of(measured, **settings))


def test_the_noises_of_a_claim_are_the_seeds_behind_its_values(monkeypatch):
    monkeypatch.setattr(claims, "PERMUTATIONS", 99)
    measured = study(1.0, clocked=True)
    shared = table_of(measured, **SETTINGS | {"draws": 20})
    for frame in measured.values():  # each prompt has seeds of its own
        frame["seed"] += 10 * frame["prompt_id"].str[1:].astype(int)
    own = table_of(measured, **SETTINGS | {"draws": 20})
    tested = own["verdict"] != "not_testable"
    assert (own["noises"] == np.where(tested, PROMPTS * SEEDS, 0)).all()
    pd.testing.assert_frame_equal(own.drop(columns="noises"), shared.drop(columns="noises"))
    for name, frame in measured.items():  # and one of them is read of half of the prompts
        gone = frame["seed"] % 10 == (0 if name == "rq3_clocks" else 99)
        measured[name] = frame[~gone | (frame["prompt_id"] < "p08")]
    onsets = measured["rq3_clocks"]
    onsets.loc[onsets["prompt_id"] == "p15", "within_steps"] = np.nan
    rows = table_of(measured, **SETTINGS | {"draws": 20}).set_index("claim")
    assert rows.loc["R3a", "n"].tolist()[:2] == [PROMPTS - 1] * 2
    assert rows.loc["R3a", "noises"].tolist()[:2] == [8 * SEEDS + 7] * 2
    assert set(rows.loc["R2a", "noises"]) == {PROMPTS * SEEDS}


def test_what_the_study_lacks_is_said_with_its_reason():
    table = verdicts(1.0)
    lacking = table[table["verdict"] == "not_testable"]
    assert lacking["reason"].str.len().gt(10).all()
    assert lacking[["estimate", "p_value"]].isna().all(axis=None)
    assert set(lacking["claim"]) == {"R1b", "R1c", "R3a"}  # of R3a, with matched ends
    assert lacking[lacking["claim"] == "R1b"]["statistic"].str.contains("lime").all()


def test_opposite_effects_are_contradicted():
    table = verdicts(-1.0)
    tested = table[table["verdict"] != "not_testable"].set_index("statistic")["verdict"]
    opposed = tested[
        ~tested.index.str.contains("other words'|other prompts'|words swapped|within 0")
    ]
    assert (opposed == "contradicted").all()


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_undecided(seed):
    table = verdicts(0.0, seed)
    tested = table[table["verdict"] != "not_testable"]
    assert (differing(tested)["verdict"] == "undecided").all()


def test_tables_without_rows_leave_claims_untestable():
    empty = {name: frame.iloc[:0] for name, frame in study(1.0).items()}
    empty["rq1_recovery"] = study(1.0)["rq1_recovery"].iloc[:1]
    table = table_of(empty, **SETTINGS)
    assert (table["verdict"] == "not_testable").all()
    assert set(table["claim"]) == set(claims.STATEMENTS)
    empty["rq1_recovery"] = empty["rq1_recovery"].iloc[:0]
    assert tuple(table_of(empty, **SETTINGS).columns) == CLAIMS


@pytest.mark.parametrize(
    ("table", "method", "untested", "reason"),
    [
        ("rq1_saliency", "df_rise", {"R1a"}, "no maps at two steps or more of both df_rise and"),
        ("rq1_saliency", "df_rise_null", {"R1a"}, "no maps at two steps or more of both df_rise"),
        ("rq1_auc", "df_rise", {"R1b"}, "the games have no df_rise"),
        ("rq1_auc", "random", {"R1b"}, "the games have no random"),
        ("rq2_relevance", "relevance", {"R2a", "R2b", "R3b"}, "needs relevance"),
        ("rq2_relevance", "word_removal", {"R2a", "R2b"}, "needs word_removal"),
        ("rq2_grounding", "df_cam_word", {"R2b"}, "needs df_cam_word and relevance"),
    ],
)
def test_a_study_without_a_method_says_which_claims_need_it(table, method, untested, reason):
    measured = study(1.0)
    measured[table] = measured[table][measured[table]["method"] != method]
    rows = table_of(measured, **SETTINGS | {"draws": 20})
    rows = rows[~rows["statistic"].str.contains("lime")]
    lacking = rows[rows["reason"].str.startswith(reason)]
    assert set(lacking["claim"]) - {"R1c"} <= untested
    assert (lacking["verdict"] == "not_testable").all()
    planted = differing(rows)
    tested = planted[planted["verdict"] == "supported"].groupby("claim").size().to_dict()
    whole = {
        ("rq1_saliency", "df_rise"): {"R1a": 6},
        ("rq1_saliency", "df_rise_null"): {"R1a": 6},
        ("rq1_auc", "random"): {"R1b": 6},
        ("rq2_relevance", "relevance"): {"R2a": 6, "R2b": 3},
        ("rq2_relevance", "word_removal"): {"R2a": 6, "R2b": 3},
        ("rq2_grounding", "df_cam_word"): {"R2b": 4},
    }.get((table, method), {})  # rows that read other tables or methods, or name another rival
    measured_rows = MEASURED | {"R3b": MEASURED["R3b"] - 2}
    assert tested == {k: n for k, n in measured_rows.items() if k not in untested} | whole


def rows_of(measured, claim, *parts):
    """Rows of a claim of RQ1 whose statistic has these parts; words are left out, to be quick."""
    measured = {
        name: frame.iloc[:0] if name.startswith("rq2") else frame
        for name, frame in measured.items()
    }
    table = table_of(measured, **SETTINGS | {"draws": 100})
    table = table[table["claim"] == claim]
    for part in parts:
        table = table[table["statistic"].str.contains(part, regex=False)]
    return table


def test_what_the_null_recovers_in_that_order_too_counts_for_nothing():
    measured = study(1.0)
    own = rows_of(measured, "R1a", "high minus low", "x0(guided)").iloc[0]
    assert own["estimate"] == pytest.approx(3, abs=0.5)  # the model's 4, of which the null has 1
    assert own["without_objects"] == pytest.approx(1, abs=0.3)
    trace = measured["rq1_recovery"]
    null = trace.loc[trace["prediction"] == "gaussian", "recovered"].to_numpy()
    for prediction in ("e_u", "e_c", "guided"):  # nothing but the spectrum's order
        trace.loc[trace["prediction"] == prediction, "recovered"] = null
    rows = rows_of(measured, "R1a", "high minus low")
    assert (rows["estimate"] == 0).all()
    assert (rows["verdict"] == "undecided").all()
    assert (rows["without_objects"] > 0.7).all()


@pytest.mark.parametrize(
    ("value", "sign", "first"), [("semantic_mass", -1, 0), ("detail_partial", 1, 2)]
)
def test_a_course_that_maps_of_the_null_have_too_counts_for_nothing(value, sign, first):
    measured = study(1.0)
    maps = measured["rq1_saliency"]

    def of_value():
        """The findings over all steps, and over those after the first."""
        return list(islice(findings_rq1.regions_and_detail(measured), first, first + 2))

    own, _ = of_value()
    assert sign * own.values.mean() > 0.7
    assert abs(own.references["without_objects"]) < 0.3
    is_null, step = maps["method"] == "df_rise_null", maps["step"] == 6
    maps.loc[is_null, value] = sign * 0.2 * maps.loc[is_null, "log_snr"]  # the same, without noise
    for found in of_value():
        assert abs(found.values.mean()) < 0.4
        assert found.references["without_objects"] == sign
    measured["rq1_saliency"] = maps[~(is_null & step)]  # a step that it lacks counts for neither
    maps.loc[(maps["method"] == "df_rise") & step, value] += 100
    found, none = of_value()
    assert abs(found.values.mean()) < 0.4
    assert not len(none.values)


def test_a_rise_of_the_first_step_alone_is_seen_as_one():
    measured = study(0.0)
    maps = measured["rq1_saliency"]
    maps["detail_partial"] += 3.0 * (maps["step"] > 2) * (maps["method"] == "df_rise")
    rows = rows_of(measured, "R1a", "edges")
    assert rows["verdict"].tolist() == ["supported", "undecided"]
    assert rows["statistic"].str.contains("after the first").tolist() == [False, True]


@pytest.mark.parametrize("steps", [3, 8])
def test_a_trend_is_spearmans_whatever_the_spacing(steps):
    rng = np.random.default_rng(0)
    who = {"prompt_id": ["a", "b", "c"], "seed": [0, 1], "step": range(steps)}
    frame = crossed("rq1_saliency", **who).assign(log_snr=lambda rows: rows["step"] ** 3.0)
    frame["value"] = rng.normal(size=len(frame)).round(1)
    frame.loc[frame["prompt_id"] == "c", "value"] = 0.5  # the same at every step has no trend
    found = findings_rq1.trend(frame, "value")
    for (prompt, seed), rows in frame.groupby(["prompt_id", "seed"]):
        expected = np.nan if prompt == "c" else spearmanr(rows["step"], rows["value"]).statistic
        np.testing.assert_allclose(found[prompt, seed], expected)


def test_rivals_are_met_by_dfrise_as_it_is_here_and_as_published():
    measured = study(1.0)
    games = measured["rq1_auc"]
    worse = games[games["method"] == "df_rise"].assign(method="df_rise_official")
    worse["auc_normalised"] = 1 - worse["auc_normalised"]
    other = games[games["method"] == "df_rise"].assign(method="df_rise_cosine", similarity="cosine")
    measured["rq1_auc"] = pd.concat([games, worse, other])
    rows = rows_of(measured, "R1b", " minus ").set_index("statistic")
    verdicts_of = {
        own: set(rows.loc[rows.index.str.contains(f", {own} minus"), "verdict"])
        for own in ("df_rise", "df_rise_official", "df_rise_cosine")
    }
    assert verdicts_of["df_rise"] == {"supported", "not_testable"}  # there is no LIME
    assert verdicts_of["df_rise_official"] == {"contradicted"}
    assert not verdicts_of["df_rise_cosine"]
    single = rows.index.str.contains(", at step ")
    assert len(rows[~single]) == 2 * (3 + 2)
    assert len(rows[single]) == 2 * 2 * (2 + 2)  # of steps 2 and 6
    tied = rows_of(measured, "R1c", "with cosine")
    assert tied["estimate"].tolist() == [0, 0]
    assert tied["verdict"].tolist() == ["undecided"] * 2


def test_lime_is_a_rival_at_each_step_that_it_explains():
    measured = study(1.0)
    games = measured["rq1_auc"]
    official = games[games["method"] == "df_rise"].assign(method="df_rise_official")
    lime = games[(games["method"] == "random") & (games["step"] == 6)].assign(method="lime")
    lime["auc_normalised"] += lime["game"].map({"deletion": -0.6, "insertion": 0.0})
    measured["rq1_auc"] = pd.concat([games, official, lime])
    rows = rows_of(measured, "R1b", " minus lime").set_index("statistic")
    for own in ("df_rise", "df_rise_official"):
        of_own = rows[rows.index.str.contains(f", {own} minus")]
        verdict = of_own.groupby(of_own.index.str.split().str[0])["verdict"].agg(list)
        assert verdict["deletion"] == ["contradicted"] * 2  # over steps, which is one, and there
        assert verdict["insertion"] == ["supported"] * 2
        assert of_own.index.str.endswith("at step 6").sum() == 2


def test_p_values_are_adjusted_within_a_family():
    rng = np.random.default_rng(0)
    own = [Finding("R1b", str(i), values=rng.normal(1.5, size=10)) for i in range(3)]
    others = [replace(one, family="single steps") for one in own] * 2
    alone = with_verdicts(own, 20, 0.95, 0)["p_value"].to_numpy()
    found = with_verdicts([*others[:2], *own, *others[2:]], 20, 0.95, 0)["p_value"]
    np.testing.assert_array_equal(found[2:5], alone)
    assert found[[0, 1]].min() == pytest.approx(2 * alone.min())  # the best of six, not of three


def test_each_row_says_what_had_been_found_otherwise_or_why_not():
    measured = study(1.0)
    games = measured["rq1_auc"]
    centre = (games["method"] == "centre") & (games["game"] == "deletion")
    games.loc[centre, "auc_normalised"] -= 0.2  # the centre map is a good one
    table = table_of(measured, **SETTINGS | {"draws": 100})
    for name in REFERENCES:
        empty = table[name].isna()
        assert (table["lacking"].str.contains(f"{name}: ") == empty).all()
        assert 0 < empty.sum() < len(table)
    found = table.set_index("statistic")
    against_random = found.loc[
        found.index.str.startswith("deletion") & found.index.str.endswith("df_rise minus random")
    ].iloc[0]
    assert against_random["with_centre"] == pytest.approx(-0.2, abs=0.1)
    assert np.isnan(against_random["at_chance"])
    assert "at_chance: the rival is the random map" in against_random["lacking"]
    trend = found[found.index.str.contains("mass inside objects minus")].iloc[0]
    assert abs(trend["at_chance"]) < 0.3 < abs(trend["estimate"])


@pytest.mark.parametrize(
    ("expected", "low", "high", "p", "answer"),
    [
        (1, 0.1, 0.2, 0.01, "supported"),
        (1, 0.1, 0.2, 0.05, "undecided"),
        (1, -0.1, 0.2, 0.01, "undecided"),
        (1, -0.2, -0.1, 0.01, "contradicted"),
        (-1, -0.2, -0.1, 0.01, "supported"),
        (-1, 0.1, 0.2, 0.01, "contradicted"),
    ],
)
def test_verdicts(expected, low, high, p, answer):
    assert verdict(expected, low, high, p) == answer


def test_gaps_leave_out_a_word_or_a_step_not_the_claim():
    measured = study(1.0)
    words = measured["rq2_relevance"]
    gone = (words["prompt_id"] == "p00") & (words["seed"] == 1) & (words["step"] == 3)
    measured["rq2_relevance"] = words[
        ~gone & ~((words["prompt_id"] == "p01") & (words["seed"] == 0))
    ]
    regions = measured["rq2_grounding"]
    regions.loc[regions["step"] == 5, "mass"] = np.nan
    regions.loc[regions["word_index"] == 0, "mass"] = np.nan
    rows = table_of(measured, **SETTINGS).set_index("claim")
    assert set(rows.loc["R2a", "verdict"]) == {"supported"}
    # of the curves one prompt has other steps, and one a single seed; orders are all there
    assert set(rows.loc["R2a", "n"]) == {PROMPTS, PROMPTS - 2}
    assert set(rows.loc["R2b", "verdict"]) == {"supported"}


@pytest.mark.parametrize(
    ("kinds", "tested"),
    [
        ({"dense": "uniform", "uniform": "log_snr"}, True),
        ({"dense": "early", "uniform": "uniform"}, True),
        ({"dense": "log_snr", "uniform": "uniform"}, False),
        ({"dense": "early", "uniform": "latter"}, False),
    ],
)
def test_claims_are_tested_on_even_steps_of_log_snr_before_all_others(kinds, tested):
    table = table_of(study(1.0), **SETTINGS | {"samplings": kinds})  # maps of "uniform"
    found = table.loc[table["claim"] == "R1a", "verdict"]
    assert (found != "not_testable").all() if tested else (found == "not_testable").all()


@pytest.mark.parametrize(
    ("mean", "expected"), [(0.0, "supported"), (0.05, "contradicted"), (0.02, "undecided")]
)
def test_no_change_is_a_claim_with_a_margin(mean, expected):
    values = mean + 0.005 * np.random.default_rng(0).normal(size=PROMPTS)
    finding = Finding("R3b", "no change", values=values, margin=0.02)
    (found,) = with_verdicts([finding], 400, 0.95, 0)["verdict"]
    assert found == expected


def test_clocks_that_a_study_lacks_are_named_with_what_makes_them():
    rows = table_of(study(1.0), **SETTINGS | {"draws": 20}).set_index("claim")
    assert (rows.loc[["C1", "C2", "C3"], "verdict"] == "not_testable").all()
    reasons = " ".join(rows.loc[["C1", "C2", "C3", "R3a"], "reason"])
    for part in ("rq3_decided", "rq3_commitment", "world_clock", "word information", "uniform"):
        assert part in reasons


def test_the_lag_of_the_null_stands_beside_the_models():
    measured = study(1.0, clocked=True)
    clocks = measured["rq3_clocks"]
    assert np.isnan(rows_of(measured, "C1", "decided")["without_objects"].item())
    null = clocks[clocks["clock"].isin(["visible", "decided"])].assign(denoiser="gaussian_null")
    null["within_steps"] = null["clock"].map({"visible": 0.5, "decided": 0.2})
    fixed = null.assign(denoiser="fixed_picture", within_steps=9.0)
    measured["rq3_clocks_null"] = pd.concat([null, fixed])
    row = rows_of(measured, "C1", "decided").iloc[0]
    assert row["without_objects"] == pytest.approx(0.3)
    assert row["estimate"] == pytest.approx(3, abs=0.5)  # as it was


def test_no_two_clocks_of_one_reader_stand_alone():
    measured = study(1.0, clocked=True)
    clocks = measured["rq3_clocks"]
    second = clocks[clocks["clock"] == "visible"].assign(reader="untrained")
    decided = clocks["clock"] == "decided"
    both = [clocks[~decided], second, *(clocks[decided].assign(reader=r) for r in ("a", "clip"))]
    measured["rq3_clocks"] = pd.concat(both)
    rows = rows_of(measured, "C1", "decided by")
    pairs = {(v, d) for v in ("clip", "untrained") for d in ("a", "clip")}
    found = {
        tuple(text.split(" by ")[n].split()[0].strip(",") for n in (1, 2))
        for text in rows["statistic"]
    }
    assert found == pairs
