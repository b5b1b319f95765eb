"""RQ3, overridable: until which step another prompt still changes a concept of the final picture.

From the stored latent of a step sampling goes on with one concept of the prompt swapped (prompt
intervention, arXiv 2512.08486), and back again from the trajectory that the swapped prompt makes of
the same noise: both directions.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stepscope.diffusion.continuation import Branch
from stepscope.diffusion.step import Step
from stepscope.language import parts, replaced

# Whose latents a switch starts from: the sample's own, or those of the swapped prompt.
TRAJECTORIES = ("stored", "swapped")
# Probability (picture, concept) of each concept family that a reader reads.
Readings = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Swap:
    """A sample, by its number, whose prompt names `old`, and the prompt with `new` in its place."""

    sample: int
    family: str
    old: str
    new: str
    prompt: str


def swaps(
    prompts: Sequence[str],
    prompt_ids: Sequence[str],
    order: Sequence[int],
    families: Mapping[str, Sequence[str]],
    samples: int | None,
    seed: int,
) -> list[Swap]:
    """One swap of each concept family for the first `samples` samples in `order` that name it.

    `families` are concepts by family. The concept that stands first in the prompt is swapped for
    one that the prompt does not name, drawn for `seed`, prompt_id and family alone.
    """
    found = []
    for family, concepts in families.items():
        of_family = []
        for sample in order:
            prompt, named = prompts[sample], named_in_order(prompts[sample], concepts)
            others = [concept for concept in concepts if concept not in named]
            if named and others:
                name = f"{seed}/{prompt_ids[sample]}/{family}".encode()
                new = others[zlib.crc32(name) % len(others)]
                changed = replaced(prompt, named[0], new)
                of_family.append(Swap(sample, family, named[0], new, changed))
        found += of_family[:samples]
    return found


def named_in_order(prompt: str, concepts: Sequence[str]) -> list[str]:
    """Concepts whose words follow each other in a prompt, in the order of the prompt."""
    text = f" {' '.join(parts(prompt))} "
    places = {concept: text.find(f" {' '.join(parts(concept))} ") for concept in concepts}
    return sorted((concept for concept in concepts if places[concept] >= 0), key=places.__getitem__)


def starts_of(count: int, every: int) -> list[int]:
    """Steps, of 1 to `count`, where continuations start: the first, and each `every` to the last.

    They are counted back from the last, which costs least.
    """
    return sorted({1, *range(count, 0, -every)})


def branches_of(
    steps: Sequence[Step], swapped: Mapping[str, torch.Tensor], starts: Sequence[int], first: int
) -> list[Branch]:
    """Continuations of a swap, to be put at place `first`: with the new prompt, then back.

    Those back start behind the first, which is the trajectory of the new prompt; back from its
    first step is the stored one.
    """
    own = steps[0].conditioning
    there = [Branch(steps, start, swapped) for start in starts]
    back = [Branch(steps, start, own, behind=first) for start in starts[1:]]
    return [*there, *back]


def in_order(found: np.ndarray, stored: np.ndarray) -> dict[str, np.ndarray]:
    """Values by trajectory, switched at each start and lastly never, (start + 1, ...).

    `found` are those of `branches_of` a swap, `stored` (...) that of the stored picture.
    """
    count = len(found) // 2 + 1
    there, back = found[:count], found[count:]
    return {
        "stored": np.concatenate([there, stored[None]]),
        "swapped": np.concatenate([stored[None], back, there[:1]]),
    }


def wins(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Whether switches at each start win, (start,) f8 of 0 and 1, from probabilities (start + 1,).

    A switch wins where a reader sees more of the new concept than of the old. NaN where it does not
    know the two apart: the new one must win from the first step, and the old one without a switch.
    """
    won = new > old
    return np.where(won[0] and old[-1] > new[-1], won[:-1].astype(np.float64), np.nan)


def interval(won: np.ndarray, log_snr: np.ndarray) -> tuple[float, float]:
    """Log-SNR, lower and upper, between which switches stop to win, of (start,) each.

    The step function with the fewest starts on its wrong side; where several have as few, all of
    them are in the interval. Infinite where switches win to the last start, or never; NaN where
    nothing is known.
    """
    if np.isnan(won).any():
        return np.nan, np.nan
    before = np.concatenate([[0], np.cumsum(1 - won)])  # lost, of the first c starts
    after = np.concatenate([np.cumsum(won[::-1])[::-1], [0]])  # won, of the others
    best = np.flatnonzero(before + after == (before + after).min())
    ends = np.concatenate([[-np.inf], log_snr, [np.inf]])
    return float(ends[best[0]]), float(ends[best[-1] + 1])


def rows_of(
    swap: Swap,
    readings: Mapping[str, Readings],
    stored: Mapping[str, Readings],
    concepts: Sequence[str],
    log_snr: np.ndarray,
) -> Iterator[dict[str, Any]]:
    """Rows of a swap, a start each, without what says who and when; `start` counts from 0.

    `readings` by reader are of the pictures of `branches_of`, `stored` of the stored picture.
    """
    places = [concepts.index(swap.old), concepts.index(swap.new)]
    for reader, of_reader in readings.items():
        if swap.family not in of_reader:
            continue
        found = of_reader[swap.family][:, places]
        sequences = in_order(found, stored[reader][swap.family][places])
        for trajectory, pair in zip(TRAJECTORIES, ((0, 1), (1, 0)), strict=True):
            old, new = (sequences[trajectory][:, column] for column in pair)
            names = (swap.old, swap.new)
            won = wins(new, old)
            lower, upper = interval(won, log_snr)
            with np.errstate(invalid="ignore"):
                share = new / (new + old)
            for start, value in enumerate(won):
                yield {
                    "start": start,
                    "family": swap.family,
                    "trajectory": trajectory,
                    "from": names[pair[0]],
                    "to": names[pair[1]],
                    "reader": reader,
                    "probability": share[start],
                    "wins": value,
                    "lower": lower,
                    "upper": upper,
                }
