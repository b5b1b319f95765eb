"""What the tables say about RQ2: words, and the regions that DF-CAM lights."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from stepscope.statistics import inference
from stepscope.statistics.finding import Finding
from stepscope.store import tables


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
    blocks = [inference.correlations(a.to_numpy(), b.to_numpy()) for a, b in pairs.values()]
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
                inference.correlations(
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


def df_cam_follows_relevance(
    found: dict[str, pd.DataFrame], draws: int, seed: int
) -> Iterator[Finding]:
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
            blocks.setdefault(prompt, []).append(inference.correlations(*pair))
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
    effects, p_value = inference.matching(blocks, weights, draws, seed)
    values = np.concatenate(effects) if by_curve else np.array([each.mean() for each in effects])
    return Finding(claim, text, 1, values, p_value, reason)
