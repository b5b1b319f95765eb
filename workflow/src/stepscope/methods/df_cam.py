"""DF-CAM: which regions of each layer raise a target, for all layers with one backward pass."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.differences import added_by_prompt, added_by_words
from stepscope.methods.gradients import frozen
from stepscope.methods.method import Layers, method
from stepscope.methods.scaling import minmax
from stepscope.models.families.base import Family

Target = Literal["prompt", "region", "norm", "raw_sum"]
TARGETS = get_args(Target)
log = logging.getLogger(__name__)


@method(
    calls=lambda words, p: {"norm": 3, "raw_sum": 3}.get(p["target"], 2.5),
    target="what the prompt adds at this step (or the target parameter)",
    features="activations of the network's layers, weighted by their mean gradients",
    held_fixed="time step, latent, conditioning; e_u and the difference itself",
    halves={"target": ("prompt", "region", "raw_sum")},
)
def df_cam(denoiser: Denoiser, step: Step, *, target: Target = "prompt") -> Layers:
    """Maps (layer, h, w) in [0, 1]: ReLU(sum_k alpha_k A_k), bilinear to the latent grid, min-max.

    alpha_k is the spatial mean of dY/dA_k. `target` Y: "prompt" <stopgrad(e_c - e_u), e_c>;
    "region" the same inside the objects; "norm" the squared norm of the guided output; "raw_sum"
    the sum of both raw halves, the authors' choice. Guidance mixes the halves of A and of dY/dA
    only for the raw sum: gradients of a guided target hold the guidance already. A layer whose map
    is constant is reported and NaN. A target of another name, or one that the step cannot have, is
    a ValueError.
    """
    y_of = target_of(denoiser, step, target)
    with recorded(denoiser.family) as activations:
        latents = step.latent[None].to(denoiser.device).requires_grad_()
        gradients = gradients_of(y_of(latents), activations)
    guidance = denoiser.guidance if target == "raw_sum" else None
    height, width = step.latent.shape[-2:]
    maps = class_activation(denoiser.family, activations, gradients, (height, width), guidance)
    layers = Layers(tuple(activations), maps)
    report_empty(layers, step)
    return layers


def target_of(denoiser: Denoiser, step: Step, target: str) -> Callable[[Tensor], Tensor]:
    """A function of latents (1, C, h, w) that gives the target Y, one number.

    What the prompt adds is computed here, once and without gradients. A target of another name is
    a ValueError, and so is "region" without object masks or "prompt" without guidance.
    """
    if target not in TARGETS:
        raise ValueError(f"target: {target!r} is none of {', '.join(TARGETS)}.")
    if target == "raw_sum":
        return lambda latents: denoiser.outputs(latents, step).float().sum()
    if target == "norm":
        return lambda latents: (denoiser.guided(denoiser.outputs(latents, step).float()) ** 2).sum()
    if target == "prompt":
        weights = added_by_prompt(denoiser, step)
    elif step.mask is None:
        raise ValueError(f"target: region needs object masks, and {step.prompt_id} has none.")
    else:
        weights = added_by_prompt(denoiser, step)
        weights = weights * step.mask.to(weights)
    return lambda latents: (weights.float() * denoiser.conditional(latents, step)[0].float()).sum()


@method(
    calls=lambda words, p: 1 + 1.5 * words,
    target="what each word adds at this step",
    features="activations of the network's layers, weighted by their mean gradients",
    held_fixed="time step, latent, conditioning; the difference a word makes",
)
def df_cam_word(denoiser: Denoiser, step: Step) -> np.ndarray:
    """Maps (word, h, w): the DF-CAM layers, each in [0, 1], summed; one backward pass a word.

    The target of a word is <stopgrad(e_c - e_c without the word), e_c>.
    """
    weights = added_by_words(denoiser, step).float()
    with recorded(denoiser.family) as activations:
        latents = step.latent[None].to(denoiser.device).requires_grad_()
        output = denoiser.conditional(latents, step)[0].float()
        height, width = step.latent.shape[-2:]
        maps = [  # (layer, h, w) of each word
            class_activation(
                denoiser.family,
                activations,
                gradients_of((weights_of_word * output).sum(), activations),
                (height, width),
                None,
            )
            for weights_of_word in weights
        ]
    return np.stack([np.nansum(maps_of_word, axis=0) for maps_of_word in maps])


@contextmanager
def recorded(family: Family) -> Iterator[dict[str, Tensor | None]]:
    """Each layer's activation of a call with gradients, by name; None before; weights are frozen.

    The activations are tensors of the graph, to be differentiated by directly: module backward
    hooks would clone them and refuse layers that return tuples.
    """
    activations: dict[str, Tensor | None] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            activation = family.activation(output)
            if activation.requires_grad:  # calls without gradients give targets, not maps
                activations[name] = activation

        return hook

    with ExitStack() as stack:
        stack.enter_context(frozen(family.network))
        stack.enter_context(torch.enable_grad())
        for name, layer in family.layers().items():
            activations[name] = None
            stack.callback(layer.register_forward_hook(keep(name)).remove)
        yield activations


def gradients_of(y: Tensor, activations: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    """dY/dA of every recorded layer in one backward pass; None where Y does not depend on it."""
    used = {name: activation for name, activation in activations.items() if activation is not None}
    gradients: dict[str, Tensor | None] = dict.fromkeys(activations)
    if used:
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
) -> np.ndarray:
    """Maps (layer, h, w) float32 from A and dY/dA of each layer, NaN where constant.

    With `guidance` the halves [u, c] of both are mixed as u + w (c - u) first; without it the
    maps of all rows are added before the ReLU.
    """
    maps = []
    for name, activation in activations.items():
        gradient = gradients[name]
        if activation is None or gradient is None:
            maps.append(np.full(size, np.nan, dtype=np.float32))
            continue
        a, g = (family.feature_map(tensor, size).float() for tensor in (activation, gradient))
        if guidance is not None and len(a) == 2:
            a, g = ((u + guidance * (c - u))[None] for u, c in (a, g))
        map_ = (g.mean((2, 3), keepdim=True) * a).sum((0, 1)).relu()
        map_ = F.interpolate(map_[None, None], size=size, mode="bilinear")[0, 0]
        maps.append(minmax(map_.cpu().numpy()))
    return np.stack(maps)


def report_empty(layers: Layers, step: Step) -> None:
    """Say in the log which layers have nothing to show."""
    empty = [
        name for name, map_ in zip(layers.names, layers.maps, strict=True) if np.isnan(map_).any()
    ]
    if empty:
        where = f"{step.prompt_id}, seed {step.seed}, step {step.number}"
        log.info("%s: %d layers left out: %s", where, len(empty), ", ".join(empty))
