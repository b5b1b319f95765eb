"""RQ3: what denoisers that decide nothing show, and since when, read as the clocks read a model.

The Gaussian null samples from each sample's own noise, and so knows nothing of its prompt; a fixed
picture is there from the first step. Neither reads text, so that no prompt overrides anything.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from stepscope.diffusion.continuation import Branch, continued
from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.nulls import FixedPicture, GaussianNull
from stepscope.diffusion.step import Step
from stepscope.diffusion.walk import walked
from stepscope.models import pipelines
from stepscope.scores import commitment, decided
from stepscope.scores.commitment import Readings
from stepscope.scores.continuations import Families, Reading, reading_of
from stepscope.scores.emergence import emergence
from stepscope.store import tables
from stepscope.store.moments import read_moments
from stepscope.store.traces import open_trace, read_steps, replay_settings, seed_by_seed
from stepscope.table_columns import SAMPLE

KEY = [*SAMPLE, "reader", "family"]


def denoisers(
    denoiser: Denoiser,
    moments: tuple[np.ndarray, np.ndarray],
    tree: xr.DataTree,
    samples: Sequence[int],
) -> tuple[dict[str, Denoiser], list[Step]]:
    """Denoisers by name, and the first steps of the samples that they are run in."""
    stored = [read_steps(tree, sample) for sample in samples]
    pictures = {(steps[0].prompt_id, steps[0].seed): steps[-1].after for steps in stored}
    return {
        "gaussian_null": GaussianNull(denoiser, *moments),
        "fixed_picture": FixedPicture(denoiser, pictures),
    }, [steps[0] for steps in stored]


def null_table(
    denoiser: Denoiser,
    firsts: Sequence[Step],
    reading: Reading,
    *,
    every: int,
    draws: int,
    only_named: Collection[str],
    keys: Mapping[str, str],
) -> pd.DataFrame:
    """rq3_nulls of a denoiser, without its name: a row a sample, reader and concept family.

    It samples from the latents of `firsts`; its predictions and `draws` continuations from every
    `every`th of its states are read as those of a model are.
    """
    sampled = list(walked(denoiser, firsts))
    trajectories = [*zip(*(step.steps for step in sampled), strict=True)]
    clean = torch.stack([step.clean for step in sampled], 1)  # (sample, step, C, h, w)
    seen = _by_sample(reading(clean.flatten(0, 1)), len(firsts))
    prompts = {step.prompt_id: step.prompt for step in firsts}
    on_top = _on_top(seen, trajectories, reading.concepts, keys)
    shown = emergence(on_top, prompts, reading.concepts)
    shown = shown[shown["prediction"] == "e_u"]
    starts = commitment.starts_of(len(sampled), every)
    branches = [
        Branch(steps, start, steps[0].conditioning, draw=draw)
        for steps in trajectories
        for start in starts
        for draw in range(draws)
    ]
    drawn = _by_sample(reading(continued(denoiser, branches)), len(firsts))
    levels = np.array([trajectories[0][start - 1].log_snr for start in starts])
    since = pd.DataFrame(_since(drawn, seen, firsts, reading.concepts, levels, only_named))
    since = since.assign(**keys)[[*KEY, "lower", "upper"]]
    return with_named(shown.merge(since, on=KEY), prompts, reading.concepts)


def _by_sample(found: Mapping[str, Readings], samples: int) -> dict[str, Readings]:
    """Probabilities (sample, n, concept) by reader and family, of those (sample * n, concept)."""
    return {
        reader: {
            family: values.reshape(samples, -1, values.shape[-1])
            for family, values in of_reader.items()
        }
        for reader, of_reader in found.items()
    }


def _on_top(
    seen: Mapping[str, Readings],
    trajectories: Sequence[Sequence[Step]],
    concepts: Mapping[str, Sequence[str]],
    keys: Mapping[str, str],
) -> pd.DataFrame:
    """rq3_concepts of the concepts on top; one prediction stands for e_u and for guided."""
    axes = pd.DataFrame(
        {
            name: [getattr(step, of) for steps in trajectories for step in steps]
            for name, of in (
                *((name, name) for name in ("prompt_id", "seed", "timestep", "log_snr")),
                ("step", "number"),
            )
        }
    ).assign(probability=1.0, **keys)
    frames = [
        axes.assign(
            concept=np.array(concepts[family])[values.argmax(-1).ravel()],
            family=family,
            reader=reader,
            prediction=prediction,
        )
        for reader, of_reader in seen.items()
        for family, values in of_reader.items()
        for prediction in ("e_u", "guided")
    ]
    return pd.concat(frames, ignore_index=True)


def _since(
    drawn: Mapping[str, Readings],
    seen: Mapping[str, Readings],
    firsts: Sequence[Step],
    concepts: Mapping[str, Sequence[str]],
    log_snr: np.ndarray,
    only_named: Collection[str],
) -> Iterator[dict[str, Any]]:
    """Of each sample, reader and family, between which log-SNR its last picture is decided."""
    prompts, every = [step.prompt for step in firsts], range(len(firsts))
    for opening in decided.openings(prompts, every, concepts, [decided.EMPTY], only_named):
        found, last = (
            {
                reader: {family: values[opening.sample] for family, values in of_reader.items()}
                for reader, of_reader in readings.items()
            }
            for readings in (drawn, _last(seen))
        )
        first = firsts[opening.sample]
        for row in decided.rows_of(opening, found, last, concepts, log_snr):
            if row["start"] == 0:  # the interval is that of all starts
                yield row | {"prompt_id": first.prompt_id, "seed": first.seed}


def _last(seen: Mapping[str, Readings]) -> dict[str, Readings]:
    """What is read of the last prediction of each sample, which is its picture."""
    return {
        reader: {family: values[:, -1] for family, values in of_reader.items()}
        for reader, of_reader in seen.items()
    }


def with_named(
    rows: pd.DataFrame, prompts: Mapping[str, str], concepts: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Rows with `named`, whether the picture's concept is one that the prompt names, 1 or 0.

    And with `beyond_chance`, what this is above the share of other prompts' pictures that show one;
    NaN where the prompt names none.
    """
    columns: dict[str, list[float]] = {"named": [], "beyond_chance": []}
    of_reader = dict(iter(rows.groupby(["reader", "family"])))
    about = (rows[name].astype(str) for name in ("prompt_id", "reader", "family", "concept"))
    for prompt_id, reader, family, concept in zip(*about, strict=True):
        names = commitment.named_in_order(prompts[prompt_id], concepts[family])
        every = of_reader[reader, family]
        others = every.loc[every["prompt_id"] != prompt_id, "concept"]
        is_named = float(concept in names) if names else np.nan
        columns["named"].append(is_named)
        columns["beyond_chance"].append(is_named - float(others.isin(names).mean()))
    return rows.assign(**columns)


def write_nulls(
    path: str,
    *,
    traces: str,
    moments: str,
    model: dict[str, Any],
    clip: dict[str, Any],
    readers: Mapping[str, Mapping[str, Any]],
    side: int,
    families: Families,
    settings: Mapping[str, Any],
    samples: int | None,
    keys: dict[str, str],
) -> None:
    """Write a batch's part of rq3_nulls; `settings` is the config's entry of commitment."""
    tree = open_trace(traces)
    families = {name: families[name] for name in settings["families"] or families}
    denoiser = Denoiser(pipelines.load(model), **replay_settings(tree))
    reading = reading_of(denoiser, clip, readers, families, side)
    chosen = seed_by_seed(tree)[:samples]
    of_name, firsts = denoisers(denoiser, read_moments(moments), tree, chosen)
    found = [
        null_table(
            one,
            firsts,
            reading,
            every=settings["every"],
            draws=settings["decided"]["draws"],
            only_named=[name for name, entry in families.items() if entry["only_named"]],
            keys=keys,
        ).assign(denoiser=name)
        for name, one in of_name.items()
    ]
    tables.write(path, tables.ordered(pd.concat(found), "rq3_nulls"))
