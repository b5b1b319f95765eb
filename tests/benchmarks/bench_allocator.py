"""CPU seconds and memory with the pages of large buffers kept, against glibc as it comes.

What was set cannot be unset, so that each setting has processes of its own, in turn.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

REPEATS = 5


def work() -> dict[str, float]:
    """CPU seconds of each kind of work after one warm-up, and the peak of memory in bytes."""
    import torch
    from torch import Tensor

    from stepscope.models import autoencoder
    from support import timing

    torch.set_num_threads(1)
    pipeline = timing.load()
    unet, size = pipeline.unet, pipeline.unet.config.sample_size
    width, channels = unet.config.cross_attention_dim, unet.config.in_channels

    def call(batch: int) -> Tensor:
        latents, words = torch.zeros(batch, channels, size, size), torch.zeros(batch, 16, width)
        return unet(latents, torch.full((batch,), 500), encoder_hidden_states=words).sample

    def forward(batch: int) -> None:
        with torch.inference_mode():
            call(batch)

    def decode() -> None:
        with torch.inference_mode():
            autoencoder.decode(pipeline, torch.zeros(16, channels, size, size))

    kinds = {f"U-Net, {batch} rows": (lambda b=batch: forward(b)) for batch in (2, 8, 32, 100)}
    kinds |= {"decoding, 16": decode, "training, 32 rows": lambda: call(32).sum().backward()}
    unet.requires_grad_()
    seconds = {}
    for name, function in kinds.items():
        function()
        start = time.process_time()
        for _ in range(3):
            function()
        seconds[name] = time.process_time() - start
    return seconds | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}


def in_a_process(kept: bool) -> dict[str, float]:
    """What `work` says in a process of its own."""
    command = [sys.executable, __file__, "--work", *(["--kept"] if kept else [])]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def main() -> None:
    """Print the ratio of each kind of work."""
    runs = [(in_a_process(kept=False), in_a_process(kept=True)) for _ in range(REPEATS)]
    for name in runs[0][0]:
        before, after = (statistics.median(run[kept][name] for run in runs) for kept in (0, 1))
        value = f"{before / 1e9:.2f} GB" if name == "memory" else f"{before:.2f} CPU s"
        print(f"{name}: {value}, with kept pages {after / before:.2f} of it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", action="store_true")
    parser.add_argument("--kept", action="store_true")
    arguments = parser.parse_args()
    if not arguments.work:
        main()
    else:
        if arguments.kept:
            from stepscope import allocator

            allocator.keep_pages()
        print(json.dumps(work()))
