"""Runs of many masks: the same bits in parts, and memory that does not grow with their number."""

import pickle
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stepscope.diffusion.planted import ConstantDenoiser
from stepscope.methods import effects, mask_runs
from stepscope.methods.df_rise import blocks_of, df_rise
from stepscope.methods.effects import main_effects
from stepscope.methods.mask_runs import (
    CHUNK,
    Run,
    Scores,
    chunk_of,
    extended,
    joined,
    mean_error,
    of_all,
)
from stepscope.methods.masks import draw_masks
from support.replayed import replay

SIZE = (3, 4)
STEP = SimpleNamespace(prompt_id="p", seed=0, number=2)
MASKS = 3 * CHUNK + 100
FEW = 64  # a chunk of a quick run
DESIGNS = ["independent", "paired", "orthogonal"]


def block_scores(numbers, design):
    """A block of masks with scores of pixels that each pixel, its neighbour and noise make."""
    kept = draw_masks(0, STEP, numbers.start, len(numbers), 0.5, SIZE, design)
    noise = np.stack([np.random.default_rng(n).normal(size=SIZE) for n in numbers])
    values = (0.5 * kept + 0.3 * np.roll(kept, 1, axis=2) + 0.2 * noise).astype(np.float32)
    sums = np.where(kept, values, 0).sum(0, keepdims=True, dtype=np.float64)
    return Scores(kept, values[None], sums)


def run_of(masks, design, block=60):
    run = Run()
    for numbers in blocks_of(masks, block, 0.5):
        run = extended(run, block_scores(numbers, design), 0.5, design)
    return run


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("design", DESIGNS)
def test_a_run_is_the_same_bits_in_one_job_in_halves_and_after_a_kill(design, monkeypatch):
    monkeypatch.setattr(mask_runs, "CHUNK", FEW)
    half, masks = 3 * FEW, 7 * FEW + 20
    whole = of_all(run_of(range(masks), design), 0.5, design)
    parts = [run_of(part, design) for part in (range(half), range(half, masks))]
    assert all(part.closed for part in parts)
    assert_same(of_all(joined(*parts, 0.5, design), 0.5, design), whole)
    # killed within a chunk: what was kept of it on disk goes on
    blocks = list(blocks_of(range(masks), 60, 0.5))
    kept = pickle.dumps(Run())
    for numbers in blocks[:5]:
        run = extended(pickle.loads(kept), block_scores(numbers, design), 0.5, design)
        kept = pickle.dumps(run)
    resumed = pickle.loads(kept)
    assert resumed.closed
    for numbers in blocks[5:]:
        resumed = extended(resumed, block_scores(numbers, design), 0.5, design)
    assert_same(of_all(resumed, 0.5, design), whole)


@pytest.mark.parametrize("design", DESIGNS)
def test_the_mean_of_chunks_is_as_good_as_the_estimate_by_all_masks(design):
    run = run_of(range(MASKS), design, block=64)
    assert [part.masks for part in run.closed] == [CHUNK, CHUNK]
    found = of_all(run, 0.5, design)
    assert found.masks == MASKS
    blocks = [block_scores(numbers, design) for numbers in blocks_of(range(MASKS), 64, 0.5)]
    kept = np.concatenate([each.kept for each in blocks])
    values = np.concatenate([each.scores[0] for each in blocks])
    effect, error = main_effects(kept, values, design=design)
    assert found.errors[0].mean() == pytest.approx(error.mean(), rel=0.1)
    np.testing.assert_allclose(found.effects[0], effect, atol=1.5 * error.mean())
    z = (found.effects[0] - 0.5) / found.errors[0]
    assert np.abs(z).max() < 4
    np.testing.assert_allclose(found.sums[0], np.where(kept, values, 0).sum(0, dtype=np.float64))
    assert mean_error(run, 0.5, design) == pytest.approx(found.errors[0].mean(), rel=1e-12)


def test_a_run_of_less_than_two_chunks_is_estimated_as_a_whole():
    run = run_of(range(2 * CHUNK - 1), "orthogonal")
    assert not run.closed
    kept, values, _ = zip(*run.open, strict=True)
    expected = main_effects(np.concatenate(kept), np.concatenate(values, 1)[0], design="orthogonal")
    found = of_all(run, 0.5, "orthogonal")
    assert_same((found.effects[0], found.errors[0]), expected)


def test_a_part_begins_with_a_chunk_and_a_chunk_tries_what_few_masks_keep():
    first, second = (run_of(part, "paired") for part in (range(60), range(60, 60 + 2 * CHUNK)))
    with pytest.raises(ValueError, match=f"a part of a run begins at a multiple of {CHUNK} masks"):
        joined(first, second, 0.5, "paired")
    assert chunk_of(0.5) == CHUNK
    assert chunk_of(0.1) == chunk_of(0.9) == 1472  # as many kept, or hidden, as of an even one
    assert not any(
        numbers.start // CHUNK != (numbers.stop - 1) // CHUNK
        for numbers in blocks_of(range(CHUNK, MASKS), 100, 0.5)
    )


def test_memory_is_the_same_for_500_masks_and_for_5000(monkeypatch):
    monkeypatch.setattr(effects, "TOGETHER", 2**20)  # of a small latent, too, a piece at a time
    denoiser, steps = replay()
    constant = ConstantDenoiser(denoiser, 0.5)
    step = replace(steps[1], latent=steps[1].latent[:, :10, :10])
    peaks = []
    for masks in (100, 500, 5000):  # the first imports and caches
        tracemalloc.start()
        with torch.inference_mode():
            df_rise(constant, step, masks=masks, block=256, variants=["paper"])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.05 * peaks[1]
