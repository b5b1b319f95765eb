"""Integrated gradients, and gradient times input, of a step as a function of its latent."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.differences import added, latents_of
from stepscope.methods.gradients import frozen
from stepscope.methods.method import method

Target = Literal["prompt", "norm"]


@method(
    calls=lambda words, p: 3 * p["points"] if p["target"] == "norm" else 1 + 1.5 * p["points"],
    target="what the prompt adds at this step (or the target parameter)",
    features="latent pixels, summed over channels, from a latent of 0",
    held_fixed="time step, conditioning; the difference that the prompt makes",
    halves={"target": ("prompt",)},
    together=True,
)
def integrated_gradients(
    denoiser: Denoiser,
    steps: Sequence[Step],
    *,
    points: Annotated[int, {"minimum": 1}] = 16,
    target: Target = "prompt",
) -> list[np.ndarray]:
    """Maps (h, w) float32: latent times the mean gradient of Y on the way to it from 0.

    Sundararajan et al. (2017); the integral by Gauss and Legendre with so many `points`, denser
    towards 0, where networks that normalise their features change fastest. A map sums to
    Y(latent) - Y(0) (completeness). `target` Y: "prompt" <e_c - e_u, e_c>, the difference
    being that at the step's own latent throughout; "norm" the squared norm of the guided output. A
    target of another name, "prompt" without guidance and no points are ValueErrors.
    """
    if points < 1:
        raise ValueError(f"points: {points}: an integral needs at least 1.")
    y_of = target_of(denoiser, steps, target)
    nodes, weights = np.polynomial.legendre.leggauss(points)
    cube_roots = (nodes + 1) / 2
    return _attributed(denoiser, steps, y_of, cube_roots**3, weights / 2 * 3 * cube_roots**2)


@method(
    calls=lambda words, p: 3 if p["target"] == "norm" else 2.5,
    target="what the prompt adds at this step (or the target parameter)",
    features="latent pixels, summed over channels",
    held_fixed="time step, conditioning; the difference that the prompt makes",
    halves={"target": ("prompt",)},
    together=True,
)
def gradient_times_input(
    denoiser: Denoiser, steps: Sequence[Step], *, target: Target = "prompt"
) -> list[np.ndarray]:
    """Maps (h, w) float32: latent times the gradient of Y there, summed over channels.

    `target` Y as of `integrated_gradients`, and so are the errors.
    """
    y_of = target_of(denoiser, steps, target)
    return _attributed(denoiser, steps, y_of, np.ones(1), np.ones(1))


def _attributed(
    denoiser: Denoiser,
    steps: Sequence[Step],
    y_of: Callable[[Tensor], Tensor],
    places: np.ndarray,
    weights: np.ndarray,
) -> list[np.ndarray]:
    """Latent times the weighted sum of gradients at `places`, shares of the latent, by step."""
    latents = latents_of(denoiser, steps)
    total = torch.zeros_like(latents, dtype=torch.float64)
    with frozen(denoiser.network), torch.enable_grad():
        for place, weight in zip(places, weights, strict=True):
            here = (latents * float(place)).requires_grad_()
            (gradient,) = torch.autograd.grad(y_of(here), here)
            total += weight * gradient.double()
    return list((latents.double() * total).sum(1).float().cpu().numpy())


def target_of(denoiser: Denoiser, steps: Sequence[Step], target: str) -> Callable[[Tensor], Tensor]:
    """A function of latents (step, C, h, w) that gives the sum of the steps' targets Y.

    What the prompt adds is computed here, once and without gradients.
    """
    if target not in get_args(Target):
        raise ValueError(f"target: {target!r} is none of {', '.join(get_args(Target))}.")
    if target == "norm":
        return lambda latents: (
            denoiser.guided(denoiser.outputs(latents, steps).float()) ** 2
        ).sum()
    with torch.no_grad():
        outputs = denoiser.outputs(latents_of(denoiser, steps), steps).float()
    difference = added(*outputs.unbind(1))
    return lambda latents: (difference * denoiser.conditional(latents, steps).float()).sum()
