"""COCO's captions in both forms: what becomes a record, and the one sentence otherwise."""

import json
import zlib

import pytest

from stepscope.study.datasets import published
from support.datasets import by_id, change, karpathy, official, picture, saved

IMAGE, SENTENCE = ("images", 1), ("images", 1, "sentences", 0)


def test_karpathy_split_becomes_records_of_one_split(tmp_path):
    path = saved(tmp_path, karpathy())
    records = by_id({"coco": path, "split": "test", "seeds": [3, 4], "batches": 5})
    assert sorted(records) == ["391895-3918950", "391895-3918951", "42-420", "42-421"]
    assert records["391895-3918950"] == {
        "prompt_id": "391895-3918950",
        "prompt": "A man with a red helmet on a moped.",
        "seeds": [3, 4],
        "batch": str(zlib.crc32(b"391895-3918950") % 5),
        "roles": {},
        "image": "",
        "masks": "",
        "where": f"{path}, images[0], key filename",
    }
    assert records["42-420"]["prompt"] == "A café, 2 cats 🐱!"
    assert len(by_id({"coco": path})) == 6


def test_pictures_are_found_with_and_without_the_folder_of_the_split(tmp_path):
    path = saved(tmp_path, karpathy())
    picture(tmp_path / "all" / "val2014" / "COCO_val2014_000000391895.jpg")
    picture(tmp_path / "all" / "COCO_val2014_000000000042.jpg")
    records = by_id({"coco": path, "split": "test", "images": str(tmp_path / "all")})
    assert records["391895-3918950"]["image"].endswith("all/val2014/COCO_val2014_000000391895.jpg")
    assert records["42-421"]["image"].endswith("all/COCO_val2014_000000000042.jpg")


def test_flickrs_files_of_karpathys_form(tmp_path):
    data = karpathy()
    for image in data["images"]:
        del image["cocoid"], image["filepath"]
    assert "0-3918950" in by_id({"coco": saved(tmp_path, data)})


def test_official_captions(tmp_path):
    path = saved(tmp_path, official())
    picture(tmp_path / "000000397133.jpg")
    picture(tmp_path / "000000037777.jpg")
    records = by_id({"coco": path, "images": str(tmp_path)})
    assert sorted(records) == ["37777-372069", "397133-370500", "397133-370509"]
    assert records["397133-370500"]["prompt"] == "A chef cooks."
    assert records["397133-370500"]["image"] == str(tmp_path / "000000397133.jpg")
    assert records["397133-370500"]["seeds"] == [0]


def test_a_caption_twice_is_kept_for_another_picture_but_not_for_the_same(tmp_path):
    data = official()
    data["annotations"] += [
        {"image_id": 397133, "id": 1, "caption": " A  chef cooks."},
        {"image_id": 37777, "id": 2, "caption": "A chef cooks."},
    ]
    chefs = [
        name
        for name, row in by_id({"coco": saved(tmp_path, data)}).items()
        if "chef" in row["prompt"]
    ]
    assert sorted(chefs) == ["37777-2", "397133-1"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (json.dumps(karpathy())[:-40], "the file is no JSON, or is cut off"),
        ([], "[] is no mapping."),
        ({}, "key images: it is missing."),
        ({"images": []}, "the dataset has no rows."),
        ({"images": [], "annotations": []}, "the dataset has no rows."),
        (change(karpathy(), (*IMAGE, "filename")), "images[1], key filename: it is missing."),
        (change(karpathy(), (*IMAGE, "split")), "images[1], key split: it is missing."),
        (change(karpathy(), IMAGE, "x"), "images[1]: 'x' is no mapping."),
        (
            change(karpathy(), (*IMAGE, "sentences"), None),
            "images[1], key sentences: None is not a list.",
        ),
        (change(karpathy(), (*SENTENCE, "raw")), "images[1].sentences[0], key raw: it is missing."),
        (
            change(karpathy(), (*SENTENCE, "raw"), " \n"),
            "images[1].sentences[0], key raw: the caption is empty.",
        ),
        (
            change(karpathy(), (*SENTENCE, "raw"), "... 🐱"),
            "images[1].sentences[0], key raw: '... 🐱' holds no word.",
        ),
        (
            change(karpathy(), (*SENTENCE, "raw"), "a cat \ud83d"),
            r"images[1].sentences[0], key raw: 'a cat \ud83d' holds '\ud83d'",
        ),
        (
            change(karpathy(), (*IMAGE, "filename"), "a\0.jpg"),
            r"images[1], key filename: 'a\x00.jpg' holds '\x00'",
        ),
        (
            change(karpathy(), (*SENTENCE, "sentid"), 71),
            "images[1].sentences[1], key sentid: 71 occurs twice.",
        ),
        (
            change(karpathy(), (*IMAGE, "cocoid"), 391895),
            "images[1], key cocoid: 391895 occurs twice.",
        ),
        (
            change(karpathy(), (*IMAGE, "filename"), "../x.jpg"),
            "images[1], key filename: 'val2014/../x.jpg' is no path inside the folder",
        ),
        (
            change(official(), ("annotations", 2, "caption")),
            "annotations[2], key caption: it is missing.",
        ),
        (
            change(official(), ("annotations", 2, "image_id"), 5),
            "annotations[2], key image_id: there is no image 5.",
        ),
        (
            change(official(), ("annotations", 2, "id"), 370509),
            "annotations[2], key id: 370509 occurs twice.",
        ),
        (
            change(official(), ("images", 1, "id"), 397133),
            "images[1], key id: 397133 occurs twice.",
        ),
        (
            change(official(), ("images", 1, "file_name"), "/etc/x.jpg"),
            "images[1], key file_name: '/etc/x.jpg' is no path inside the folder",
        ),
    ],
)
def test_refusals_name_file_and_key(tmp_path, data, message):
    with pytest.raises(ValueError, match="data.json") as caught:
        published.read({"coco": saved(tmp_path, data)})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"split": "tset"},
            "key split: there is no split 'tset', only restval, test, did you mean test.",
        ),
        ({"images": "nowhere"}, "key filename: nowhere/val2014/COCO_val2014_"),
    ],
)
def test_split_and_pictures_that_are_not_there(tmp_path, entry, message):
    with pytest.raises(ValueError, match="data.json") as caught:
        published.read({"coco": saved(tmp_path, karpathy()), **entry})
    assert message in str(caught.value)


def test_an_official_file_has_no_splits(tmp_path):
    with pytest.raises(ValueError, match="key split: an official captions file has no splits"):
        published.read({"coco": saved(tmp_path, official()), "split": "val"})
