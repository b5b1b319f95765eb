"""Forward batches that fit into memory: chosen from what is free, halved where one did not fit."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import psutil
import torch

from stepscope import allocator
from stepscope.joblog import is_out_of_memory

SHARE = 0.8  # of the free memory that is planned with: what is measured varies with the sizes
MOST = 64  # samples together; more are no faster, and a killed job loses them


class Fitting:
    """Runs a function on lists, in smaller pieces from the first list that did not fit."""

    def __init__(self) -> None:
        """No limit is known yet."""
        self.limit: int | None = None

    def run(self, function: Callable[[Any], Any], items: Any) -> list[Any]:
        """Results of `function` on consecutive pieces of `items`, usually one.

        What did not fit is halved and tried again; finished pieces are kept.
        """
        results, start = [], 0
        while start < len(items):
            piece = items[start : start + (self.limit or len(items))]
            fits, result = _attempt(function, piece)
            if fits:
                results.append(result)
                start += len(piece)
                continue
            if len(piece) == 1:
                raise ValueError(
                    "memory: not even one sample of a forward batch fits: set a smaller "
                    "height and width, dtype float16, attention_slicing, vae_slicing or offload."
                )
            self.limit = (len(piece) + 1) // 2
            print(f"{len(piece)} do not fit into memory: {self.limit} at once.", flush=True)
        return results


def _attempt(function: Callable[[Any], Any], items: Any) -> tuple[bool, Any]:
    try:
        return True, function(items)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # only here, when the exception is gone, is nothing left that holds the tensors
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False, None


def free(device: torch.device) -> int:
    """Bytes that may still be allocated on a device."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return psutil.virtual_memory().available


def fitting_size(
    run_one: Callable[[], object],
    device: torch.device,
    key: str = "storage/forward_batch",
    what: str = "sample",
) -> int:
    """How many samples fit together, from the peak of running one of them; at most 64.

    `key` and `what` are the config's key and the thing that it counts, for the log.
    """
    available = free(device)
    with Peak(device) as peak:
        Fitting().run(lambda _: run_one(), [None])
    size = max(1, min(MOST, int(SHARE * available / max(1, peak.bytes))))
    print(
        f"{key}: auto is {size}, as a {what} takes {peak.bytes / 1e9:.2f} GB "
        f"of {available / 1e9:.1f} GB that are free.",
        flush=True,
    )
    return size


class Peak:
    """Bytes that the block allocated at its peak, beyond what was there before.

    On a GPU the allocator counts them; elsewhere a thread looks at the process every 5 ms.
    """

    def __init__(self, device: torch.device) -> None:
        """`bytes` is known when the block has ended."""
        self.device = device
        self.bytes = 0

    def __enter__(self) -> "Peak":
        """Remember what is there."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
            return self
        gc.collect()
        allocator.release_pages()  # pages kept for reuse would hide what is allocated now
        self._process, self._done = psutil.Process(), threading.Event()
        self._before = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.bytes = max(self.bytes, self._process.memory_info().rss - self._before)

    def __exit__(self, *_: object) -> None:
        """Take the peak."""
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
            return
        self._done.set()
        self._thread.join()
