"""What the tables say about RQ3: concepts by stage, and roles by sampling."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from stepscope.scores import word_relevance
from stepscope.statistics.finding import Finding, References, noises_of

SEMANTIC, DETAIL = ("object", "relation"), "texture"  # concept families by stage, by the paper
KINDS = ["uniform", "early", "latter"]  # of samplings
CHANGED = (  # measure, part, column of rq3_samplings, sign of early minus latter, in words
    ("layout", "objects", "change", 1, "change of layout against uniform"),
    ("concept", "object", "change", 1, "change of the object against uniform"),
    ("concept", "colour", "change", -1, "change of the background's colour against uniform"),
    ("concept", "texture", "change", -1, "change of texture against uniform"),
    ("detail", "high", "value", -1, "logarithm of high-frequency energy"),
    ("distance", "low", "value", -1, "distance of low frequencies to many steps"),
    ("distance", "high", "value", 1, "distance of high frequencies to many steps"),
)
# What is at most so much of the relevance of a step is no change: a fifth of a word's share in a
# prompt of ten.
EQUIVALENT = 0.02
Curve = tuple[np.ndarray, np.ndarray]  # log-SNR of steps, and values
LACKING: References = {"without_objects": "the Gaussian null has no words and no concepts"}
LACKING |= dict.fromkeys(("at_chance", "with_centre"), "measured without a map")


def stages(measured: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    """R3a: how much later detail appears than semantics in what the latent itself holds."""
    frame = measured["rq3_clocks"]
    frame = frame[frame["clock"] == "visible"]
    for reader in sorted(frame["reader"].unique()) or ["clip"]:
        of_reader = frame[frame["reader"] == reader]
        onsets = of_reader.pivot_table(
            index=["prompt_id", "seed"], columns="family", values="within_steps"
        ).reindex(columns=[*SEMANTIC, DETAIL])
        for family in SEMANTIC:
            text = f"onset log-SNR in x0(e_u) as {reader} reads it, {DETAIL} minus {family}"
            reason = f"needs the families {family} and {DETAIL}"
            later = (onsets[DETAIL] - onsets[family]).dropna()
            yield Finding.of_samples("R3a", text, 1, later, reason, LACKING)


def changes(measured: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    """R3a: what dense sampling of a stage changes against the uniform one, from the same noise.

    `rq3_samplings` has the column `kind` of the sampling. Each row says whether the samplings end
    where they do as published, or where the uniform one does.
    """
    frame = measured["rq3_samplings"]
    reason = "needs uniform, early and latter samplings of generated pictures"
    for ends in ("published", "matched"):
        of_ends = frame[frame["ends"] == ends]
        for measure, part, column, expected, words in CHANGED:
            rows = of_ends[(of_ends["measure"] == measure) & (of_ends["part"] == part)]
            readers = sorted(rows["reader"].unique()) or [""]
            for reader in readers:
                by_kind = (
                    rows[rows["reader"] == reader]
                    .pivot_table(index=["prompt_id", "seed"], columns="kind", values=column)
                    .reindex(columns=KINDS)
                )
                by = f" as {reader} reads it" if reader else ""
                text = f"{words}{by}, early minus latter, ends {ends}"
                lag = (by_kind["early"] - by_kind["latter"]).dropna()
                yield Finding.of_samples("R3a", text, expected, lag, reason, LACKING)


def roles(measured: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    """R3b: shares of relevance by role under early and latter sampling minus uniform.

    `rq2_relevance` has the column `kind` of the sampling. Samplings end at different noise
    levels, so the true change is that over the log-SNR that all of them cover. Reweighting is what
    the mean over steps would change if a role's curve stayed that of the uniform sampling.
    """
    frame = measured["rq2_relevance"]
    frame = frame[frame["kind"].isin(KINDS)]
    reason = (
        "needs relevance under uniform, early and latter samplings, with a subject and an object"
    )
    ends = frame.groupby("kind")["log_snr"].agg(["min", "max"])
    low, high = ends["min"].max(), ends["max"].min()
    curves: dict[tuple, Curve] = {}
    for kind, rows in frame.groupby("kind"):
        shares = word_relevance.summed(rows)
        by_step = shares.groupby(level=["role", "prompt_id", "seed", "log_snr"]).mean().unstack()
        log_snr = by_step.columns.to_numpy()
        for key, values in zip(by_step.index, by_step.to_numpy(), strict=True):
            known = np.isfinite(values)
            curves[(kind, *key)] = log_snr[known], values[known]
    means = _wide(
        {key: word_relevance.averaged(*curve, low, high) for key, curve in curves.items()}
    )
    reweighted = _wide(
        {
            (kind, *key): _read(curves.get(("uniform", *key)), curve)
            for (kind, *key), curve in curves.items()
        }
    )
    early = means["early"] - means["uniform"]
    moved = reweighted["early"] - reweighted["uniform"]
    over = f"over log-SNR {low:.1f} to {high:.1f}" if len(ends) == len(KINDS) else "over log-SNR"
    for role, expected in (("subject", -1), ("object", 1)):
        for change, text in (
            (early, f"{role}'s share of relevance {over}, early minus uniform"),
            (
                moved,
                f"{role}'s share of relevance, uniform's curve at early's steps minus at its own",
            ),
        ):
            of_role = change[change.index.get_level_values("role") == role].dropna()
            noises = noises_of(frame, of_role.index.get_level_values("prompt_id"))
            yield Finding(
                "R3b",
                text,
                expected,
                of_role.to_numpy(),
                reason=reason,
                noises=noises,
                references=LACKING,
            )
    late = means["latter"] - means["uniform"]
    for role in ("subject", "object"):
        of_role = late[late.index.get_level_values("role") == role].dropna()
        noises = noises_of(frame, of_role.index.get_level_values("prompt_id"))
        yield Finding(
            "R3b",
            f"{role}'s share of relevance {over}, latter minus uniform, within {EQUIVALENT}",
            values=of_role.to_numpy(),
            reason=reason,
            noises=noises,
            references=LACKING,
            margin=EQUIVALENT,
        )
    apart = (means["early"] - means["latter"]).unstack("role")
    apart = apart.reindex(columns=["subject", "object"])
    wider = (apart["object"] - apart["subject"]).dropna()
    text = f"object's minus subject's share of relevance {over}, early minus latter"
    noises = noises_of(frame, wider.index)
    yield Finding(
        "R3b", text, 1, wider.to_numpy(), reason=reason, noises=noises, references=LACKING
    )


def _wide(numbers: Mapping[tuple, float]) -> pd.DataFrame:
    """One number a (kind, role, prompt_id, seed) as (role, prompt_id) by kind, seeds averaged."""
    index = pd.MultiIndex.from_tuples(numbers, names=["kind", "role", "prompt_id", "seed"])
    by_prompt = pd.Series(list(numbers.values()), index, float).groupby(
        level=["kind", "role", "prompt_id"]
    )
    return by_prompt.mean().unstack("kind").reindex(columns=KINDS)


def _read(curve: Curve | None, other: Curve) -> float:
    """Mean of a curve over log-SNR, read at the steps of another."""
    return np.nan if curve is None else float(np.interp(other[0], *curve).mean())
