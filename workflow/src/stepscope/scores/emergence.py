"""Since when each clean prediction shows the final concept: rq3_emergence from rq3_concepts."""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from stepscope.language import parts
from stepscope.table_columns import SAMPLE
from stepscope.table_registry import TABLES

SEVERAL = "|"  # between concepts of one cell
WHEN = ("step", "timestep", "log_snr")


def onset(same: np.ndarray) -> np.ndarray:
    """First index (...) from which `same` (..., step) bool stays true, NaN if never."""
    stays = np.logical_and.accumulate(same[..., ::-1], axis=-1)[..., ::-1]
    return np.where(stays[..., -1], stays.argmax(-1), np.nan)


def named(prompts: Sequence[str], concepts: Sequence[str]) -> np.ndarray:
    """Whether each prompt contains each of the concepts as words, (prompt, concept) bool.

    Compounds count by their parts, on both sides: "polka-dot" names "polka dot", "dog's" a dog.
    """
    texts, wanted = (
        [f" {' '.join(parts(text))} " for text in each] for each in (prompts, concepts)
    )
    return np.array([[bool(name.strip()) and name in text for name in wanted] for text in texts])


def true_concepts(prompt: str, final: str, shown: Sequence[str]) -> set[str]:
    """The final concept, and where the prompt names it, what else it names of what is shown."""
    if not named([prompt], [final]).all():
        return {final}
    (is_named,) = named([prompt], shown)
    return {final, *compress(shown, is_named)}


def emergence(
    frame: pd.DataFrame, prompts: Mapping[str, str], concept_families: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """rq3_emergence from rq3_concepts: since which step each prediction shows the final concept.

    The final concept of a sample, concept family and reader is the one on top in the guided
    prediction of the last step, which is the final picture. Onset is the first step from which it
    stays on top, NaN if the prediction shows another concept at its last step. Where the prompt, of
    `prompts` by prompt_id, names it beside others of the family, as two objects of a scene, any of
    them counts: all are true of the picture, and which one is on top decides nothing.

    `counted` names all that do, and `shown` has a digit a step, 1 where one of them is on top;
    `chance` is how often the other samples' x0(e_u) of the first step shows one, which is what a
    picture shows by its noise alone (one more picture being shared among all of the family, of
    `concept_families` by name).
    """
    keys = [*SAMPLE, "family", "reader"]
    top = frame.loc[frame.groupby([*keys, "prediction", "step"])["probability"].idxmax()]
    top = top.sort_values("step")
    last = top[top["prediction"] == "guided"].groupby(keys)["concept"].last()
    undecided = top[(top["prediction"] == "e_u") & (top["step"] == top["step"].min())]
    at_first = undecided.groupby(["family", "reader", "concept"]).size().to_dict()
    alone = undecided.set_index(keys)["concept"].to_dict()
    count = undecided.groupby(["family", "reader"]).size().to_dict()
    rows = []
    for values, group in top.groupby([*keys, "prediction"]):
        key: dict[str, Any] = dict(zip([*keys, "prediction"], values, strict=True))
        sample = tuple(key[name] for name in keys)
        family = concept_families[key["family"]]
        true = true_concepts(prompts[key["prompt_id"]], last[sample], family)
        right = group["concept"].isin(true).to_numpy()
        first = onset(right)
        times = [np.nan] * len(WHEN)
        if np.isfinite(first):
            times = group[[*WHEN]].iloc[int(first)].tolist()
        onsets = {f"onset_{name}": time for name, time in zip(WHEN, times, strict=True)}
        digits = "".join(map(str, right.astype(int)))
        seen = sum(at_first.get((key["family"], key["reader"], name), 0) for name in true)
        own = alone.get(sample)  # none without guidance
        others = count.get((key["family"], key["reader"]), 0) - (own is not None)
        chance = (seen - (own in true) + len(true) / len(family)) / (others + 1)
        rows.append(
            key
            | {"concept": last[sample], "counted": SEVERAL.join(sorted(true))}
            | onsets
            | {"shown": digits, "chance": chance}
        )
    return pd.DataFrame(rows, columns=TABLES["rq3_emergence"].columns)
