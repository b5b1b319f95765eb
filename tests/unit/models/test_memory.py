"""Forward batches are halved where memory was not enough, and chosen from what is free."""

import numpy as np
import pytest
import torch

from stepscope.models import memory
from stepscope.tracing.generate import remembered

CPU = torch.device("cpu")


def small(limit: int, error: Exception, calls: list):
    """A function of lists that raises ``error`` for more than ``limit`` items."""

    def function(items):
        calls.append(len(items))
        if len(items) > limit:
            raise error
        return list(items)

    return function


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((3,), np.dtype("f4")),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("not enough memory: you tried to allocate 5 bytes."),
    ],
)
def test_what_does_not_fit_is_halved_and_the_size_remembered(error):
    calls, fitting = [], memory.Fitting()
    function = small(3, error, calls)
    assert fitting.run(function, range(8)) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert calls == [8, 4, 2, 2, 2, 2]
    calls.clear()
    assert fitting.run(function, range(3)) == [[0, 1], [2]]
    assert calls == [2, 1]


def test_finished_pieces_are_kept():
    """The second half fits only as quarters; the first is not run again."""
    seen = []

    def function(items):
        seen.append(list(items))
        if len(items) > (4 if 0 in items else 2):
            raise MemoryError
        return list(items)

    assert memory.Fitting().run(function, range(8)) == [[0, 1, 2, 3], [4, 5], [6, 7]]
    assert seen.count([0, 1, 2, 3]) == 1


def test_one_sample_that_does_not_fit_ends_in_one_sentence():
    with pytest.raises(ValueError, match=r"^memory: not even one sample of a forward batch fits"):
        memory.Fitting().run(small(0, MemoryError(), []), range(4))


def test_other_errors_are_not_swallowed():
    calls = []
    with pytest.raises(RuntimeError, match="shapes"):
        memory.Fitting().run(small(1, RuntimeError("shapes do not match"), calls), range(4))
    assert calls == [4]


def test_peak_is_what_the_block_allocated():
    with memory.Peak(CPU) as peak:
        held = np.ones(25_000_000)  # 200 MB, every page of it touched
        torch.ones(1000, 1000) @ torch.ones(1000, 1000)
        held *= 2
    assert 190e6 < peak.bytes < 300e6


def test_size_follows_free_memory(monkeypatch):
    def one():
        held = np.ones(25_000_000)
        for _ in range(3):
            held *= 2

    monkeypatch.setattr(memory, "free", lambda device: 2_000_000_000)
    assert 5 <= memory.fitting_size(one, CPU) <= 8  # 0.8 x 2 GB / 0.2 GB, and a little more
    monkeypatch.setattr(memory, "free", lambda device: 10_000_000)
    assert memory.fitting_size(one, CPU) == 1
    monkeypatch.setattr(memory, "free", lambda device: 10**15)
    assert memory.fitting_size(one, CPU) == memory.MOST


def test_a_chosen_size_is_kept_for_the_resumed_job(tmp_path):
    path = tmp_path / "key.size"
    assert remembered(path, lambda: 5) == 5
    assert remembered(path, lambda: 7) == 5
