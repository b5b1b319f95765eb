"""What of a step's prediction two latents are compared by."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.differences import added

Quantity = Literal["noise", "clean", "next", "prompt"]
Quantities: TypeAlias = Callable[[str], Tensor]  # each quantity (B, C, h, w) float32 by its name


def predictions(denoiser: Denoiser, latents: Tensor, step: Step) -> Quantities:
    """One denoiser call; a function that gives each quantity (B, C, h, w) float32 by its name.

    Beside these, "shown" is the clean latent that the output leaves of the step's own latent,
    whatever was done to `latents`.
    """
    outputs = denoiser.outputs(latents, step)
    guided = denoiser.guided(outputs.float())

    def quantity(name: str) -> Tensor:
        if name == "noise":
            return denoiser.noise(latents, guided, step)
        if name == "shown":  # the latent is not masked in it
            return denoiser.clean(step.latent[None], guided, step)
        if name == "clean":
            return denoiser.clean(latents, guided, step)
        if name == "next":  # in the model's own numbers, as the sampler made it
            return denoiser.advance(latents, denoiser.guided(outputs), step).float()
        return added(*(denoiser.noise(latents, half, step) for half in outputs.unbind(1)))

    return quantity
