"""Regions found by asking with words, by a real CLIPSeg of tiny width."""

import numpy as np
import pytest
import torch

from stepscope.models import judges
from stepscope.models.words import Word
from stepscope.pictures import clipseg
from stepscope.pictures.ground import fill
from support import tiny_judges

WORDS = (
    ("a", ""), ("cat", "subject"), ("next", "relation"), ("to", "relation"), ("a", ""),
    ("Red", "object"), ("ball", "object"), ("and", ""), ("cat", "subject"),
)  # fmt: skip


def prompt(pairs=WORDS):
    return tuple(Word(i, text, role, (i + 1,)) for i, (text, role) in enumerate(pairs))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenter") / "clipseg"
    tiny_judges.tiny_text_segmenter(folder)
    return judges.load_text_segmenter({"folder": str(folder)})


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)


def test_phrases_are_asked_once_and_relations_never():
    assert clipseg.phrases(prompt()) == {"cat": [1, 8], "red ball": [5, 6]}


@pytest.mark.parametrize("count", [1, 2])
def test_masks_are_probabilities_at_the_size_of_the_picture(segmenter, picture, count):
    words = prompt(WORDS[: 4 if count == 1 else None])
    masks = clipseg.by_text(*segmenter, words, picture)
    assert sorted(masks) == [1, 5, 6, 8][: 1 if count == 1 else None]
    for mask in masks.values():
        assert mask.shape == (64, 48)
        assert mask.dtype == np.float32
        assert ((mask > 0) & (mask < 1)).all()
        assert mask.std() > 0


def test_a_mask_is_what_the_model_says_of_its_phrase(segmenter, picture):
    masks = clipseg.by_text(*segmenter, prompt(), picture)
    np.testing.assert_array_equal(masks[1], masks[8])
    np.testing.assert_array_equal(masks[5], masks[6])
    assert not np.allclose(masks[1], masks[5])
    model, processor = segmenter
    inputs = processor(text=["red ball"], images=[picture], return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs).logits.sigmoid().reshape(64, 64)
    square = clipseg.by_text(model, processor, prompt(), picture)[5]
    assert square.mean() == pytest.approx(float(expected.mean()), abs=1e-3)


def test_words_without_a_role_are_not_asked(segmenter, picture):
    assert clipseg.by_text(*segmenter, prompt([("a", ""), ("cat", "")]), picture) == {}


def test_a_relation_has_no_region_and_the_background_is_the_rest(segmenter, picture):
    words = prompt([("cat", "subject"), ("on", "relation"), ("blue", "background")])
    masks = fill(words, clipseg.by_text(*segmenter, words, picture), (64, 48))
    assert np.isnan(masks[1]).all()
    np.testing.assert_allclose(masks[2], 1 - masks[0])


def test_another_model_is_refused_by_name(tmp_path):
    tiny_judges.tiny_segmenter(tmp_path / "segformer")
    with pytest.raises(
        ValueError,
        match="segformer/config.json: model_type is 'segformer', and text_segmenter needs 'clip",
    ):
        judges.load_text_segmenter({"folder": str(tmp_path / "segformer")})


def test_judges_that_are_incomplete_are_refused_by_name(tmp_path):
    folder = tmp_path / "segformer"
    tiny_judges.tiny_segmenter(folder)
    assert judges.load_segmenter({"folder": str(folder)})[1]
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="segformer/model.safetensors is missing"):
        judges.load_segmenter({"folder": str(folder)})
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match="segformer/config.json is missing"):
        judges.load_segmenter({"folder": str(folder)})
    with pytest.raises(ValueError, match="segformer/open_clip_config.json is missing"):
        judges.load_clip({"folder": str(folder)})
