"""The decode job: pictures of the clean predictions at every step, from the stored trace."""

from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.joblog import bar
from stepscope.models import pipelines
from stepscope.store.maps import write_previews
from stepscope.store.traces import (
    is_guided,
    open_trace,
    read_steps,
    replay_settings,
    sample_and_step_counts,
)

PREDICTIONS = ("e_u", "e_c", "guided")
TOGETHER = 20  # pictures decoded at once; a fixed number, so that a rerun gives the same bits


@torch.inference_mode()
def decode(path: str, *, traces: str, model: dict[str, Any], side: int) -> None:
    """Write the previews of a trace store: what x0(e_u), x0(e_c) and x0(guided) look like.

    preview (sample, step, prediction, y, x, rgb) u1, at most `side` pixels high and wide; image
    (sample, y, x, rgb) u1 at full size from the last latent. Without guidance, e_u is missing:
    its pictures are black and the attribute `missing` says so.
    """
    tree = open_trace(traces)
    denoiser = Denoiser(pipelines.load(model), **replay_settings(tree))
    samples, _ = sample_and_step_counts(tree)
    previews, images = [], []
    for sample in bar(range(samples), "samples decoded", samples):
        steps = read_steps(tree, sample)
        clean = torch.stack([predictions(denoiser, step) for step in steps])  # (N, 3, C, h, w)
        previews.append(pictures_of(denoiser, clean.flatten(0, 1), side).reshape(len(steps), 3, -1))
        images.append(pictures_of(denoiser, steps[-1].after[None], None)[0])
    image = np.stack(images)
    _, full_height, full_width, _ = image.shape
    height, width = _limited(full_height, full_width, side)
    preview = np.stack(previews).reshape(len(previews), len(steps), 3, height, width, 3)
    attrs = {
        "forward_limit": denoiser.fitting_pictures.limit,
        "missing": [] if is_guided(tree) else ["e_u"],
    }
    write_previews(path, preview, image, PREDICTIONS, tree, attrs)


def predictions(denoiser: Denoiser, step: Step) -> torch.Tensor:
    """Clean latents (3, C, h, w) by the unconditional, the conditional and the guided output."""
    outputs = step.outputs[None].to(denoiser.device).float()
    return torch.cat(
        [
            denoiser.clean(step.latent[None].to(output.device), output, step)
            for output in (outputs[:, 0], outputs[:, 1], denoiser.guided(outputs))
        ]
    )


def pictures_of(denoiser: Denoiser, latents: torch.Tensor, side: int | None) -> np.ndarray:
    """Pictures (B, y, x, rgb) u1 of latents (B, C, h, w), reduced by area to `side` pixels."""
    latents = torch.nan_to_num(latents.to(denoiser.device))
    pictures = []
    for batch in latents.split(TOGETHER):
        decoded = denoiser.decode(batch)
        if side is not None:
            height, width = decoded.shape[-2:]
            decoded = interpolate(decoded, _limited(height, width, side), mode="area")
        pictures.append((decoded.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu())
    return torch.cat(pictures).numpy()


def _limited(height: int, width: int, side: int) -> tuple[int, int]:
    """Size of a picture that fits a square of `side` pixels; never enlarged."""
    scale = min(1, side / max(height, width))
    return round(height * scale), round(width * scale)
