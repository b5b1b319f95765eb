"""Shares of a grid's cells, and the region of a prompt's objects."""

import numpy as np
import pytest

from stepscope.pictures import regions
from support.synthetic import masks, trace

SIZE = (6, 6)


@pytest.mark.parametrize("size", [(3, 3), (2, 4), (4, 5), (6, 6), (9, 12)])
def test_onto_keeps_the_mean_whatever_the_grid(size):
    mask = np.random.default_rng(0).random((2, *SIZE))
    cells = regions.onto(mask, size)
    assert cells.shape == (2, *size)
    np.testing.assert_allclose(cells.mean((1, 2)), mask.mean((1, 2)), rtol=1e-6)


def test_onto_is_the_block_mean_where_cells_divide():
    mask = np.random.default_rng(0).random(SIZE)
    blocks = mask.reshape(3, 2, 2, 3).mean((1, 3))
    np.testing.assert_allclose(regions.onto(mask, (3, 2)), blocks, rtol=1e-6)


def test_objects_of_a_sample_are_the_subject_and_the_object():
    inside = np.zeros((16, 16))
    inside[4:8, 4:8] = 1
    word_masks = masks(trace(), inside)
    np.testing.assert_array_equal(regions.object_mask(word_masks)[0], inside)
    nameless = word_masks.assign_coords(word_role=word_masks["word_role"].where(False, ""))
    np.testing.assert_array_equal(regions.object_mask(nameless)[0], 1)  # cat or blue
    named = nameless.assign_coords(
        word_text=nameless["word_text"].where(nameless["word_text"] != "blue", "Background")
    )
    np.testing.assert_array_equal(regions.object_mask(named)[0], inside)
