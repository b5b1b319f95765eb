"""The device that a job computes on: a GPU of its own, where there is one."""

import fcntl
import functools
import os
import tempfile
import time
from pathlib import Path
from typing import IO

import torch

_claimed: list[IO] = []  # lock files of the GPUs this process holds; closing one would let it go


@functools.cache
def device() -> torch.device:
    """The accelerator at hand (a GPU of one's own, mps) or the CPU."""
    if torch.cuda.is_available():
        index = _claim_gpu()
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _claim_gpu() -> int:
    """Index of a GPU that no other job holds; waits while all are taken.

    A workflow engine counts GPUs but assigns none, and a flag can undo its count.
    """
    waiting = False
    while True:
        for index in range(torch.cuda.device_count()):
            name = f"stepscope-{os.getuid()}-{torch.cuda.get_device_properties(index).uuid}.lock"
            lock = (Path(tempfile.gettempdir()) / name).open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
            else:
                _claimed.append(lock)
                return index
        if not waiting:
            print("Every GPU is in use by another job of this workflow: waiting.", flush=True)
        waiting = True
        time.sleep(1)
