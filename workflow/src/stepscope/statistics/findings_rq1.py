"""What the tables say about RQ1: regions, and the areas of the games."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from stepscope.statistics.finding import Finding, References, over_prompts
from stepscope.statistics.gathering import UNIT
from stepscope.statistics.inference import trend
from stepscope.statistics.primary_games import primary
from stepscope.table_columns import SAMPLE

REGION = ("masks", "prediction", "region", "band")
RECOVERED = (*SAMPLE, "step", "log_snr", *REGION, "recovered")  # columns of rq1_recovery
BETTER = {"deletion": -1, "insertion": 1}  # sign of a better explanation's normalised area
BASELINES = ("random", "centre")
PREDICTIONS = ("e_u", "e_c", "guided")
NULL = "gaussian"
NO_MAPS: References = dict.fromkeys(
    ("at_chance", "with_centre"), "read of the trace, without a map"
)
ON_NULL = "df_rise_null"  # DF-RISE on the Gaussian null, by its name in a study
UNPLAYED = "no map of the Gaussian null is played"


def after_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of each sample's steps after the first that was looked at."""
    first = frame.groupby(["method", "prompt_id", "seed"])["step"].transform("min")
    return frame[frame["step"] > first]


def beyond_null(maps: pd.DataFrame, value: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of DF-RISE with a value minus the Gaussian null's, and the null's own, of shared steps.

    The null's map is exact but for its masks; its course minus a noisier one's, each as a rank
    correlation, would find a difference where noise alone makes the second smaller.
    """
    at = ["prompt_id", "seed", "step"]
    own, null = (maps[maps["method"] == name].set_index(at) for name in ("df_rise", ON_NULL))
    shared = own.index.intersection(null.index)
    own, null = own.loc[shared], null.loc[shared]
    return own.assign(**{value: own[value] - null[value]}).reset_index(), null.reset_index()


def recovery_times(recovery: pd.DataFrame) -> pd.DataFrame:
    """Mean log-SNR of recovery of each sample, prediction, region and band, of rq1_recovery.

    Of each step the log-SNR half-way from the step before, weighted by what it recovers, max(
    recovered, 0) times the log-SNR between the two. Rows are all steps of their samples.
    """
    times = recovery.drop_duplicates([*UNIT, "step"]).set_index([*UNIT, "step"])["log_snr"]
    widths = times.sort_index().groupby(level=UNIT).diff().rename("width")
    width = recovery[[*UNIT, "step"]].merge(widths.reset_index(), how="left")["width"].to_numpy()
    weight = recovery["recovered"].clip(lower=0) * width
    weighted = weight * (recovery["log_snr"] - width / 2)
    keys = [*SAMPLE, *REGION]
    sums = recovery[keys].assign(weight=weight, weighted=weighted).groupby(keys).sum()
    centre = sums["weighted"] / sums["weight"].where(sums["weight"] > 0)
    return centre.rename("centre").reset_index()


def centres(times: pd.DataFrame) -> pd.DataFrame:
    """Those times by (prompt_id, seed), a column a (prediction, region, band)."""
    by = ["prediction", "region", "band"]
    wide = times.set_index(["prompt_id", "seed", *by])["centre"].unstack(by)
    columns = [(*PREDICTIONS, NULL), ("object", "background"), ("low", "high")]
    return wide.reindex(columns=pd.MultiIndex.from_product(columns))


def regions_and_detail(measured: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    """R1a: courses of DF-RISE's scores and the order of recovery, beyond those of the null."""
    yield from courses(measured["rq1_saliency"])
    yield from orders(measured["rq1_recovery"])


def courses(maps: pd.DataFrame) -> Iterator[Finding]:
    """R1a, of rq1_saliency: how scores of DF-RISE's maps change with log-SNR."""
    for value, name, expected in (
        ("semantic_mass", "mass inside objects", -1),
        ("detail_partial", "correlation with the final picture's edges given the objects", 1),
    ):
        own, null = beyond_null(maps, value)
        random = maps[maps["method"] == "random"]
        for chosen, over in ((lambda of: of, ""), (after_first, " after the first that has a map")):
            text = f"rank correlation with log-SNR of DF-RISE's {name} minus that of the Gaussian "
            text += f"null, over steps{over}"
            reason = f"no maps at two steps or more of both df_rise and {ON_NULL}"
            references: References = {
                "without_objects": over_prompts(trend(chosen(null), value)).mean(),
                "at_chance": over_prompts(trend(chosen(random), value)).mean(),
                "with_centre": "the same map at every step",
            }
            found = trend(chosen(own), value)
            yield Finding.of_samples("R1a", text, expected, found, reason, references)


def orders(times: pd.DataFrame) -> Iterator[Finding]:
    """R1a, of `recovery_times`: what is recovered after what, beyond the order of the null."""
    when = centres(times)
    for prediction in PREDICTIONS:
        for name, later, earlier in (
            ("objects are recovered, high minus low frequencies", "object high", "object low"),
            (
                "low frequencies are recovered, background minus object",
                "background low",
                "object low",
            ),
        ):
            own, null = (
                when[which, *later.split()] - when[which, *earlier.split()]
                for which in (prediction, NULL)
            )
            text = f"log-SNR at which {name}, in x0({prediction}) beyond the Gaussian null"
            references: References = {**NO_MAPS, "without_objects": over_prompts(null).mean()}
            reason = f"x0({prediction}) or the null recovers none of the regions"
            yield Finding.of_samples("R1a", text, 1, own - null, reason, references)


def areas(measured: Mapping[str, pd.DataFrame], *, at_each_step: bool = True) -> Iterator[Finding]:
    """R1b and R1c: DF-RISE's normalised AUC minus a rival's, paired by sample and step.

    Of several substrates and scores those count that no method uses itself (`primary_games`), of
    R1c neither of the two that are compared. R1b is about DF-RISE as it is here and as it is
    published (`paper`, `official`), where the study has these, over all steps and, unless these are
    not asked for, at each; p-values of single steps are adjusted by themselves.
    """
    texts = ["method", "similarity", "game", "substrate", "score"]
    every = measured["rq1_auc"].astype(dict.fromkeys(texts, str))
    similar = every["method"] + " with " + every["similarity"]
    plain = every["similarity"].isin(["", "structure"])
    every = every.assign(rival=every["method"].where(plain, similar))
    frame = primary(every)
    names = list(dict.fromkeys(frame["rival"]))
    published = [name for name in names if name in ("df_rise_paper", "df_rise_official")]
    for own in ("df_rise", *published):
        rivals = ["random", "centre", *(["lime"] if own == "df_rise" or "lime" in names else [])]
        yield from _rivals("R1b", frame, own, rivals, at_each_step)
    others = [
        name
        for name in names
        if name.startswith("df_rise") and " with " in name and "official" not in name
    ]
    for name in others:
        compared = every[every["rival"].isin(["df_rise", name, *BASELINES])]
        yield from _rivals("R1c", primary(compared), "df_rise", [name])
    if not others:
        reason = "the study has DF-RISE with one similarity only"
        yield Finding("R1c", "AUC, structure minus another similarity", reason=reason)


def _rivals(
    claim: str, frame: pd.DataFrame, own: str, names: Sequence[str], at_each_step: bool = False
) -> Iterator[Finding]:
    """Findings of a method against each rival and game, over all steps and perhaps at each."""
    for name in names:
        for game, expected in BETTER.items():
            of_game = frame[frame["game"] == game]
            played = ", ".join(of_game[["substrate", "score"]].iloc[:1].to_numpy().ravel())
            wide = of_game.pivot_table(
                index=["prompt_id", "seed", "step"], columns="rival", values="auc_normalised"
            ).reindex(columns=list(dict.fromkeys([own, name, *BASELINES])))
            paired = wide.dropna(subset=[own, name])
            missing = [one for one in (own, name) if wide[one].isna().all()]
            lacking = f"the games have no {' and no '.join(missing)}"
            reason = lacking if missing else "no step has games of both"
            text = f"{game} AUC ({played or 'none'}) from wholly changed, 0, to untouched, 1, "
            text += f"{own} minus {name}"
            found = {text: paired}
            if at_each_step:
                steps = paired.groupby(level="step")
                found |= {f"{text}, at step {step}": rows for step, rows in steps}
            for statistic, rows in found.items():
                references: References = {"without_objects": UNPLAYED}
                for reference, baseline in (("at_chance", "random"), ("with_centre", "centre")):
                    rival = f"the rival is the {baseline} map"
                    instead = over_prompts(rows[baseline] - rows[name]).mean()
                    references[reference] = rival if name == baseline else instead
                pairs = rows[own] - rows[name]
                family = "" if rows is paired else "single steps"
                yield Finding.of_samples(
                    claim, statistic, expected, pairs, reason, references, family
                )
