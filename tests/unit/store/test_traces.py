"""What is read of a trace by name, without knowing its groups."""

import numpy as np

from stepscope.store import coordinates, traces
from support import synthetic


def test_sizes_and_arrays_of_a_trace():
    tree = synthetic.trace(samples=3, steps=4, side=8)
    assert traces.latent_size(tree) == (8, 8)
    assert traces.sample_and_step_counts(tree) == (3, 4)
    assert traces.clean_predictions(tree).shape == (3, 4, 2, 8, 8)
    np.testing.assert_array_equal(traces.final_latents(tree), tree["latent/value"][:, -1])
    _, second, _ = traces.recorded_samples(tree)
    assert second.outputs.shape == (4, 2, 2, 8, 8)
    np.testing.assert_array_equal(second.latents, tree["latent/value"][1])
    np.testing.assert_array_equal(second.denoised, tree["denoised/value"][1])


def test_prompts_and_words_of_a_trace():
    tree = synthetic.trace(samples=3)
    assert traces.prompts_of(tree) == ["a cat on blue"] * 3
    assert traces.prompt_ids_of(tree).tolist() == ["p0", "p0", "p1"]
    assert traces.seeds_of(tree).tolist() == [0, 1, 0]
    assert traces.word_counts(tree) == [4, 4, 4]
    assert [word.text for word in traces.words_of(tree)[2]] == ["a", "cat", "on", "blue"]
    numbers = coordinates.sample_and_step_numbers(tree)
    assert {axis: values.tolist() for axis, values in numbers.items()} == {
        "sample": [0, 1, 2],
        "step": [1, 2, 3, 4],
    }


def test_what_replays_a_trace():
    settings = {
        "sampling": {"kind": "uniform", "steps": 4},
        "scheduler": {"name": "euler"},
        "guidance": 1.0,
        "guidance_rescale": 0.0,
    }
    tree = synthetic.trace()
    tree.attrs |= settings | {"negative_prompt": ""}
    assert traces.replay_settings(tree) == settings
    assert not traces.is_guided(tree)
    tree.attrs["guidance"] = 4.0
    assert traces.is_guided(tree)
