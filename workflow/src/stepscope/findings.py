"""What the tables say about each of the claims: one number a prompt and the sign to expect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stepscope import relevance, statistics, tables

SEMANTIC, DETAIL = ("object", "relation"), "texture"  # concept families by stage, by the paper
KINDS = ["uniform", "early", "latter"]  # of samplings
BETTER = {"deletion": 1, "insertion": -1}  # sign of a better explanation's difference in distance


@dataclass(frozen=True)
class Finding:
    """One number a prompt that a claim predicts the sign of, or the reason why there is none."""

    claim: str
    statistic: str
    expected: int = 1  # the sign that supports the claim
    values: np.ndarray | None = None  # (prompt,)
    p_value: float | None = None  # of a null of its own; otherwise pairs are exchanged
    reason: str = ""


def slope(frame: pd.DataFrame, value: str) -> pd.Series:
    """Least-squares slope of a value over log-SNR within each sample, averaged over seeds."""
    frame = frame.dropna(subset=[value])
    keys = [frame["prompt_id"], frame["seed"]]
    x, y = (
        frame[name] - frame.groupby(keys)[name].transform("mean") for name in ("log_snr", value)
    )
    spread = (x * x).groupby(keys).sum()
    slopes = (x * y).groupby(keys).sum() / spread.where(spread > 0)
    return slopes.groupby("prompt_id").mean().dropna()


def centre(frame: pd.DataFrame) -> pd.Series:
    """Mean log-SNR of recovery by (prompt_id, seed): log-SNR weighted by max(recovered, 0)."""
    weight = frame["recovered"].clip(lower=0)
    keys = [frame["prompt_id"], frame["seed"]]
    total = weight.groupby(keys).sum()
    return (weight * frame["log_snr"]).groupby(keys).sum() / total.where(total > 0)


def regions_and_detail(found: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """R1a: slopes of DF-RISE's scores over log-SNR, and the order of recovery in the trace."""
    maps = found["rq1_saliency"]
    maps = maps[maps["method"] == "df_rise"]
    for value, name, expected in (
        ("semantic_mass", "mass inside objects", -1),
        ("detail_correlation", "correlation with the final picture's edges", 1),
    ):
        slopes = slope(maps, value).to_numpy()
        text = f"slope over log-SNR of DF-RISE's {name}"
        yield Finding("R1a", text, expected, slopes, reason="no DF-RISE maps at two steps or more")
    trace = found["rq1_recovery"]
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
        values = (centre(later) - centre(earlier)).groupby("prompt_id").mean().dropna()
        yield Finding("R1a", text, 1, values.to_numpy(), reason="no region was recovered")


def areas(found: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """R1b and R1c: DF-RISE's AUC minus a rival's, paired by prompt over the same steps."""
    frame = found["rq1_auc"]
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
            pairs = (wide["df_rise"] - wide[name]).groupby("prompt_id").mean().dropna()
            text = f"{game} {value}, df_rise minus {name}"
            expected = sign if value == "auc_distance" else -sign
            reason = f"the games have no {name}" if name == "lime" else f"no games of {name}"
            yield Finding(claim, text, expected, pairs.to_numpy(), reason=reason)


def curves(frame: pd.DataFrame, value: str) -> dict[tuple[str, int], pd.DataFrame]:
    """Curves (word_index by step) of each (prompt_id, seed).

    Words without any value are left out, then steps at which a word has none.
    """
    wide = frame.pivot_table(
        index=["prompt_id", "seed", "word_index"], columns="step", values=value
    )
    return {
        key: rows.droplevel([0, 1]).dropna(how="all").dropna(axis="columns")
        for key, rows in wide.groupby(level=[0, 1])
    }


def words(found: dict[str, pd.DataFrame], draws: int, seed: int) -> Iterator[Finding]:
    """R2a: the course of a word's share against that under another seed, its own and others'."""
    frame = found["rq2_relevance"]
    frame = frame[frame["method"] == "relevance"]
    frame = frame.assign(share=tables.share(frame))
    frame = frame[frame["role"] != ""]
    roles = frame.drop_duplicates(["prompt_id", "word_index"]).set_index(
        ["prompt_id", "word_index"]
    )
    halves: dict[str, list[pd.DataFrame]] = {}
    for (prompt, _), rows in curves(frame, "share").items():
        halves.setdefault(prompt, []).append(rows)
    pairs = {}
    for prompt, (first, *rest) in halves.items():
        if rest:
            both = first.align(pd.concat(rest).groupby(level=0).mean(), join="inner")
            complete = both[0].notna().all() & both[1].notna().all()
            if min(both[0].loc[:, complete].shape) > 1:
                pairs[prompt] = tuple(half.loc[:, complete] for half in both)
    reason = "needs two seeds a prompt and two words with roles"
    blocks = [statistics.correlations(a.to_numpy(), b.to_numpy()) for a, b in pairs.values()]
    text = "correlation of a word's share with its own under another seed minus with other words'"
    yield _matched("R2a", text, blocks, [1] * len(blocks), draws, seed, reason)
    groups: dict[tuple, list] = {}
    for prompt, (first, second) in pairs.items():
        of_words = roles.loc[[(prompt, word) for word in first.index], "role"].tolist()
        order = np.argsort(of_words, kind="stable")
        groups.setdefault((tuple(sorted(of_words)), tuple(first.columns)), []).append(
            (first.to_numpy()[order], second.to_numpy()[order])
        )
    blocks = [
        np.mean(
            [
                statistics.correlations(
                    *(np.stack([half[i][word] for half in group]) for i in (0, 1))
                )
                for word in range(len(key[0]))
            ],
            axis=0,
        )
        for key, group in groups.items()
        if len(group) > 1
    ]
    text = "correlation of a word's share with its own under another seed minus with other prompts'"
    reason = "needs two seeds a prompt and two prompts of the same roles"
    yield _matched("R2a", text, blocks, list(map(len, blocks)), draws, seed, reason, by_curve=True)


def lit(found: dict[str, pd.DataFrame], draws: int, seed: int) -> Iterator[Finding]:
    """R2b: the mass of a word's DF-CAM in its region against the word's share, over steps."""
    weights, regions = found["rq2_relevance"], found["rq2_grounding"]
    weights = weights[weights["method"] == "relevance"]
    shares = curves(weights.assign(share=tables.share(weights)), "share")
    regions = regions[(regions["method"] == "df_cam_word") & (regions["role"] != "")]
    blocks: dict[str, list[np.ndarray]] = {}
    for (prompt, number), mass in curves(regions, "mass").items():
        share = shares.get((prompt, number), pd.DataFrame())
        steps = mass.columns.intersection(share.columns)
        both = mass.index.intersection(share.index)
        if len(both) > 1 and len(steps) > 2:
            pair = (each.loc[both, steps].to_numpy() for each in (mass, share))
            blocks.setdefault(prompt, []).append(statistics.correlations(*pair))
    means = [np.mean(each, axis=0) for each in blocks.values() if len({len(b) for b in each}) == 1]
    text = (
        "correlation over steps of the mass of a word's DF-CAM in its region with the word's share "
        "of relevance minus with other words'"
    )
    reason = "needs df_cam_word and relevance at three steps or more, and two words with regions"
    yield _matched("R2b", text, means, [1] * len(means), draws, seed, reason)


def _matched(
    claim: str,
    text: str,
    blocks: list[np.ndarray],
    weights: list[int],
    draws: int,
    seed: int,
    reason: str,
    by_curve: bool = False,
) -> Finding:
    """Make a finding from blocks of correlations; one value a block, or one a curve."""
    if not blocks:
        return Finding(claim, text, reason=reason)
    effects, p_value = statistics.matching(blocks, weights, draws, seed)
    values = np.concatenate(effects) if by_curve else np.array([each.mean() for each in effects])
    return Finding(claim, text, 1, values, p_value, reason)


def stages(found: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """R3a: how much later detail appears than semantics in what the latent itself holds."""
    frame = found["rq3_emergence"]
    frame = frame[frame["prediction"] == "e_u"]
    means = frame.pivot_table(index="prompt_id", columns="family", values="onset_log_snr").reindex(
        columns=[*SEMANTIC, DETAIL]
    )
    for family in SEMANTIC:
        values = (means[DETAIL] - means[family]).dropna().to_numpy()
        text = f"onset log-SNR in x0(e_u) as CLIP reads it, {DETAIL} minus {family}"
        yield Finding("R3a", text, 1, values, reason=f"needs the families {family} and {DETAIL}")
    yield Finding(
        "R3a",
        "change of semantics under early and of detail under latter sampling",
        reason="the samplings end at different noise levels: needs matched end points and "
        "distances to a reference of many steps from the same noise",
    )


def roles(found: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """R3b: shares of relevance by role under early and latter sampling minus uniform.

    ``rq2_relevance`` has the column ``kind`` of the sampling. Samplings end at different noise
    levels, so the true change is that over the log-SNR that all of them cover. Reweighting is what
    the mean over steps would change if a role's curve stayed that of the uniform sampling.
    """
    frame = found["rq2_relevance"]
    frame = frame[frame["kind"].isin(KINDS)]
    reason = "needs uniform, early and latter samplings of prompts with a subject and an object"
    ends = frame.groupby("kind")["log_snr"].agg(["min", "max"])
    low, high = ends["min"].max(), ends["max"].min()
    true, steps = {}, {}
    for kind, rows in frame.groupby("kind"):
        for key, curve in relevance.role_curves(rows).groupby(level=["role", "prompt_id", "seed"]):
            true[(kind, *key)] = relevance.averaged(curve, low, high)
            steps[(kind, *key)] = curve
    true, reweighted = (
        _wide(true),
        _wide(
            {
                (kind, *key): _read(steps.get(("uniform", *key)), curve)
                for (kind, *key), curve in steps.items()
            }
        ),
    )
    early = true["early"] - true["uniform"]
    moved = reweighted["early"] - reweighted["uniform"]
    over = f"over log-SNR {low:.1f} to {high:.1f}" if len(ends) == len(KINDS) else "over log-SNR"
    for role, expected in (("subject", -1), ("object", 1)):
        for values, text in (
            (early, f"{role}'s share of relevance {over}, early minus uniform"),
            (
                moved,
                f"{role}'s share of relevance, uniform's curve at early's steps minus at its own",
            ),
        ):
            of_role = values[values.index.get_level_values("role") == role].dropna()
            yield Finding("R3b", text, expected, of_role.to_numpy(), reason=reason)
    apart = (true["early"] - true["latter"]).unstack("role").reindex(columns=["subject", "object"])
    values = (apart["object"] - apart["subject"]).dropna().to_numpy()
    text = f"object's minus subject's share of relevance {over}, early minus latter"
    yield Finding("R3b", text, 1, values, reason=reason)


def _wide(values: dict[tuple, float]) -> pd.DataFrame:
    """One number a (kind, role, prompt_id, seed) as (role, prompt_id) by kind, seeds averaged."""
    index = pd.MultiIndex.from_tuples(values, names=["kind", "role", "prompt_id", "seed"])
    by_prompt = pd.Series(list(values.values()), index, float).groupby(
        level=["kind", "role", "prompt_id"]
    )
    return by_prompt.mean().unstack("kind").reindex(columns=KINDS)


def _read(curve: pd.Series | None, where: pd.Series) -> float:
    """Mean of a curve over log-SNR, read at the steps of another."""
    if curve is None:
        return np.nan
    at, known = (each.index.get_level_values("log_snr").to_numpy() for each in (where, curve))
    return float(np.interp(at, known, curve.to_numpy()).mean())
