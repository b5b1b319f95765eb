"""DF-CAM: which regions of each layer raise a target, for all layers with one backward pass."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.differences import added_by_prompt, added_by_words, conditional
from stepscope.methods.method import Layers, method
from stepscope.models.families.base import Family

TARGETS = ("prompt", "region", "norm", "raw_sum")
log = logging.getLogger(__name__)


@method(
    calls=lambda words, p: {"norm": 3, "raw_sum": 3}.get(p["target"], 2.5),
    target="what the prompt adds at this step (or the target parameter)",
    features="activations of the network's layers, weighted by their mean gradients",
    held_fixed="time step, latent, conditioning; e_u and the difference itself",
    halves=("prompt", "region", "raw_sum"),
)
def df_cam(denoiser: Denoiser, step: Step, *, target: str = "prompt") -> Layers:
    """Maps (layer, h, w) in [0, 1]: ReLU(sum_k alpha_k A_k), bilinear to the latent grid, min-max.

    alpha_k is the spatial mean of dY/dA_k. ``target`` Y: "prompt" <stopgrad(e_c - e_u), e_c>;
    "region" the same inside the objects; "norm" the squared norm of the guided output; "raw_sum"
    the sum of both raw halves, the authors' choice. Guidance mixes the halves of A and of dY/dA
    only for the raw sum: gradients of a guided target hold the guidance already. A layer whose map
    is constant is reported and NaN.
    """
    if target not in TARGETS:
        raise ValueError(f"target: {target!r} is none of {', '.join(TARGETS)}.")
    if target == "region" and step.mask is None:
        raise ValueError(f"target: region needs object masks, and {step.prompt_id} has none.")
    weights = added_by_prompt(denoiser, step) if target in ("prompt", "region") else None
    if target == "region":
        weights = weights * step.mask.to(weights)
    with recorded(denoiser.family) as activations:
        latents = step.latent[None].to(denoiser.device).requires_grad_()
        if target == "raw_sum":
            y = denoiser.outputs(latents, step).float().sum()
        elif target == "norm":
            y = (denoiser.guided(denoiser.outputs(latents, step).float()) ** 2).sum()
        else:
            y = (weights.float() * conditional(denoiser, latents, step)[0].float()).sum()
        gradients = gradients_of(y, activations)
    guidance = denoiser.guidance if target == "raw_sum" else None
    maps = class_activation(
        denoiser.family, activations, gradients, step.latent.shape[-2:], guidance
    )
    return Layers(tuple(activations), named(maps, activations, step))


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
        output = conditional(denoiser, latents, step)[0].float()
        size = step.latent.shape[-2:]
        maps = [
            class_activation(
                denoiser.family,
                activations,
                gradients_of((each * output).sum(), activations),
                size,
                None,
            )
            for each in weights
        ]
    return np.stack([np.nansum(each, axis=0) for each in maps])


@contextmanager
def recorded(family: Family) -> Iterator[dict[str, Tensor | None]]:
    """Record every layer's activation of a call with gradients; weights are frozen.

    The activations are tensors of the graph, to be differentiated by directly: module backward
    hooks would clone them and refuse layers that return tuples.
    """
    activations: dict[str, Tensor | None] = {}

    def keep(name: str):
        def hook(_module, _inputs, output):
            output = family.activation(output)
            if output.requires_grad:  # calls without gradients give targets, not maps
                activations[name] = output

        return hook

    with ExitStack() as stack:
        stack.enter_context(frozen(family.network))
        stack.enter_context(torch.enable_grad())
        for name, layer in family.layers().items():
            activations[name] = None
            stack.callback(layer.register_forward_hook(keep(name)).remove)
        yield activations


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Switch off the gradients of all weights: only those of activations are wanted."""
    weights = [weight for module in modules for weight in module.parameters()]
    states = [weight.requires_grad for weight in weights]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight, state in zip(weights, states, strict=True):
            weight.requires_grad_(state)


def gradients_of(y: Tensor, activations: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    """dY/dA of every recorded layer in one backward pass; None where Y does not depend on it."""
    used = [name for name, activation in activations.items() if activation is not None]
    result: dict[str, Tensor | None] = dict.fromkeys(activations)
    if used:
        tensors = [activations[name] for name in used]
        gradients = torch.autograd.grad(y, tensors, retain_graph=True, allow_unused=True)
        result.update(zip(used, gradients, strict=True))
    return result


@torch.no_grad()
def class_activation(
    family: Family,
    activations: dict[str, Tensor | None],
    gradients: dict[str, Tensor | None],
    size: tuple[int, int],
    guidance: float | None,
) -> np.ndarray:
    """Maps (layer, h, w) float32 from A and dY/dA of each layer, NaN where constant.

    With ``guidance`` the halves [u, c] of both are mixed as u + w (c - u) first; without it the
    maps of all rows are added before the ReLU.
    """
    maps = []
    for name, activation in activations.items():
        gradient = gradients[name]
        if gradient is None:
            maps.append(np.full(size, np.nan, dtype=np.float32))
            continue
        a, g = (family.feature_map(x, size).float() for x in (activation, gradient))
        if guidance is not None and len(a) == 2:
            a, g = ((x[0] + guidance * (x[1] - x[0]))[None] for x in (a, g))
        map_ = (g.mean((2, 3), keepdim=True) * a).sum((0, 1)).relu()
        map_ = F.interpolate(map_[None, None], size=size, mode="bilinear")[0, 0].cpu().numpy()
        span = map_.max() - map_.min()
        maps.append((map_ - map_.min()) / span if span > 0 else np.full(size, np.nan, np.float32))
    return np.stack(maps)


def named(maps: np.ndarray, activations: dict, step: Step) -> np.ndarray:
    """The maps unchanged; says in the log which layers have nothing to show."""
    empty = [name for name, map_ in zip(activations, maps, strict=True) if np.isnan(map_).any()]
    if empty:
        place = f"{step.prompt_id}, seed {step.seed}, step {step.number}"
        log.info("%s: %d layers left out: %s", place, len(empty), ", ".join(empty))
    return maps
