"""Tracing at the geometry of Stable Diffusion 1 (512 px, float32, random weights).

Prints tracing against the plain call (to cost at most 1.02 times that), the size of a trace against
its estimate (within 10 %), memory, and the seconds of a guided call and of a decoded picture;
`--save` writes them to the file that `snakemake estimate` reads for models that are not at hand.
Minutes on one thread.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel

from stepscope.estimate import trace_size
from stepscope.estimate.measure import SHIPPED
from stepscope.estimate.timings import decoding_seconds
from stepscope.models import devices, memory, pipelines
from stepscope.store import parts
from stepscope.tracing.call import trace, trace_prompts
from stepscope.tracing.generate import sample_attributes, stored_arrays
from stepscope.tracing.trace import Trace
from support import tiny

PROMPT = "a cat on a red car with a dog and a bird"  # ten words; the tiny tokenizer knows them
SEED, STEPS, REPEATS, GUIDANCE, RATIO = 0, 2, 3, 7.5, 1.02


def build() -> StableDiffusionPipeline:
    """CompVis/stable-diffusion-v1-4 with random weights and the tests' tokenizer."""
    torch.manual_seed(SEED)
    tokens = tiny.tokenizer()
    tokens.model_max_length = 77
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=77,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokens,
        unet=UNet2DConditionModel(
            sample_size=64,
            block_out_channels=(320, 640, 1280, 1280),
            layers_per_block=2,
            cross_attention_dim=768,
            attention_head_dim=8,
        ),
        scheduler=DPMSolverMultistepScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipelines.save_memory(pipeline, {})
    return pipeline


def call(pipeline: StableDiffusionPipeline) -> float:
    """Seconds of the denoising alone: decoding would hide what tracing costs."""
    start = time.perf_counter()
    pipeline(
        prompt=PROMPT,
        guidance_scale=GUIDANCE,
        num_inference_steps=STEPS,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="latent",
    )
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def traced(pipeline: StableDiffusionPipeline) -> tuple[float, Trace]:
    """The same with tracing, and the trace."""
    start = time.perf_counter()
    with trace(pipeline) as tracer:
        call(pipeline)
    result = tracer.result()
    return time.perf_counter() - start, result


def on_disk(trace: Trace) -> tuple[int, int]:
    """Bytes of a one-sample trace's arrays, and of the store that they make."""
    arrays = stored_arrays(trace, "float16")
    record = {"prompt": PROMPT, "prompt_id": "benchmark"}
    attributes = sample_attributes(trace, [(record, SEED)])
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "trace.zarr"
        made = arrays, attributes
        parts.write_in_parts(str(store), f"{folder}/partial", "key", ["0"], lambda _: made)
        stored = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    return sum(values.nbytes for name, values in arrays.items() if "/" in name), stored


def picture(pipeline: StableDiffusionPipeline) -> float:
    """One traced step of one sample, then its picture; seconds of the picture."""
    trace = trace_prompts(
        pipeline,
        [PROMPT],
        [SEED],
        sampling={"kind": "uniform", "steps": 1},
        guidance=GUIDANCE,
        negative_prompt="",
        height=None,
        width=None,
        scheduler={"name": "dpmsolver++", "order": 2},
        roles=[{}],
    )
    return decoding_seconds(pipeline, trace.latents[:, -1])


def rounded(rate: float) -> float:
    """A rate to three digits."""
    return float(np.format_float_positional(rate, precision=3, fractional=False))


def main() -> None:
    """Print the figures, and save them when asked to."""
    pipeline = build()
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    parameters = sum(weight.numel() for part in parts for weight in part.parameters())
    call(pipeline)  # the first call prepares what later ones use
    plain, with_trace = [], []
    for _ in range(REPEATS):
        plain.append(call(pipeline))
        seconds, trace = traced(pipeline)
        with_trace.append(seconds)
    ratio = statistics.median(with_trace) / statistics.median(plain)
    guided = statistics.median(plain) / STEPS
    print(f"tracing: {ratio:.3f} of the plain call (at most {RATIO:.2f})")
    print(
        f"a guided call: {guided:.2f} s plain, {statistics.median(with_trace) / STEPS:.2f} s traced"
    )

    expected = trace_size.trace_bytes(
        trace_size.stable_diffusion_1(),
        steps=STEPS,
        rows=trace_size.tokens(PROMPT),
        order=pipeline.scheduler.config.solver_order,
        dtype="float32",
        derived="float16",
    )
    size, stored = on_disk(trace)
    print(f"trace of {STEPS} steps: {size / expected:.3f} of the estimate (0.90 to 1.10), ", end="")
    print(f"{size / 1e6:.2f} MB, {stored / 1e6:.2f} MB on disk")

    device = devices.device()
    with memory.Peak(device) as peak:
        decoding = picture(pipeline)
    print(f"a decoded picture: {decoding:.2f} s")
    process = psutil.Process().memory_info().rss
    print(
        f"memory: {4 * parameters / 1e9:.2f} GB of weights, {peak.bytes / 1e9:.2f} GB a sample ",
        end="",
    )
    print(f"at its peak, {(process + peak.bytes) / 1e9:.2f} GB in all")
    if "--save" in sys.argv:
        threads = torch.get_num_threads()
        cpu = f"CPU with {threads} threads" if threads > 1 else "CPU with 1 thread"
        kind = "GPU" if device.type == "cuda" else cpu
        shipped = {
            "label": f"Stable Diffusion 1 at 512 px, float32, random weights, on a {kind}",
            "rate": rounded(1 / guided),
            "decoding": rounded(1 / decoding),
            "parameters": parameters,
            "sample": peak.bytes,
        }
        SHIPPED.write_text(json.dumps(shipped, indent=1) + "\n")


if __name__ == "__main__":
    main()
