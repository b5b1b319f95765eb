"""Masks: the same by their number whatever was drawn before, as likely as they should be."""

from types import SimpleNamespace

import numpy as np
import pytest

from stepscope.methods.masks import ORDER, draw_masks, orthogonal

STEP = SimpleNamespace(prompt_id="cat", seed=0, number=3)
SIZE = (16, 12)


def drawn(start, count, *, keep=0.5, design="independent"):
    return draw_masks(0, STEP, start, count, keep, SIZE, design)


@pytest.mark.parametrize("design", ["independent", "paired", "orthogonal"])
@pytest.mark.parametrize(("start", "count"), [(17, 2), (0, 1), (30, 5), (60, 75), (128, 4)])
def test_a_mask_is_the_same_whatever_was_drawn_before(design, start, count):
    many = drawn(0, 140, design=design)
    np.testing.assert_array_equal(
        many[start : start + count], drawn(start, count, design=design), strict=True
    )
    assert len({mask.tobytes() for mask in many}) == 140


@pytest.mark.parametrize("keep", [0.5, 0.2])
def test_masks_are_independent(keep):
    masks = drawn(0, 200, keep=keep)
    assert masks.mean() == pytest.approx(keep, abs=0.01)
    assert abs(np.corrcoef(masks[0].ravel(), masks[1].ravel())[0, 1]) < 0.2


def test_every_second_mask_of_pairs_is_the_complement():
    masks = drawn(0, 30, design="paired")
    np.testing.assert_array_equal(masks[::2], ~masks[1::2])


def test_pixels_near_each_other_balance_within_a_set():
    signs = drawn(0, 2 * ORDER, design="orthogonal") * 2 - 1
    for one in (signs[:ORDER], signs[ORDER:]):
        assert (one.sum(0) == 0).all()
        products = np.tensordot(one, one, (0, 0))  # (h, w, h, w)
        for y, x in np.ndindex(SIZE):
            near = products[y, x, max(0, y - 6) : y + 7, max(0, x - 8) : x + 9]
            assert np.abs(near).sum() == ORDER  # the pixel with itself


def test_orthogonal_masks_are_as_likely_as_any():
    rng = np.random.default_rng(0)
    masks = np.stack([orthogonal(rng, SIZE)[5] for _ in range(400)]) * 2 - 1
    assert np.abs(masks.mean(0)).max() < 4.5 / 20  # in standard errors
    flat = masks.reshape(400, -1)
    together = flat.T @ flat / 400 - np.eye(flat.shape[1])
    assert np.abs(together).max() < 5.5 / 20
    assert together.std() == pytest.approx(1 / 20, rel=0.05)
