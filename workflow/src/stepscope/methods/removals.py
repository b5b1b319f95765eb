"""What the network says at a stored step when words of the prompt are not there."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser, stacked
from stepscope.diffusion.step import Step
from stepscope.language import key, words
from stepscope.methods.differences import in_noise, latents_of
from stepscope.models import rewording
from stepscope.models.words import Word

Chosen = Literal["all", "roles"]
ROWS = 64  # rows of a call of the network, so that memory does not grow with the words


def chosen_words(step: Step, which: Chosen) -> list[Word]:
    """All words of a step's prompt, or those with a role; all where none has a role."""
    with_role = [word for word in step.words if word.role]
    return with_role if which == "roles" and with_role else list(step.words)


def without_words(
    denoiser: Denoiser, changes: Sequence[tuple[Step, Sequence[Word]]]
) -> list[dict[str, Tensor]]:
    """Conditionings of steps whose prompts are encoded again without some words."""
    texts = {
        (step.prompt, lacking): rewording.reworded(
            denoiser.family, step.prompt, dict.fromkeys(lacking, "")
        )
        for step, lacking in ((step, _indices(removed)) for step, removed in changes)
    }
    return rewording.with_texts(
        denoiser.family,
        [step.conditioning for step, _ in changes],
        [(texts[step.prompt, _indices(removed)], ()) for step, removed in changes],
    )


def _indices(removed: Sequence[Word]) -> tuple[int, ...]:
    """Places of words among those of their prompt."""
    return tuple(word.index for word in removed)


@torch.no_grad()
def outputs_of(
    denoiser: Denoiser, steps: Sequence[Step], conditionings: Sequence[Mapping[str, Tensor]]
) -> Tensor:
    """Raw conditional outputs (row, C, h, w) float32 of steps, each by its own conditioning."""
    pieces = []
    for start in range(0, len(steps), ROWS):
        part = steps[start : start + ROWS]
        given = stacked(conditionings[start : start + ROWS])
        pieces.append(denoiser.conditional(latents_of(denoiser, part), part, given).float())
    return torch.cat(pieces)


def projected(
    denoiser: Denoiser, step: Step, differences: Tensor, whole: Tensor
) -> tuple[Tensor, Tensor]:
    """Norm over channels of differences (row, C, h, w), and their share of the whole one (C, h, w).

    (row, h, w) float32, of the predicted noise, and float64: by cell the inner product with the
    whole difference over its squared norm, so that the shares of the whole itself sum to 1 over
    its cells. All are 0 where the whole difference is.
    """
    changed = in_noise(denoiser, step, differences)
    d = in_noise(denoiser, step, whole[None])[0].double()
    length = (d**2).sum()
    shares = (changed.double() * d).sum(1) / length.where(length > 0, torch.inf)
    return changed.norm(dim=1), shares


def another(word: str, families: Sequence[str], prompt: str) -> str | None:
    """The next word of a word's family, cyclically, that the prompt lacks; None without one."""
    present = set(words(prompt))
    for family in map(words, families):
        if (own := key(word)) in family:
            start = family.index(own)
            others = [*family[start + 1 :], *family[:start]]
            return next((other for other in others if other not in present), None)
    return None
