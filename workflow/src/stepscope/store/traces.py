"""Reading trace stores.

torch is imported only where tensors are asked for: tables and figures do without it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from torch import Tensor

    from stepscope.diffusion.step import Step
    from stepscope.models.words import Word

SHARED = ("prompt_id", "seed", "timestep", "log_snr")


def open_trace(path: str) -> xr.DataTree:
    """Open a trace store lazily; one whose writer died raises ValueError."""
    return xr.open_datatree(path, engine="zarr", consolidated=True, chunks=None)


def words_of(tree: xr.DataTree) -> "list[tuple[Word, ...]]":
    """Words of each sample's prompt."""
    from stepscope.models.words import Word

    return [
        tuple(Word(**{**word, "tokens": tuple(word["tokens"])}) for word in row)
        for row in tree.attrs["words"]
    ]


def read_step(tree: xr.DataTree, sample: int, number: int, mask: "Tensor | None" = None) -> "Step":
    """Step ``number`` (1..N) of a sample as tensors; ``mask`` (h, w) is the objects' share."""
    import torch

    from stepscope.diffusion.step import Step

    def read(name: str, **at: int) -> torch.Tensor:
        return torch.from_numpy(tree[name].isel(sample=sample, **at).values)

    return Step(
        number=number,
        timestep=float(tree["timestep"][number - 1]),
        log_snr=float(tree["log_snr"][number - 1]),
        latent=read("latent/value", state=number - 1),
        after=read("latent/value", state=number),
        outputs=read("output/value", step=number - 1),
        denoised=read("denoised/value", step=number - 1).float(),
        conditioning={name: read(f"conditioning/{name}") for name in tree["conditioning"]},
        words=words_of(tree)[sample],
        prompt=tree.attrs["prompts"][sample],
        negative_prompt=tree.attrs["negative_prompt"],
        prompt_id=str(tree["prompt_id"].values[sample]),
        seed=int(tree["seed"][sample]),
        attention={
            _size(name): read(f"{name}/value", step=number - 1).float()
            for name in tree.children
            if name.startswith("attn_")
        },
        mask=mask,
        history=read("solver/model_outputs", step=number - 1) if "solver" in tree else None,
    )


def read_steps(tree: xr.DataTree, sample: int, mask: "Tensor | None" = None) -> "list[Step]":
    """All steps of a sample, from the noisiest."""
    return [read_step(tree, sample, int(number), mask) for number in tree["step"].values]


def _size(name: str) -> tuple[int, int]:
    height, width = name.removeprefix("attn_").split("x")
    return int(height), int(width)


def coordinates(tree: xr.DataTree) -> dict[str, xr.Variable]:
    """Coordinates that everything made from a trace shares: who a sample is, when a step was."""
    shared = {name: tree[name].variable for name in (*SHARED, "sample", "step")}
    return shared | word_coordinates(tree)


def word_coordinates(tree: xr.DataTree) -> dict[str, xr.Variable]:
    """Text and role of each sample's words, (sample, word), empty beyond a prompt's last word."""
    rows = tree.attrs["words"]
    shape = len(rows), max(map(len, rows))
    text, role = np.full(shape, "", dtype=object), np.full(shape, "", dtype=object)
    for row, words in enumerate(rows):
        for word in words:
            text[row, word["index"]], role[row, word["index"]] = word["text"], word["role"]
    axes = ("sample", "word")
    return {"word_text": xr.Variable(axes, text), "word_role": xr.Variable(axes, role)}


def chosen_steps(tree: xr.DataTree, steps: Sequence[int] | None, samples: int | None) -> list:
    """(sample, step number) pairs of a batch: the first ``samples`` seed by seed, named steps only.

    Seed by seed means every prompt's first seed, then every second one, so that n samples are
    spread over prompts. None takes all.
    """
    seen: dict[str, int] = {}
    ranks = []
    for prompt in tree["prompt_id"].values:
        ranks.append(seen.setdefault(prompt, 0))
        seen[prompt] += 1
    order = sorted(range(len(ranks)), key=lambda sample: (ranks[sample], sample))[:samples]
    known = [int(number) for number in tree["step"].values]
    if missing := sorted(set(steps or []) - set(known)):
        raise ValueError(f"steps: {missing[0]} is not among the trace's steps 1 to {known[-1]}.")
    return [(sample, number) for sample in sorted(order) for number in steps or known]
