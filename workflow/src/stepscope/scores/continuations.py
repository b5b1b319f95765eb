"""The job of RQ3's continuations: what is overridable, and what is decided, at stored states."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from stepscope.diffusion.continuation import Branch, calls, continued
from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.schedule import Latents
from stepscope.diffusion.step import Step
from stepscope.models import judges, pipelines, rewording
from stepscope.pictures.decode import pictures_of
from stepscope.scores import commitment, concepts, decided, readers
from stepscope.scores.commitment import Readings, Swap
from stepscope.scores.decided import Opening
from stepscope.store import tables
from stepscope.store.traces import (
    open_trace,
    prompt_ids_of,
    prompts_of,
    read_steps,
    replay_settings,
    seed_by_seed,
    seeds_of,
    times_of,
)
from stepscope.table_registry import TABLES

AT_ONCE = 32  # changed prompts of one sweep, which bounds memory
Families = Mapping[str, Mapping[str, Any]]
Change = TypeVar("Change", Swap, Opening)  # a sample with another prompt


class Reading:
    """Pictures of latents, read by the probe's CLIP and by readers that learn nothing."""

    def __init__(
        self,
        denoiser: Denoiser,
        clip: concepts.Reader,
        others: Mapping[str, Mapping[str, Any]],
        families: Families,
        side: int,
    ) -> None:
        """`others` are entries of readers by name, `side` is that of the pictures."""
        self.denoiser, self.clip, self.side = denoiser, clip, side
        self.others, self.families = others, families
        self.concepts = {name: list(entry["concepts"]) for name, entry in families.items()}
        model, _, tokenizer = clip
        self.texts = {
            name: concepts.classifier(model, tokenizer, entry["templates"], entry["concepts"])
            for name, entry in families.items()
        }

    def __call__(self, latents: Latents) -> dict[str, Readings]:
        """Probability (B, concept) by reader and concept family, of latents (B, C, h, w)."""
        pictures = pictures_of(self.denoiser, latents, self.side)
        model, preprocess, _ = self.clip
        seen = concepts.features(model, preprocess, pictures)
        scale = model.logit_scale.detach().exp().item()
        found: dict[str, Readings] = {
            readers.CLIP: {
                family: concepts.scored(seen @ texts.cpu().numpy().T, scale)[0]
                for family, texts in self.texts.items()
            }
        }
        for name, entry in self.others.items():
            found[name] = readers.read(pictures, entry, self.concepts)
        return found


def reading_of(
    denoiser: Denoiser,
    clip: Mapping[str, Any],
    readers: Mapping[str, Mapping[str, Any]],
    families: Families,
    side: int,
) -> Reading:
    """The reading of a study, with its CLIP loaded; `clip` and `readers` are the config's."""
    loaded = judges.load_clip({key: value for key, value in clip.items() if key != "fingerprint"})
    return Reading(denoiser, loaded, readers, families, side)


def write_continuations(
    commitment_path: str,
    decided_path: str,
    *,
    traces: str,
    model: dict[str, Any],
    clip: dict[str, Any],
    readers: Mapping[str, Mapping[str, Any]],
    side: int,
    families: Families,
    settings: Mapping[str, Any],
    seed: int,
    keys: dict[str, str],
) -> None:
    """Write a batch's parts of rq3_commitment and rq3_decided; `settings` is the config's entry."""
    tree = open_trace(traces)
    families = {name: families[name] for name in settings["families"] or families}
    denoiser = Denoiser(pipelines.load(model), **replay_settings(tree))
    reading = reading_of(denoiser, clip, readers, families, side)
    batch = Batch(tree, denoiser, reading, settings["every"])
    swaps = commitment.swaps(
        prompts_of(tree),
        list(prompt_ids_of(tree)),
        batch.order,
        reading.concepts,
        settings["samples"],
        seed,
    )
    openings = decided.openings(
        prompts_of(tree),
        batch.order[: settings["decided"]["samples"]],
        reading.concepts,
        settings["decided"]["prompts"],
        [name for name, entry in families.items() if entry["only_named"]],
    )
    for path, table, rows in (
        (commitment_path, "rq3_commitment", batch.switched(swaps)),
        (decided_path, "rq3_decided", batch.drawn(openings, settings["decided"]["draws"])),
    ):
        frame = pd.DataFrame(rows, columns=[*TABLES[table].columns]).assign(**keys)
        tables.write(path, tables.ordered(frame, table))


class Batch:
    """The samples of a trace, and the rows of tables that their continuations make."""

    def __init__(self, tree: xr.DataTree, denoiser: Denoiser, reading: Reading, every: int) -> None:
        """Continuations start at the first step and at each `every` back from the last."""
        self.tree, self.denoiser, self.reading = tree, denoiser, reading
        self.order = seed_by_seed(tree)
        self.starts = commitment.starts_of(denoiser.step_count, every)
        self.times = times_of(tree)
        self.who = {"prompt_id": prompt_ids_of(tree), "seed": seeds_of(tree)}
        self.log_snr = self.times["log_snr"][np.array(self.starts) - 1]

    def switched(self, swaps: Sequence[Swap]) -> Iterator[dict[str, Any]]:
        """Rows of rq3_commitment."""

        def branches_of(
            _: Swap, steps: Sequence[Step], conditioning: dict[str, Tensor], first: int
        ) -> list[Branch]:
            return commitment.branches_of(steps, conditioning, self.starts, first)

        for swap, found, stored in self._continued(self.denoiser, swaps, branches_of):
            concepts_of = self.reading.concepts[swap.family]
            for row in commitment.rows_of(swap, found, stored, concepts_of, self.log_snr):
                yield self._who_and_when(swap.sample, row)

    def drawn(self, openings: Sequence[Opening], draws: int) -> Iterator[dict[str, Any]]:
        """Rows of rq3_decided, of `draws` continuations of each state under each open prompt."""
        settings = replay_settings(self.tree)
        unguided = Denoiser(self.denoiser.pipeline, **{**settings, "guidance": 1.0})

        def branches_of(
            _: Opening, steps: Sequence[Step], conditioning: dict[str, Tensor], __: int
        ) -> list[Branch]:
            return [
                Branch(steps, start, conditioning, draw=draw)
                for start in self.starts
                for draw in range(draws)
            ]

        for given, denoiser in ((decided.EMPTY, unguided), (decided.WITHOUT, self.denoiser)):
            asked = [opening for opening in openings if opening.given == given]
            for opening, found, stored in self._continued(denoiser, asked, branches_of):
                for row in decided.rows_of(
                    opening, found, stored, self.reading.concepts, self.log_snr
                ):
                    yield self._who_and_when(opening.sample, row)

    def _continued(
        self,
        denoiser: Denoiser,
        changes: Sequence[Change],
        branches_of: Callable[[Change, Sequence[Step], dict[str, Tensor], int], list[Branch]],
    ) -> Iterator[tuple[Change, dict[str, Readings], dict[str, Readings]]]:
        """Each change with what is read of its continuations and of its sample's stored picture.

        `branches_of` gets a change, its sample's steps, its prompt's conditioning and the place of
        its first branch.
        """
        left = iter(changes)
        for together in iter(lambda: list(islice(left, AT_ONCE)), []):
            steps = {sample: read_steps(self.tree, sample) for sample in samples_of(together)}
            own = [steps[change.sample][0].conditioning for change in together]
            texts = [(change.prompt, ()) for change in together]
            branches: list[Branch] = []
            ends: list[int] = []
            encoded = rewording.with_texts(denoiser.family, own, texts)
            for change, conditioning in zip(together, encoded, strict=True):
                branches += branches_of(change, steps[change.sample], conditioning, len(branches))
                ends.append(len(branches))
            print(f"Budget: {calls(branches):,} denoiser calls.", flush=True)
            found = self.reading(continued(denoiser, branches))
            stored = self.reading(
                torch.stack([of_sample[-1].after for of_sample in steps.values()])
            )
            for change, first, end in zip(together, [0, *ends], ends, strict=False):
                place = list(steps).index(change.sample)
                yield change, _part(found, slice(first, end)), _part(stored, place)

    def _who_and_when(self, sample: int, row: dict[str, Any]) -> dict[str, Any]:
        """A row with its sample's and its step's keys, in the place of the start's number."""
        step = self.starts[row.pop("start")]
        who = {name: values[sample] for name, values in self.who.items()}
        when = {name: values[step - 1] for name, values in self.times.items()}
        return {**who, **when, **row}


def samples_of(changes: Sequence[Change]) -> list[int]:
    """Samples of changes, each once, in their order."""
    return list(dict.fromkeys(change.sample for change in changes))


def _part(readings: Mapping[str, Readings], rows: Any) -> dict[str, Readings]:
    """Some rows of all that was read, by an index."""
    return {
        reader: {family: values[rows] for family, values in of_reader.items()}
        for reader, of_reader in readings.items()
    }
