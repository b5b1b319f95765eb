"""A stored step of one sample, as explanation methods get it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from torch import Tensor

from stepscope.models.words import Word


@dataclass
class Step:
    """One step of one sample's trace; tensors are on the CPU as they were stored.

    `latent` and `after` (C, h, w) are in the scheduler's scale; `outputs` (2, C, h, w) are
    the raw [uncond, cond] halves, uncond NaN without guidance; `conditioning` has the same
    halves; `attention` is {(h, w): (J, h, w)}; `mask` (h, w) the objects' share of each cell's
    area, or None; `history` (order - 1, C, h, w) what a multistep solver remembers, oldest first;
    `heads` names of attention heads by role, those first that find its words on other prompts;
    `by_head` {layer: (head, J, h, w)} attention of each head, where the trace keeps it and a method
    asks.
    """

    number: int
    timestep: float
    log_snr: float
    latent: Tensor
    after: Tensor
    outputs: Tensor
    denoised: Tensor
    conditioning: dict[str, Tensor]
    words: tuple[Word, ...]
    prompt: str
    negative_prompt: str
    prompt_id: str
    seed: int
    attention: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    mask: Tensor | None = None
    history: Tensor | None = None
    heads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    by_head: Mapping[str, Tensor] = field(default_factory=dict)


Steps: TypeAlias = Step | Sequence[Step]  # one step for all rows of a batch, or one a row


def runs(steps: Steps, count: int) -> list[tuple[Step, slice]]:
    """(step, its rows) of `count` rows: neighbours of the same step are together.

    As many steps as rows, or one for all; another number is a ValueError.
    """
    if isinstance(steps, Step):
        return [(steps, slice(0, count))]
    if len(steps) != count:
        raise ValueError(f"steps: {len(steps)} steps stand beside {count} rows.")
    found, start = [], 0
    for _, together in groupby(steps, key=id):
        step, *others = together
        found.append((step, slice(start, start := start + 1 + len(others))))
    return found
