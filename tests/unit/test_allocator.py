"""Large buffers that are freed and taken again: their pages are kept, and given back on demand."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stepscope import allocator

PROGRAM = """
import resource, sys
import numpy as np
{first}

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(10_000_000)  # 80 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(min(faults() for _ in range(3)))
"""
MEBIBYTE = 2**20


def faults(first: str) -> int:
    """Page faults of taking 80 MB that were taken before, in a process that begins with `first`."""
    program = PROGRAM.format(first=first)
    package = str(Path(allocator.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": package, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not allocator.glibc(), reason="only glibc has these thresholds")
def test_pages_of_large_buffers_are_taken_once():
    started = "from stepscope import allocator; allocator.keep_pages()"
    in_a_job = (
        "from stepscope.joblog import joblog\nwith joblog('/dev/null'):\n    pass"  # as scripts do
    )
    in_a_notebook = "import stepscope; stepscope.open_maps"
    assert faults("") > 30  # a page is 4 KiB, or 2 MiB where the system joins them
    for first in (started, in_a_job, in_a_notebook):
        assert faults(first) == 0


@pytest.mark.skipif(not allocator.glibc(), reason="only glibc has these thresholds")
def test_what_is_free_is_given_back_on_demand():
    allocator.keep_pages()
    process = psutil.Process()
    held = [bytearray(50 * MEBIBYTE)]
    held.clear()
    kept = process.memory_info().rss
    allocator.release_pages()
    assert kept - process.memory_info().rss > 45 * MEBIBYTE
