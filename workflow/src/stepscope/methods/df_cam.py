"""DF-CAM: which regions of each layer raise a target, for all layers with one backward pass."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.activations import (
    class_activation,
    gradients_of,
    recorded,
    report_empty,
    weighed,
)
from stepscope.methods.attention_gradients import Attended, image_attention
from stepscope.methods.differences import added_by_words, latents_of, unconditional
from stepscope.methods.method import Layers, method
from stepscope.methods.relevance import selection
from stepscope.models.families.base import Family

Target = Literal["prompt", "region", "norm", "raw_sum"]
TARGETS = get_args(Target)
WordTarget = Literal["difference", "attention"]


@method(
    calls=lambda words, p: {"norm": 3, "raw_sum": 3}.get(p["target"], 2),
    target="what the prompt adds at this step (or the target parameter)",
    features="activations of the network's layers, weighted by their mean gradients",
    held_fixed="time step, latent, conditioning; e_u and the difference itself",
    halves={"target": ("prompt", "region", "raw_sum")},
    together=True,
)
def df_cam(
    denoiser: Denoiser,
    steps: Sequence[Step],
    *,
    target: Target = "prompt",
    layers: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
) -> list[Layers]:
    """Maps (layer, h, w) in [0, 1]: ReLU(sum_k alpha_k A_k), bilinear to the latent grid, min-max.

    alpha_k is the spatial mean of dY/dA_k. `target` Y: "prompt" <stopgrad(e_c - e_u), e_c>;
    "region" the same inside the objects; "norm" the squared norm of the guided output; "raw_sum"
    the sum of both raw halves, the authors' choice. Guidance mixes the halves of A and of dY/dA
    only for the raw sum: gradients of a guided target hold the guidance already. `layers` are names
    or groups (see `chosen_layers`), `weights` one factor for the maps of each, which counts where
    layers are summed. A layer whose map is constant is reported and NaN. A target of another name,
    one that a step cannot have, a layer that does not exist and weights that are not one for each
    of `layers` are a ValueError.
    """
    y_of = target_of(denoiser, steps, target)
    factors = weighed(denoiser.family, layers, weights)
    with recorded(denoiser.family, factors) as activations:
        latents = latents_of(denoiser, steps)
        gradients = gradients_of(y_of(latents), activations)
    guidance = denoiser.guidance if target == "raw_sum" else None
    height, width = latents.shape[-2:]
    maps = class_activation(
        denoiser.family, activations, gradients, (height, width), guidance, len(steps)
    )
    maps = maps * np.array([*factors.values()], dtype=np.float32)[:, None, None]
    found = [Layers(tuple(activations), maps_of_step) for maps_of_step in maps]
    for of_step, step in zip(found, steps, strict=True):
        report_empty(of_step, step)
    return found


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
    target="what each word adds at this step (or the target parameter)",
    features="activations of the network's layers, weighted by their mean gradients",
    held_fixed="time step, latent, conditioning; the difference a word makes",
    together=True,
)
def df_cam_word(
    denoiser: Denoiser,
    steps: Sequence[Step],
    *,
    target: WordTarget = "difference",
    layers: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
) -> list[np.ndarray]:
    """Maps (word, h, w): the DF-CAM layers, each in [0, 1], summed; one backward pass a word.

    The target of a word is <stopgrad(e_c - e_c without the word), e_c>, or its "attention", the
    probability that all queries of all cross-attention pay to it, averaged over heads. `layers` and
    `weights` as of `df_cam`. (One batched pass of all words takes 1.15 times as long on a CPU.)
    """
    family = denoiser.family
    factors = weighed(family, layers, weights)
    with ExitStack() as stack:
        if target == "difference":
            # (word, step, C, h, w): zeros where a prompt has fewer words than another
            added = pad_sequence(added_by_words(denoiser, steps))
        else:
            record = stack.enter_context(image_attention(family))
        activations = stack.enter_context(recorded(family, factors))
        latents = latents_of(denoiser, steps)
        output = denoiser.conditional(latents, steps).float()
        if target == "difference":
            targets: Iterable[Tensor] = ((of_word * output).sum() for of_word in added)
        else:
            targets = attended(family, steps, record.calls)
        height, width = latents.shape[-2:]
        maps = [  # (step, layer, h, w) of each word
            class_activation(
                family, activations, gradients_of(y, activations), (height, width), None, len(steps)
            )
            for y in targets
        ]
    scale = np.array([*factors.values()], dtype=np.float32)[:, None, None]
    by_step = np.nansum(np.stack(maps) * scale, axis=2).swapaxes(0, 1)
    return [of_words[: len(step.words)] for of_words, step in zip(by_step, steps, strict=True)]


def attended(family: Family, steps: Sequence[Step], calls: Sequence[Attended]) -> Iterator[Tensor]:
    """The attention that the steps' words get in all calls that read the text, word by word."""
    keys = selection(family, steps)  # (step, T, word)
    reading = [call for call in calls if call.reads_text]
    for word in range(keys.shape[-1]):
        mass = torch.zeros(())
        for call in reading:
            probabilities = call.probabilities()[..., -keys.shape[1] :].mean(1)
            of_word = probabilities @ keys[..., word, None].to(probabilities)
            mass = mass.to(of_word) + of_word.sum()
        yield mass
