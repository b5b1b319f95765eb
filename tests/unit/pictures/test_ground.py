"""Masks of words: from segmenters, files and boxes, and what follows for the other words."""

import json

import numpy as np
import torch
from PIL import Image

from stepscope.language import numbers_of, words
from stepscope.models.words import Word
from stepscope.pictures.ground import (
    by_boxes,
    by_files,
    by_segmenter,
    fill,
    normalisation,
    segmented,
)
from stepscope.study.datasets import prompt_table
from support.workflow import ROOT

SIZE = (6, 6)
CAT = np.zeros(SIZE, dtype=np.float32)
CAT[1:3, 1:3] = 1
DOG = np.zeros(SIZE, dtype=np.float32)
DOG[4:, 4:] = 1


def prompt(*pairs):
    return tuple(Word(i, text, role, (i + 1,)) for i, (text, role) in enumerate(pairs))


def test_background_and_attributes_follow_the_objects():
    words = prompt(
        ("a", ""), ("big", "attribute"), ("cat", "subject"), ("on", ""), ("striped", "attribute"),
        ("blue", "background"), ("background", ""),
    )  # fmt: skip
    masks = fill(words, {2: CAT}, SIZE)
    assert np.isnan(masks[[0, 3]]).all()
    for index in (1, 2):
        np.testing.assert_array_equal(masks[index], CAT)
    for index in (4, 5, 6):
        np.testing.assert_array_equal(masks[index], 1 - CAT)


def test_either_word_order_gives_the_same_regions():
    words = prompt(
        ("on", ""), ("striped", "attribute"), ("blue", "background"), ("background", ""),
        ("big", "attribute"), ("cat", "subject"),
    )  # fmt: skip
    masks = fill(words, {5: CAT}, SIZE)
    np.testing.assert_array_equal(masks[1], 1 - CAT)
    np.testing.assert_array_equal(masks[4], CAT)


def test_a_relation_has_no_region_and_the_background_is_outside_both_objects():
    words = prompt(
        ("cat", "subject"), ("above", "relation"), ("dog", "object"), ("red", "background")
    )
    masks = fill(words, {0: CAT, 2: DOG}, SIZE)
    assert np.isnan(masks[1]).all()
    np.testing.assert_array_equal(masks[3], 1 - CAT - DOG)


def test_the_background_is_unknown_while_an_object_is():
    words = prompt(("cat", "subject"), ("unicorn", "object"), ("red", "background"))
    masks = fill(words, {0: CAT}, SIZE)
    assert np.isnan(masks[1:]).all()


def test_labels_by_word_plural_and_synonym_but_never_for_a_colour():
    labels = {0: "background", 1: "orange", 2: "box", 3: "door; double door"}
    numbers = numbers_of(labels)
    assert (numbers["boxes"], numbers["doors"]) == (2, 3)
    assert "fox" not in numbers
    words = prompt(("orange", "attribute"), ("orange", "subject"), ("box", ""))
    masks = by_segmenter(words, np.full(SIZE, 1), labels)
    assert sorted(masks) == [1, 2]
    assert masks[1].all()
    assert not masks[2].any()


def test_a_label_for_the_background_takes_nothing_from_the_words_that_describe_it():
    labels = {0: "background", 1: "cat"}
    words = prompt(
        ("a", ""), ("cat", "subject"), ("on", ""), ("a", ""), ("striped", "attribute"),
        ("blue", "background"), ("background", ""),
    )  # fmt: skip
    masks = fill(words, by_segmenter(words, CAT.astype(int), labels), SIZE)
    np.testing.assert_array_equal(masks[1], CAT)
    for index in (4, 5, 6):
        np.testing.assert_array_equal(masks[index], 1 - CAT)


def test_every_word_with_a_role_has_a_region_in_the_default_study():
    """On a segmentation that has each object's label somewhere, with the shipped labels."""
    config = json.loads((ROOT / "resources/models/segmenter/config.json").read_text())
    labels = {int(number): label for number, label in config["id2label"].items()}
    for row in prompt_table.read(str(ROOT / "config/prompts.tsv"), seeds=1):
        role_of = {word: role for role, text in row["roles"].items() for word in text.split()}
        spoken = prompt(*((text, role_of.get(text, "")) for text in words(row["prompt"])))
        picture = np.zeros((1, len(labels) + 1), dtype=int)
        picture[0, : len(labels)] = sorted(labels)
        masks = fill(spoken, by_segmenter(spoken, picture, labels), picture.shape)
        for word in spoken:
            if word.role and word.role != "relation":
                assert np.nansum(masks[word.index]) > 0, (row["prompt"], word.text)


def test_files_are_found_by_word_and_fitted_to_the_picture(tmp_path):
    Image.fromarray((np.kron(CAT, np.ones((2, 2))) * 255).astype(np.uint8)).save(
        tmp_path / "cat.png"
    )
    masks = by_files(prompt(("a", ""), ("Cat", "subject")), str(tmp_path), SIZE)
    assert list(masks) == [1]
    np.testing.assert_allclose(masks[1], CAT)


def test_boxes_are_clipped_joined_and_fitted_to_the_picture(tmp_path):
    Image.new("RGB", (12, 24)).save(tmp_path / "1.png")
    boxes = {
        "cat": [[-4, -8, 6, 16], [10, 20, 99, 99]],
        "dog": [[20, 30, 5, 5]],
        "on": [[0, 0, 1, 0]],
    }
    words = prompt(("Cat", "subject"), ("on", "relation"), ("dog", "object"), ("mat", ""))
    masks = by_boxes(words, str(tmp_path / "1.png"), boxes, SIZE)
    assert list(masks) == [0]  # the others are outside of the picture, without area, or unknown
    expected = np.zeros(SIZE)
    expected[:2, 0] = expected[5, 5] = 1
    np.testing.assert_allclose(masks[0], expected, atol=1e-6)


def test_a_segmenters_labels_come_at_picture_size(tmp_path):
    class Halves(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, pixel_values):
            small = pixel_values[:, :, ::4, ::4].mean(1)  # -1..1
            return type("Output", (), {"logits": torch.stack([-small, small], 1)})

    pictures = np.zeros((3, 16, 16, 3), dtype=np.uint8)
    pictures[:, :, 8:] = 255
    label_maps = segmented(Halves(), pictures, *normalisation(str(tmp_path)))
    assert label_maps.shape == (3, 16, 16)
    np.testing.assert_array_equal(label_maps[0, 0], [0] * 8 + [1] * 8)


def test_a_segmenters_own_normalisation_is_used(tmp_path):
    stated = '{"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}'
    (tmp_path / "preprocessor_config.json").write_text(stated)
    assert normalisation(str(tmp_path)) == ([0.1, 0.2, 0.3], [1, 2, 3])
