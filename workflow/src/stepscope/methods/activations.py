"""Activations of a network's layers, their gradients, and the maps that both make."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepscope.diffusion.step import Step
from stepscope.methods.chosen_layers import chosen, stands_for
from stepscope.methods.gradients import frozen
from stepscope.methods.method import Layers
from stepscope.methods.scaling import minmax
from stepscope.models.families.base import Family

log = logging.getLogger(__name__)


def weighed(
    family: Family, layers: Sequence[str] | None, weights: Sequence[float] | None
) -> dict[str, float]:
    """Factor of each chosen layer's maps, 1 without weights, by its name in forward order."""
    names = chosen(family.layers(), layers)
    if weights is None:
        return dict.fromkeys(names, 1.0)
    if len(weights) != len(layers or ()):
        raise ValueError(
            f"weights: {len(weights)} numbers do not fit {len(layers or ())} layers; give one for "
            "each entry of layers."
        )
    pairs = list(zip(layers or (), weights, strict=True))
    return {name: next(w for layer, w in pairs if stands_for(layer, name)) for name in names}


@contextmanager
def recorded(
    family: Family, layers: Iterable[str] | None = None
) -> Iterator[dict[str, Tensor | None]]:
    """Each layer's activation of a call with gradients, by name; None before; weights are frozen.

    The activations are tensors of the graph, to be differentiated by directly: module backward
    hooks would clone them and refuse layers that return tuples. The graph begins at the earliest of
    the `layers` (None: all), so that what comes before needs no gradients.
    """
    activations: dict[str, Tensor | None] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
        def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
            if not torch.is_grad_enabled():  # such calls give targets, not maps
                return output
            activation = family.activation(output)
            if activation.requires_grad:
                activations[name] = activation
                return output
            activations[name] = start = activation.detach().requires_grad_()
            if torch.is_tensor(output):
                return start
            return tuple(start if part is activation else part for part in output)

        return hook

    with ExitStack() as stack:
        stack.enter_context(frozen(family.network))
        stack.enter_context(torch.enable_grad())
        every = family.layers()
        for name in every if layers is None else layers:
            activations[name] = None
            stack.callback(every[name].register_forward_hook(keep(name)).remove)
        yield activations


def gradients_of(y: Tensor, activations: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    """dY/dA of every recorded layer in one backward pass; None where Y does not depend on it."""
    used = {name: activation for name, activation in activations.items() if activation is not None}
    gradients: dict[str, Tensor | None] = dict.fromkeys(activations)
    if used and y.requires_grad:
        tensors = list(used.values())
        of_used = torch.autograd.grad(y, tensors, retain_graph=True, allow_unused=True)
        gradients.update(zip(used, of_used, strict=True))
    return gradients


@torch.no_grad()
def class_activation(
    family: Family,
    activations: Mapping[str, Tensor | None],
    gradients: Mapping[str, Tensor | None],
    size: tuple[int, int],
    guidance: float | None,
    steps: int = 1,
) -> np.ndarray:
    """Maps (step, layer, h, w) float32 from A and dY/dA of each layer, NaN where constant.

    Rows are those of the steps, twice where the network was called with both halves: first all [u],
    then all [c]. With `guidance` both halves of A and of dY/dA are mixed as u + w (c - u) first;
    without it their maps are added before the ReLU.
    """
    maps = []
    for name, activation in activations.items():
        gradient = gradients[name]
        if activation is None or gradient is None:
            maps.append(np.full((steps, *size), np.nan, dtype=np.float32))
            continue
        a, g = (  # (half, step, C, y, x)
            family.feature_map(tensor, size).float().unflatten(0, (-1, steps))
            for tensor in (activation, gradient)
        )
        if guidance is not None and len(a) == 2:
            a, g = ((u + guidance * (c - u))[None] for u, c in (a, g))
        alpha = g.mean((-2, -1))
        of_steps = torch.einsum("hsc,hscyx->syx", alpha, a).relu()
        of_steps = F.interpolate(of_steps[:, None], size=size, mode="bilinear")[:, 0]
        flat = minmax(of_steps.flatten(1).cpu().numpy(), axis=1)
        maps.append(flat.reshape(steps, *size))
    return np.stack(maps, 1)


def report_empty(layers: Layers, step: Step) -> None:
    """Say in the log which layers have nothing to show."""
    empty = [
        name for name, map_ in zip(layers.names, layers.maps, strict=True) if np.isnan(map_).any()
    ]
    if empty:
        where = f"{step.prompt_id}, seed {step.seed}, step {step.number}"
        log.info("%s: %d layers left out: %s", where, len(empty), ", ".join(empty))
