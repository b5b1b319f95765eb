"""What the tables say about RQ1: regions, and the areas of the games."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from stepscope.statistics.finding import Finding

BETTER = {"deletion": 1, "insertion": -1}  # sign of a better explanation's difference in distance


def slope(frame: pd.DataFrame, value: str) -> pd.Series:
    """Least-squares slope of a value over log-SNR within each sample, by (prompt_id, seed)."""
    frame = frame.dropna(subset=[value])
    keys = [frame["prompt_id"], frame["seed"]]
    x, y = (
        frame[name] - frame.groupby(keys)[name].transform("mean") for name in ("log_snr", value)
    )
    spread = (x * x).groupby(keys).sum()
    return (x * y).groupby(keys).sum() / spread.where(spread > 0)


def centre(frame: pd.DataFrame) -> pd.Series:
    """Mean log-SNR of recovery by (prompt_id, seed): log-SNR weighted by max(recovered, 0)."""
    weight = frame["recovered"].clip(lower=0)
    keys = [frame["prompt_id"], frame["seed"]]
    total = weight.groupby(keys).sum()
    return (weight * frame["log_snr"]).groupby(keys).sum() / total.where(total > 0)


def regions_and_detail(measured: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    """R1a: slopes of DF-RISE's scores over log-SNR, and the order of recovery in the trace."""
    maps = measured["rq1_saliency"]
    maps = maps[maps["method"] == "df_rise"]
    for value, name, expected in (
        ("semantic_mass", "mass inside objects", -1),
        ("detail_correlation", "correlation with the final picture's edges", 1),
    ):
        slopes = slope(maps, value)
        text = f"slope over log-SNR of DF-RISE's {name}"
        reason = "no DF-RISE maps at two steps or more"
        yield Finding.of_samples("R1a", text, expected, slopes, reason)
    trace = measured["rq1_recovery"]
    of_object = trace[trace["region"] == "object"]
    for text, later, earlier in (
        (
            "log-SNR at which objects are recovered, high minus low frequencies",
            of_object[of_object["band"] == "high"],
            of_object[of_object["band"] == "low"],
        ),
        (
            "log-SNR at which low frequencies are recovered, background minus object",
            trace[(trace["region"] == "background") & (trace["band"] == "low")],
            of_object[of_object["band"] == "low"],
        ),
    ):
        apart = centre(later) - centre(earlier)
        yield Finding.of_samples("R1a", text, 1, apart, "no region was recovered")


def areas(measured: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    """R1b and R1c: DF-RISE's AUC minus a rival's, paired by prompt over the same steps."""
    frame = measured["rq1_auc"]
    frame = frame.assign(rival=frame["method"].where(frame["similarity"].isin(["", "structure"])))
    frame["rival"] = frame["rival"].fillna(frame["method"] + " with " + frame["similarity"])
    yield from _rivals("R1b", frame, ["random", "lime"])
    others = [
        name
        for name in dict.fromkeys(frame["rival"])
        if name.startswith("df_rise") and " with " in name and "official" not in name
    ]
    yield from _rivals("R1c", frame, others)
    if not others:
        reason = "the study has DF-RISE with one similarity only"
        yield Finding("R1c", "AUC, structure minus another similarity", reason=reason)


def _rivals(claim: str, frame: pd.DataFrame, names: Sequence[str]) -> Iterator[Finding]:
    for name in names:
        for game, sign in BETTER.items():
            rows = frame[(frame["game"] == game) & frame["rival"].isin(["df_rise", name])]
            only_similarity = (
                rows["auc_similarity"].notna().any() and rows["auc_distance"].isna().all()
            )
            value = "auc_similarity" if only_similarity else "auc_distance"
            wide = rows.pivot_table(
                index=["prompt_id", "seed", "step", "score"], columns="rival", values=value
            ).reindex(columns=["df_rise", name])
            pairs = wide["df_rise"] - wide[name]
            text = f"{game} {value}, df_rise minus {name}"
            expected = sign if value == "auc_distance" else -sign
            missing = [rival for rival in ("df_rise", name) if not (rows["rival"] == rival).any()]
            lacking = f"the games have no {' and no '.join(missing)}"
            reason = lacking if missing else "no step has games of both"
            yield Finding.of_samples(claim, text, expected, pairs, reason)
