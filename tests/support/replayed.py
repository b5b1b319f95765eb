"""Steps of tiny pipelines, and planted denoisers that the package has no use for."""

from functools import cache

import numpy as np
import torch
from scipy.stats import rankdata

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.planted import Wrapped
from stepscope.tracing.call import trace_prompts
from stepscope.tracing.trace import steps_of
from support import tiny

SAMPLING = {"kind": "uniform", "steps": 4}
SCHEDULER = {"name": "dpmsolver++", "order": 1}


@cache
def replay(kind="tiny_sd1", prompt="a red cat above the dog", guidance=4.0, negative=""):
    """A denoiser and the four steps of one sample of a tiny pipeline."""
    pipeline = getattr(tiny, kind)()
    trace = trace_prompts(
        pipeline,
        [prompt],
        [0],
        sampling=SAMPLING,
        guidance=guidance,
        negative_prompt=negative,
        height=None,
        width=None,
        scheduler=SCHEDULER,
        roles=[{}],
    )
    denoiser = Denoiser(pipeline, sampling=SAMPLING, scheduler=SCHEDULER, guidance=guidance)
    return denoiser, steps_of(trace, 0, prompt_id="tiny")


class SeesOnly(Wrapped):
    """The real model, blind to the latent outside a region (h, w)."""

    def __init__(self, denoiser, region):
        super().__init__(denoiser)
        self.region = region

    def outputs(self, latents, step, conditioning=None, **options):
        return self.inner.outputs(latents * self.region, step, conditioning, **options)


def corner():
    """A region (16, 16): the lower left quarter."""
    region = torch.zeros(16, 16)
    region[8:, :8] = 1
    return region


def auroc(map_, region):
    """Chance that a pixel of the region outranks one outside it."""
    ranks, inside = rankdata(np.asarray(map_).ravel()), np.asarray(region).ravel() > 0
    n, m = inside.sum(), (~inside).sum()
    return (ranks[inside].sum() - n * (n + 1) / 2) / (n * m)
