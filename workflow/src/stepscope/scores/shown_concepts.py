"""Which concept final pictures and clean predictions show, by the CLIP's table and by readers.

Of clean predictions those of the empty prompt count, which is what the latent itself holds, and
without guidance, where there is none, those of the prompt.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stepscope.scores import readers
from stepscope.scores.emergence import named
from stepscope.store import tables
from stepscope.store.maps import open_previews, prediction_pictures

UNREAD = -1
WHO = ["prompt_id", "seed"]
COLUMNS = [*WHO, "step", "reader", "prediction", "family", "concept", "probability"]
Families = Mapping[str, Mapping[str, Any]]


class Samples(NamedTuple):
    """Samples of all batches, and whether the prompt of each names a concept of each family."""

    prompts: np.ndarray  # (sample,) of prompt_id
    seeds: np.ndarray  # (sample,) int
    named: dict[str, np.ndarray]  # (sample,) bool by family


class Shown(NamedTuple):
    """Numbers of the concepts on top in a family; `UNREAD` where a picture was not read."""

    final: np.ndarray  # (sample,) int, in the guided prediction of the last step: the picture
    early: np.ndarray  # (step, sample) int, in the clean prediction


def samples_of(who: Sequence[tuple[str, str, int]], families: Families) -> Samples:
    """Samples, of which prompt, prompt_id and seed are given, with what their prompts name."""
    prompts, ids, seeds = zip(*who, strict=True)
    names = {
        family: np.asarray(named(prompts, entry["concepts"]).any(1))
        for family, entry in families.items()
    }
    return Samples(np.array(ids), np.array(seeds), names)


def by_table(
    paths: Sequence[str], samples: Samples, steps: Sequence[int], families: Families
) -> dict[str, Shown]:
    """What the CLIP sees, by family, from the parts of rq3_concepts of all batches."""
    frame = pd.concat([tables.read(path, COLUMNS) for path in paths], ignore_index=True)
    frame = frame[frame["reader"] == readers.CLIP]
    last = frame["step"].max()
    frame = frame[frame["step"].isin([*steps, last])]
    keys = [*WHO, "step", "prediction", "family"]
    top = frame.sort_values("probability", ascending=False, kind="stable").drop_duplicates(keys)
    who = pd.MultiIndex.from_arrays([samples.prompts, samples.seeds], names=WHO)
    found = {}
    for name, rows in top.groupby("family", sort=False):
        family = str(name)
        concepts = families[family]["concepts"]
        numbers = rows.assign(number=rows["concept"].map(concepts.index))
        wide = numbers.pivot(index=WHO, columns=["prediction", "step"], values="number")
        wide = wide.reindex(who).fillna(UNREAD).astype(int)
        found[family] = Shown(
            wide["guided", last].to_numpy(),
            wide[_early(wide.columns.get_level_values(0))][list(steps)].to_numpy().T,
        )
    return found


def by_reader(
    entry: Mapping[str, Any],
    paths: Sequence[str],
    chosen: Sequence[Sequence[int]],
    samples: Samples,
    steps: Sequence[int],
    families: Families,
) -> dict[str, Shown]:
    """What the reader of an entry sees, by family, in the previews of all batches.

    `chosen` are indices of samples, of each batch.
    """
    concepts = {family: about["concepts"] for family, about in families.items()}
    batches = []
    for path, own in zip(paths, chosen, strict=True):
        pictures = prediction_pictures(open_previews(path)).isel(sample=list(own))
        final = pictures.isel(step=-1).sel(prediction="guided").to_numpy()
        early = pictures.sel(
            step=list(steps), prediction=_early(pictures["prediction"].to_numpy())
        ).to_numpy()
        read = readers.read(
            np.concatenate([final, early.reshape(-1, *early.shape[2:])]), entry, concepts
        )
        batches.append(
            {
                family: (top[: len(own)], top[len(own) :].reshape(early.shape[:2]))
                for family, values in read.items()
                for top in [values.argmax(1)]
            }
        )
    found = {}
    for family in batches[0]:
        final = np.concatenate([of_batch[family][0] for of_batch in batches])
        early = np.concatenate([of_batch[family][1] for of_batch in batches])
        if families[family]["only_named"]:
            final = np.where(samples.named[family], final, UNREAD)
        found[family] = Shown(final, early.T)
    return found


def _early(predictions: Collection[str]) -> str:
    """The clean prediction that counts, of those that there are."""
    return "e_u" if "e_u" in predictions else "e_c"
