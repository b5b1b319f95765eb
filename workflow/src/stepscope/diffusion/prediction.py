"""What a network's output says: guided output, noise and clean latent, on one scale.

Throughout, `z` is the latent as the network sees it: z = alpha x0 + sigma eps, and log-SNR =
2 log(alpha / sigma). Outputs are of the network's own type: epsilon, v_prediction or sample, for
which alpha^2 + sigma^2 = 1, or flow (eps - x0), for which alpha + sigma = 1.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from stepscope.diffusion.levels import PURE_NOISE, levels


def log_snr_of(sigma: float) -> float:
    """Log-SNR of a ratio sigma = noise / signal, the schedulers' own sigma; infinite at 0.

    An infinite ratio is PURE_NOISE.
    """
    if math.isinf(sigma):
        return PURE_NOISE
    return -2 * math.log(sigma) if sigma > 0 else math.inf


def check_guidance(guidance: float, rescale: float, where: str) -> None:
    """Refuse a guidance scale or rescaling that is no number; the ValueError begins with `where`.

    NaN would stand for no guidance without a word, since it is not greater than 1.
    """
    for name, value in (("guidance", guidance), ("guidance_rescale", rescale)):
        if not math.isfinite(value):
            raise ValueError(f"{where}: {name} is {value}, and must be a finite number.")


def guided(
    outputs: Float[Tensor, "batch 2 channel y x"], guidance: int | float, rescale: int | float = 0.0
) -> Float[Tensor, "batch channel y x"]:
    """Guided output e_u + w (e_c - e_u), rescaled as the library does (arXiv 2305.08891, 3.4).

    Without guidance (w <= 1) it is the output for the prompt. Where there is guidance and the
    unconditional half was not computed, all of it NaN, a ValueError says so.
    """
    uncond, cond = outputs.unbind(1)
    if guidance <= 1:
        return cond
    if uncond.isnan().all():
        raise ValueError(
            f"guidance: {guidance} mixes the outputs with and without the prompt, and there are "
            "only those with it; what was traced without guidance has guidance 1."
        )
    mixed = uncond + guidance * (cond - uncond)
    if rescale <= 0:
        return mixed
    # here, since it imports a pipeline, which may not be the model's
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    return rescale_noise_cfg(mixed, cond, guidance_rescale=rescale)


def wide(tensor: Tensor) -> Tensor:
    """A tensor in float32 at least: sums of halves do not bear half precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def clean(z: Tensor, output: Tensor, log_snr: float, prediction_type: str) -> Tensor:
    """Clean latent x0 that an output stands for; any leading axes."""
    alpha, sigma = levels(log_snr, prediction_type)
    match prediction_type:
        case "epsilon":
            return (z - sigma * output) / alpha
        case "v_prediction":
            return alpha * z - sigma * output
        case "sample":
            return output
        case "flow":
            return z - sigma * output
    raise ValueError(f"prediction_type: {prediction_type!r} is not supported.")


def noise(z: Tensor, output: Tensor, log_snr: float, prediction_type: str) -> Tensor:
    """Noise eps that an output stands for; any leading axes."""
    alpha, sigma = levels(log_snr, prediction_type)
    match prediction_type:
        case "epsilon":
            return output
        case "v_prediction":
            return alpha * output + sigma * z
        case "sample":
            return (z - alpha * output) / sigma
        case "flow":
            return z + alpha * output
    raise ValueError(f"prediction_type: {prediction_type!r} is not supported.")


def output_of(z: Tensor, eps: Tensor, log_snr: float, prediction_type: str) -> Tensor:
    """Output of a network of this type that predicts the noise `eps`; inverse of `noise`."""
    alpha, sigma = levels(log_snr, prediction_type)
    match prediction_type:
        case "epsilon":
            return eps
        case "v_prediction":
            return (eps - sigma * z) / alpha
        case "sample":
            return (z - sigma * eps) / alpha
        case "flow":
            return (eps - z) / alpha
    raise ValueError(f"prediction_type: {prediction_type!r} is not supported.")
