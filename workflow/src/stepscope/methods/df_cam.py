"""DF-CAM: which regions of each layer raise a target, for all layers with one backward pass."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.differences import added_by_words, latents_of, unconditional
from stepscope.methods.gradients import frozen
from stepscope.methods.method import Layers, method
from stepscope.methods.scaling import minmax
from stepscope.models.families.base import Family

Target = Literal["prompt", "region", "norm", "raw_sum"]
TARGETS = get_args(Target)
log = logging.getLogger(__name__)


@method(
    calls=lambda words, p: {"norm": 3, "raw_sum": 3}.get(p["target"], 2),
    target="what the prompt adds at this step (or the target parameter)",
    features="activations of the network's layers, weighted by their mean gradients",
    held_fixed="time step, latent, conditioning; e_u and the difference itself",
    halves={"target": ("prompt", "region", "raw_sum")},
    together=True,
)
def df_cam(denoiser: Denoiser, steps: Sequence[Step], *, target: Target = "prompt") -> list[Layers]:
    """Maps (layer, h, w) in [0, 1]: ReLU(sum_k alpha_k A_k), bilinear to the latent grid, min-max.

    alpha_k is the spatial mean of dY/dA_k. `target` Y: "prompt" <stopgrad(e_c - e_u), e_c>;
    "region" the same inside the objects; "norm" the squared norm of the guided output; "raw_sum"
    the sum of both raw halves, the authors' choice. Guidance mixes the halves of A and of dY/dA
    only for the raw sum: gradients of a guided target hold the guidance already. A layer whose map
    is constant is reported and NaN. A target of another name, or one that a step cannot have, is
    a ValueError.
    """
    y_of = target_of(denoiser, steps, target)
    with recorded(denoiser.family) as activations:
        latents = latents_of(denoiser, steps).requires_grad_()
        gradients = gradients_of(y_of(latents), activations)
    guidance = denoiser.guidance if target == "raw_sum" else None
    height, width = latents.shape[-2:]
    maps = class_activation(
        denoiser.family, activations, gradients, (height, width), guidance, len(steps)
    )
    layers = [Layers(tuple(activations), maps_of_step) for maps_of_step in maps]
    for of_step, step in zip(layers, steps, strict=True):
        report_empty(of_step, step)
    return layers


def target_of(denoiser: Denoiser, steps: Sequence[Step], target: str) -> Callable[[Tensor], Tensor]:
    """A function of latents (step, C, h, w) that gives the sum of the steps' targets Y.

    e_u is computed here, once and without gradients. A target of another name is a ValueError, and
    so is "region" without object masks or "prompt" without guidance.
    """
    if target not in TARGETS:
        raise ValueError(f"target: {target!r} is none of {', '.join(TARGETS)}.")
    if target == "raw_sum":
        return lambda latents: denoiser.outputs(latents, steps).float().sum()
    if target == "norm":
        return lambda latents: (
            denoiser.guided(denoiser.outputs(latents, steps).float()) ** 2
        ).sum()
    region: Tensor | float = 1.0
    if target == "region":
        region = torch.stack([object_mask(step) for step in steps])[:, None].to(denoiser.device)
    e_u = unconditional(denoiser, steps)

    def y_of(latents: Tensor) -> Tensor:
        e_c = denoiser.conditional(latents, steps).float()
        return ((e_c.detach() - e_u) * region * e_c).sum()

    return y_of


def object_mask(step: Step) -> Tensor:
    """The objects' share of each cell (h, w); ValueError for a step without."""
    if step.mask is None:
        raise ValueError(f"target: region needs object masks, and {step.prompt_id} has none.")
    return step.mask


@method(
    calls=lambda words, p: 1 + 1.5 * words,
    target="what each word adds at this step",
    features="activations of the network's layers, weighted by their mean gradients",
    held_fixed="time step, latent, conditioning; the difference a word makes",
    together=True,
)
def df_cam_word(denoiser: Denoiser, steps: Sequence[Step]) -> list[np.ndarray]:
    """Maps (word, h, w): the DF-CAM layers, each in [0, 1], summed; one backward pass a word.

    The target of a word is <stopgrad(e_c - e_c without the word), e_c>.
    """
    # (word, step, C, h, w): zeros where a prompt has fewer words than another
    weights = pad_sequence(added_by_words(denoiser, steps))
    with recorded(denoiser.family) as activations:
        latents = latents_of(denoiser, steps).requires_grad_()
        output = denoiser.conditional(latents, steps).float()
        height, width = latents.shape[-2:]
        maps = [  # (step, layer, h, w) of each word
            class_activation(
                denoiser.family,
                activations,
                gradients_of((of_word * output).sum(), activations),
                (height, width),
                None,
                len(steps),
            )
            for of_word in weights
        ]
    by_step = np.nansum(maps, axis=2).swapaxes(0, 1)
    return [of_words[: len(step.words)] for of_words, step in zip(by_step, steps, strict=True)]


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
