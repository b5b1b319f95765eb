"""What samplings change: distances by band, layouts, and the rows of made pictures."""

import numpy as np
import pytest

from stepscope.scores import contrast
from stepscope.scores.sampling_judges import Seen
from support.synthetic import trace


def test_samples_are_of_all_prompts_and_any_beginning_is_spread():
    tree = trace(samples=8, steps=2)
    chosen = contrast.spread(tree, None)
    assert sorted(chosen) == list(range(8))
    assert chosen[:2] == contrast.spread(tree, 2)
    assert len(contrast.spread(tree, 3)) == 3


def test_distances_are_of_their_band():
    _, x = np.mgrid[:16, :16]
    waves = {"low": np.cos(2 * np.pi * x / 16), "high": np.cos(2 * np.pi * x * 7 / 16)}
    reference = sum(waves.values())[None, None]
    found = contrast.distances(reference + 0.5 * waves["low"][None, None], reference)
    assert found[0, 0] == pytest.approx(0.25, rel=0.01)
    assert found[0, 2] == pytest.approx(0, abs=0.01)


def test_layouts_without_objects_are_alike():
    empty = np.zeros((3, 4, 4), bool)
    first, second = empty.copy(), empty.copy()
    first[1:, :2], second[1, 1:3] = True, True
    np.testing.assert_allclose(contrast.apart(first, second), [0, 2 / 3, 1])


def test_rows_say_what_is_changed_against_uniform():
    rng = np.random.default_rng(0)
    latents, pictures = rng.normal(size=(2, 4, 8, 8)), rng.integers(0, 255, (2, 8, 8, 3), "u1")
    uniform = contrast.Made(latents, pictures)
    other = contrast.Made(latents + 0.1, 255 - pictures)
    objects = np.ones((2, 8, 8), bool)
    seen = Seen(objects, {("clip", "object"): np.array([[0.9, 0.1], [0.2, 0.8]])})
    even = Seen(objects, {("clip", "object"): np.array([[0.4, 0.6], [0.2, 0.8]])})
    named_in = {"object": np.array([[True, False], [False, False]])}
    frame = contrast.rows(other, seen, uniform, even, latents[:1], named_in)
    found = frame.set_index(["measure", "part", "row"]).sort_index()
    assert found.loc[("concept", "object"), "change"].tolist() == pytest.approx([0.5, 0])
    np.testing.assert_allclose(found.loc[("concept", "object"), "value"], [0.9, np.nan])
    assert (found.loc[("layout", "objects"), "change"] == 0).all()
    np.testing.assert_allclose(found.loc[("detail", "high"), "change"], 0, atol=1e-9)
    assert len(found.loc[("distance", "low")]) == 1  # of the samples that have a reference
    assert found.loc[("distance", "low", 0), "change"] > 0
    same = contrast.rows(uniform, even, uniform, even, latents, named_in)
    assert np.nan_to_num(same["change"]).max() == 0
