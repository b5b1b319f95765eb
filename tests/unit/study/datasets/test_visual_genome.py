"""Visual Genome's relationships: triples with roles and boxes, and the one sentence otherwise."""

import json
import math

import pytest

from stepscope.study.datasets import published
from stepscope.study.datasets.row import roles_of
from support.datasets import RELATION, by_id, change, picture, relationships, saved


def test_triples_become_prompts_with_roles(tmp_path):
    records = by_id({"visual_genome": saved(tmp_path, relationships())})
    assert sorted(records) == ["1-15926", "1-9", "2-4"]  # one triple twice, one without a word
    assert records["1-15926"]["prompt"] == "shade on sidewalk"
    assert records["1-9"]["roles"] == {
        "subject": "stop sign",
        "relation": "next to",
        "object": "sidewalk",
    }
    for record in records.values():
        where = "data.json, [0]"
        assert roles_of(record["roles"], record["prompt"], where) == record["roles"]
        assert record["image"] == record["masks"] == ""


def test_boxes_of_words_where_the_pictures_are(tmp_path):
    picture(tmp_path / "VG_100K" / "1.jpg")
    picture(tmp_path / "VG_100K_2" / "2.jpg")
    records = by_id({"visual_genome": saved(tmp_path, relationships()), "images": str(tmp_path)})
    assert records["1-15926"]["masks"] == {
        "image": str(tmp_path / "VG_100K" / "1.jpg"),
        "boxes": {"shade": [[20, 2, 8, 10], [4, 2, 8, 10]], "sidewalk": [[30, -5, 60, 30]]},
    }
    assert set(records["2-4"]["masks"]["boxes"]) == {"stop", "sign", "sidewalk"}
    assert records["2-4"]["image"].endswith("VG_100K_2/2.jpg")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (json.dumps(relationships())[:-30], "[2]: the file is no JSON, or is cut off"),
        (json.dumps(relationships())[:99], "[0]: the file is no JSON, or is cut off"),
        ({"image_id": 1}, "the file is no JSON list."),
        ([], "the dataset has no rows."),
        ([7], "[0]: 7 is no mapping."),
        (change(relationships(), (0, "image_id")), "[0], key image_id: it is missing."),
        (change(relationships(), (1, "id"), 1), "[1], key image_id: 1 occurs twice."),
        (
            change(relationships(), (*RELATION, "predicate")),
            "[0].relationships[1], key predicate: it is missing.",
        ),
        (
            change(relationships(), (*RELATION, "subject", "name")),
            "[0].relationships[1].subject, key name: it is missing.",
        ),
        (
            change(relationships(), (*RELATION, "object", "names"), []),
            "[0].relationships[0].object, key names: [] does not begin with a text.",
        ),
        (
            change(relationships(), (*RELATION, "relationship_id"), 15927),
            "[0].relationships[1], key relationship_id: 15927 occurs twice.",
        ),
    ],
)
def test_refusals_name_file_and_key(tmp_path, data, message):
    with pytest.raises(ValueError, match="data.json") as caught:
        published.read({"visual_genome": saved(tmp_path, data)})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("w", None, "None is no number"),
        ("x", True, "True is no number"),
        ("y", math.nan, "nan is no number"),
        ("h", math.inf, "inf is no number"),
        ("w", -3, "-3 is no size"),
        ("h", -0.5, "-0.5 is no size"),
    ],
)
def test_boxes_that_are_none(tmp_path, key, value, message):
    path = saved(tmp_path, change(relationships(), (*RELATION, "subject", key), value))
    assert published.read({"visual_genome": path})  # without pictures, boxes are nothing to look at
    with pytest.raises(ValueError, match=rf"\[1\].subject, key {key}: {message}"):
        published.read({"visual_genome": path, "images": str(tmp_path)})


def test_names_with_half_a_character(tmp_path):
    data = change(relationships(), (0, "relationships", 0, "object", "names"), ["\ud83d"])
    with pytest.raises(ValueError, match="key names: .* is no character"):
        published.read({"visual_genome": saved(tmp_path, data)})
