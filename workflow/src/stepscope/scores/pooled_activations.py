"""Activations of a network's layers at stored steps, pooled over the picture, without gradients."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.chosen_layers import chosen, stands_for
from stepscope.models.families.base import Family
from stepscope.scores.probe_courses import COND, HALVES, LATENT
from stepscope.store.traces import read_steps

GRID = 4  # cells a side of the coarse grid
AT_ONCE = 32  # samples of one call of the network; a fixed number, so that reruns are the same bits
NOTHING = torch.empty(0)


def layers_of(family: Family, layers: Sequence[str] | None) -> list[str]:
    """Names of the layers that `layers` stand for (see `chosen_layers`), in forward order.

    None takes the last layer of each stage. What stands for none is a ValueError.
    """
    names = list(family.layers())
    if layers is not None:
        return chosen(names, layers)
    last = {stage: name for stage in family.stages() for name in names if stands_for(stage, name)}
    return list(last.values())


def pooled(maps: Tensor) -> np.ndarray:
    """Means (B, C * (1 + GRID²)) f4 of maps (B, C, y, x), of the whole and of a coarse grid."""
    parts = [F.adaptive_avg_pool2d(maps.float(), side).flatten(1) for side in (1, GRID)]
    return torch.cat(parts, 1).cpu().numpy()


@contextmanager
def recorded(
    family: Family, layers: Sequence[str], size: tuple[int, int]
) -> Iterator[list[dict[str, np.ndarray]]]:
    """Pooled activations (row, feature) by layer, of each call of the network that ends.

    `size` is the latent's height and width. A call that does not fit into memory leaves nothing.
    """
    calls: list[dict[str, np.ndarray]] = []
    current: dict[str, np.ndarray] = {}
    every = family.layers()

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            current[name] = pooled(family.feature_map(family.activation(output), size))

        return hook

    with ExitStack() as stack:
        begun = family.network.register_forward_pre_hook(lambda *_: current.clear())
        ended = family.network.register_forward_hook(lambda *_: calls.append(dict(current)))
        hooks = [begun, ended, *(every[name].register_forward_hook(keep(name)) for name in layers)]
        for hook in hooks:
            stack.callback(hook.remove)
        yield calls


@torch.inference_mode()
def activations(
    denoiser: Denoiser, steps: Sequence[Step], layers: Sequence[str]
) -> dict[tuple[str, str], np.ndarray]:
    """Pooled activations (step, feature) f4 by layer and half, at the stored latents of steps.

    The network is called once for `AT_ONCE` steps with both halves; without guidance there is cond
    alone. The latent itself, which has no half (""), is the first.
    """
    latents = torch.stack([step.latent for step in steps])
    height, width = latents.shape[-2:]
    with recorded(denoiser.family, layers, (height, width)) as calls:
        for start in range(0, len(steps), AT_ONCE):
            piece = slice(start, start + AT_ONCE)
            denoiser.outputs(latents[piece], steps[piece])
    halves = HALVES if denoiser.guidance > 1 else (COND,)
    found = {(LATENT, ""): pooled(latents)}
    for name in layers:
        pieces = [np.split(call[name], len(halves)) for call in calls]
        for half, rows in zip(halves, zip(*pieces, strict=True), strict=True):
            found[name, half] = np.concatenate(rows)
    return found


def states(tree: xr.DataTree, samples: Sequence[int], numbers: Sequence[int]) -> list[list[Step]]:
    """Steps of some numbers, of each one those of all samples, with what a replay needs alone."""
    of_samples = [
        [
            replace(
                step,
                latent=step.latent.clone(),  # otherwise a view, which keeps the whole sample
                after=NOTHING,
                outputs=NOTHING,
                denoised=NOTHING,
                attention={},
                history=None,
            )
            for step in read_steps(tree, sample, numbers=numbers)
        ]
        for sample in samples
    ]
    return [list(together) for together in zip(*of_samples, strict=True)]
