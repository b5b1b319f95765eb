"""Calls of real pipelines at tiny width, plain, traced and replayed: what the contracts compare."""

import functools
import sys
import tempfile
from pathlib import Path

import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.models import pipelines
from stepscope.models.families import registry
from stepscope.tracing.call import trace, trace_prompts
from support import tiny
from support.workflow import block

SHIPPED = Path(__file__).parents[2] / "resources" / "models" / "pipeline"
PROMPTS = ["a red cat on a zebra cat", "the ball"]
UNIFORM = {"kind": "uniform", "steps": 5}
ONE = {"prompt": PROMPTS[0]}
CASES = {
    "batch": {"prompt": PROMPTS},
    "several": {"prompt": PROMPTS, "num_images_per_prompt": 2},
    "unguided": {"prompt": PROMPTS, "guidance_scale": 1.0},
    "wide": {"prompt": PROMPTS, "height": 48, "width": 72},  # odd at the next level
    "negative": {"prompt": PROMPTS, "negative_prompt": ["a dog", "blue"]},
    "rescaled": {"prompt": PROMPTS, "guidance_rescale": 0.7},
}
UNETS = ["tiny_sd1", "tiny_sd2", "tiny_xl", *["shipped"] * SHIPPED.is_dir()]
PIPELINES = [*UNETS, "tiny_pixart", "tiny_sd3", "tiny_alpha"]  # the last by a family of one's own
RUNS = [(name, case) for name in PIPELINES for case in CASES if case != "rescaled" or name in UNETS]


@functools.cache
def loaded(name):
    if name == "shipped":
        return pipelines.load({"folder": str(SHIPPED)})
    if name == "tiny_alpha":  # as config/README.md says
        folder = tempfile.mkdtemp()
        Path(folder, "my_family.py").write_text(block("python", "my_family.py", "config/README.md"))
        sys.path.append(folder)
        registry.add("my_family:Alpha")
    return getattr(tiny, name)()


def call(pipeline, **options):
    """Pictures of a pipeline call with three steps, one seeded generator a picture."""
    prompt = options["prompt"]
    count = 1 if isinstance(prompt, str) else len(prompt)
    count *= options.get("num_images_per_prompt", 1)
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    settings = {"num_inference_steps": 3, "guidance_scale": 4.0, "output_type": "np"}
    settings |= registry.family_of(pipeline).options | options
    return pipeline(generator=generators, **settings).images


def traced(pipeline, **options):
    with trace(pipeline) as tracer:
        pictures = call(pipeline, **options)
    return pictures, tracer.result()


def replaying(pipeline, found, **options):
    sampling = {"kind": "uniform", "steps": len(found.timesteps)}
    return Denoiser(
        pipeline,
        sampling=sampling,
        guidance=found.guidance,
        guidance_rescale=found.guidance_rescale,
        **options,
    )


def generated(
    pipeline, sampling, prompts=PROMPTS, seeds=(5, 6), guidance=4.0, height=None, width=None
):
    return trace_prompts(
        pipeline,
        list(prompts),
        list(seeds),
        sampling=sampling,
        guidance=guidance,
        negative_prompt="",
        height=height,
        width=width,
        scheduler={"name": "euler"}
        if registry.family_of(pipeline).schedule == "sigmas"
        else {"name": "dpmsolver++", "order": 1},
        roles=[{"subject": "cat"}, {"object": "ball"}][: len(prompts)],
    )


def hooks(pipeline):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in registry.family_of(pipeline).network.modules()
    )


def cross_attention(pipeline):
    """Names of the processors whose attention is given the text in an untraced call."""
    names, added = set(), []

    def called(name, module, args, kwargs):
        if kwargs.get("encoder_hidden_states") is not None:
            names.add(f"{name}.processor")

    for name, module in registry.family_of(pipeline).network.named_modules():
        if type(module).__name__ == "Attention":
            hook = functools.partial(called, name)
            added.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    call(pipeline, **ONE, num_inference_steps=2)
    for hook in added:
        hook.remove()
    return names


def rows(latent, count, index):
    """A batch that has ``latent`` at ``index`` and something else around it."""
    batch = torch.randn(count, *latent.shape, generator=torch.Generator().manual_seed(0))
    batch[index] = latent
    return batch
