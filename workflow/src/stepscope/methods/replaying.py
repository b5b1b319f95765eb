"""The denoiser of a job: the model that replays a trace, or the Gaussian null in its place."""

from typing import TYPE_CHECKING, Any

import xarray as xr

from stepscope import collector
from stepscope.store.moments import read_moments
from stepscope.store.traces import replay_settings

if TYPE_CHECKING:
    from stepscope.diffusion.denoiser import Denoiser


@collector.paused()
def replaying(
    model: dict[str, Any],
    tree: xr.DataTree,
    moments: str | None = None,
    clip: dict[str, Any] | None = None,
) -> "Denoiser":
    """The denoiser that replays a trace, with the model loaded, and the CLIP that judges pictures.

    With `moments`, the file of the sampling's, it is the Gaussian null with the model's scheduler.
    Its libraries are imported here, since a method that only reads the trace needs none of them.
    """
    from stepscope.diffusion.denoiser import Denoiser
    from stepscope.models import judges, pipelines

    judge = judges.clip_features(judges.load_clip(clip)[0]) if clip else None
    denoiser = Denoiser(pipelines.load(model), judge=judge, **replay_settings(tree))
    if moments is None:
        return denoiser
    from stepscope.diffusion.nulls import GaussianNull

    return GaussianNull(denoiser, *read_moments(moments))
