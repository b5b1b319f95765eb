"""Memory and time of relevance at the geometry of Stable Diffusion 1 (4,096 image tokens).

Prints the peak of the process's memory, which is to stay below 6 GB, and CPU seconds of one step,
in float32 or the dtype that is named: `bench_relevance.py bfloat16`. Weights are random.
"""

import re
import sys
import time
from pathlib import Path

import torch
from bench_sd1 import GUIDANCE, PROMPT, build

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods.relevance import relevance

DTYPE, STATUS = sys.argv[1] if len(sys.argv) > 1 else "float32", Path("/proc/self/status")


def gigabytes(key: str) -> float:
    """What the kernel says of this process's memory."""
    return int(re.search(rf"^{key}:\s+(\d+) kB", STATUS.read_text(), re.M)[1]) / 2**20


def main() -> None:
    """Relevance of one step from noise."""
    dtype = getattr(torch, DTYPE)
    pipeline = build().to(dtype)
    sampling = {"kind": "uniform", "steps": 20}
    denoiser = Denoiser(pipeline, sampling=sampling, guidance=GUIDANCE)
    halves = [denoiser.encode(text)["prompt_embeds"] for text in ("", PROMPT)]
    latent = torch.randn(4, 64, 64, generator=torch.Generator().manual_seed(0), dtype=dtype)
    step = Step(
        number=1,
        timestep=float(denoiser._scheduler.timesteps[0]),
        log_snr=denoiser.log_snr(1),
        latent=latent,
        after=latent,
        outputs=torch.stack([latent, latent]),
        denoised=latent,
        conditioning={"prompt_embeds": torch.stack(halves)},
        words=denoiser.family.reading(PROMPT).words,
        prompt=PROMPT,
        negative_prompt="",
        prompt_id="bench",
        seed=0,
    )
    print(f"{DTYPE}: {gigabytes('VmRSS'):.2f} GB before", flush=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    start, cpu = time.perf_counter(), time.process_time()
    maps = relevance(denoiser, step)
    seconds, busy = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"relevance of {len(maps)} words, {maps.shape[-2]} x {maps.shape[-1]}: peak "
        f"{gigabytes('VmHWM'):.2f} GB, {busy:.0f} CPU s, {seconds:.0f} s, on "
        f"{torch.get_num_threads()} thread(s)"
    )


if __name__ == "__main__":
    main()
