"""Sampling on from stored latents, with another prompt or with fresh noise."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser, stacked
from stepscope.diffusion.schedule import Latents
from stepscope.diffusion.step import Step

TOGETHER = 32  # rows of a call; a fixed number, so that a rerun gives the same bits


@dataclass(frozen=True)
class Branch:
    """A continuation from before step `start` of a sample's trajectory `steps` (1..N), to the end.

    It starts from the latent that is stored there, or, with `behind`, from that of another branch,
    by its place among them, which must have begun earlier. `conditioning` (2, ...) is its prompt's.
    With a number in `draw`, every step adds fresh noise, the same for all branches of a sample that
    have this number.
    """

    steps: Sequence[Step]
    start: int
    conditioning: Mapping[str, Tensor]
    behind: int | None = None
    draw: int | None = None


def calls(branches: Sequence[Branch]) -> int:
    """Guided denoiser calls of continuations, one a step each."""
    return sum(len(branch.steps) - branch.start + 1 for branch in branches)


@torch.inference_mode()
def continued(denoiser: Denoiser, branches: Sequence[Branch], together: int = TOGETHER) -> Latents:
    """Final latents (branch, C, h, w) of continuations, in one sweep over the steps.

    Whatever is under way at a step goes through the network together, `together` rows a call: N
    branches of a trajectory that start at every step are N (N + 1) / 2 of `calls`. A solver of
    second order begins with the history that is stored. A branch behind one that begins no earlier
    is a ValueError.
    """
    latents: dict[int, Tensor] = {}  # of the branches that are under way
    history: dict[int, Tensor | None] = {}
    for number in range(1, denoiser.step_count + 1):
        begun = {
            place: _begun(branch, latents, history)
            for place, branch in enumerate(branches)
            if branch.start == number
        }
        latents.update((place, latent) for place, (latent, _) in begun.items())
        history.update((place, known) for place, (_, known) in begun.items())
        under_way = sorted(latents)
        for first in range(0, len(under_way), together):
            places = under_way[first : first + together]
            of_rows = [branches[place] for place in places]
            steps = [
                replace(branch.steps[number - 1], history=history[place])
                if history[place] is not None
                else branch.steps[number - 1]
                for place, branch in zip(places, of_rows, strict=True)
            ]
            z = torch.stack([latents[place] for place in places]).to(denoiser.device)
            outputs = denoiser.outputs(z, steps, stacked([row.conditioning for row in of_rows]))
            output = denoiser.guided(outputs)
            after = _after(denoiser, z, output, steps, [row.draw for row in of_rows])
            new = _histories(denoiser, z, output, steps)
            latents.update(zip(places, after, strict=True))
            history.update(zip(places, new, strict=True))
    return torch.stack([latents[place] for place in range(len(branches))])


def _begun(
    branch: Branch, latents: Mapping[int, Tensor], history: Mapping[int, Tensor | None]
) -> tuple[Tensor, Tensor | None]:
    """Latent (C, h, w) and a solver's history with which a branch begins."""
    if branch.behind is None:
        step = branch.steps[branch.start - 1]
        return step.latent, step.history
    if branch.behind not in latents:
        raise ValueError(
            f"branches: one that begins at step {branch.start} is behind branch {branch.behind}, "
            "which begins no earlier."
        )
    return latents[branch.behind], history[branch.behind]


def _after(
    denoiser: Denoiser,
    latents: Latents,
    output: Latents,
    steps: Sequence[Step],
    draws: Sequence[int | None],
) -> Latents:
    """Latents after a step, of rows that all draw noise or none of which does."""
    fresh = [draw for draw in draws if draw is not None]
    if not fresh:
        return denoiser.advance(latents, output, steps)
    return denoiser.ancestral(latents, output, steps, torch.stack([*_noise(steps, fresh)]))


def _noise(steps: Sequence[Step], draws: Sequence[int]) -> Iterator[Tensor]:
    """Normal noise (C, h, w) of a sample, draw and step, by their names alone."""
    for step, draw in zip(steps, draws, strict=True):
        name = f"{step.prompt_id}/{step.seed}/{step.number}/{draw}".encode()
        generator = torch.Generator().manual_seed(zlib.crc32(name))
        yield torch.randn(step.latent.shape, generator=generator)


def _histories(
    denoiser: Denoiser, latents: Latents, output: Latents, steps: Sequence[Step]
) -> list[Tensor | None]:
    """What a multistep solver remembers behind each row's step, None where it needs nothing."""
    return [
        None
        if step.history is None
        else torch.cat(
            [
                step.history[1:].to(row),
                denoiser.remembered(latents[place, None], row[None], step),
            ]
        )
        for place, (row, step) in enumerate(zip(output, steps, strict=True))
    ]
