"""Datasets in their published formats: what becomes a record, and the one sentence otherwise."""

import csv
import json
import random
import zlib

import pytest
from PIL import Image

from stepscope.study.datasets import (
    coco,
    image_folder,
    json_files,
    prompt_table,
    published,
    visual_genome,
)
from stepscope.study.datasets.row import roles_of

TEXTS = (
    "A man with a red\n helmet  on a moped. ",
    "Man riding a motor bike.",
    "A café, 2 cats 🐱!",
)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20), "red").save(path)


def saved(tmp_path, data, name="data.json"):
    path = tmp_path / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return str(path)


def karpathy():
    """Three images of two splits, with two captions each, as in dataset_coco.json."""
    return {
        "dataset": "coco",
        "images": [
            {
                "filepath": "val2014",
                "filename": f"COCO_val2014_{number:012}.jpg",
                "imgid": place,
                "cocoid": number,
                "split": split,
                "sentids": [10 * number, 10 * number + 1],
                "sentences": [
                    {"raw": TEXTS[place], "sentid": 10 * number, "imgid": place, "tokens": []},
                    {"raw": f"Picture {place}", "sentid": 10 * number + 1, "imgid": place},
                ],
            }
            for place, (number, split) in enumerate(
                [(391895, "test"), (7, "restval"), (42, "test")]
            )
        ],
    }


def official():
    """Two images with three captions, as in captions_val2017.json."""
    return {
        "info": {"year": 2017},
        "licenses": [],
        "images": [
            {"id": 397133, "file_name": "000000397133.jpg", "height": 427, "width": 640},
            {"id": 37777, "file_name": "000000037777.jpg", "height": 230, "width": 352},
        ],
        "annotations": [
            {"image_id": 397133, "id": 370509, "caption": "A man is in a kitchen."},
            {"image_id": 37777, "id": 372069, "caption": "The dining table."},
            {"image_id": 397133, "id": 370500, "caption": "A chef cooks."},
        ],
    }


def relationships():
    """Two images, with both spellings of a name, as in relationships.json."""
    shade = {"name": "shade", "h": 10, "w": 8, "y": 2, "x": 4, "object_id": 5045, "synsets": []}
    walk = {"names": ["sidewalk"], "h": 30, "w": 60, "y": -5, "x": 30, "object_id": 1058534}
    sign = {"names": ["Stop sign", "sign"], "h": 5, "w": 5, "y": 0, "x": 0, "object_id": 3}
    relation = {"predicate": "ON", "relationship_id": 15927, "synsets": ["along.r.01"]}
    again = {"predicate": "on", "relationship_id": 15926, "subject": shade | {"x": 20}}
    return [
        {
            "image_id": 1,
            "relationships": [
                relation | {"subject": shade, "object": walk},
                again | {"object": walk},
                {"predicate": "next to", "relationship_id": 9, "subject": sign, "object": walk},
                {"predicate": "", "relationship_id": 10, "subject": sign, "object": walk},
            ],
        },
        {"id": 2, "relationships": [{"id": 4, "predicate": "by", "subject": sign, "object": walk}]},
        {"image_id": 3, "relationships": []},
    ]


def by_id(entry):
    return {record["prompt_id"]: record for record in published.read(entry)}


def test_karpathy_split_becomes_records_of_one_split(tmp_path):
    path = saved(tmp_path, karpathy())
    found = by_id({"coco": path, "split": "test", "seeds": [3, 4], "batches": 5})
    assert sorted(found) == ["391895-3918950", "391895-3918951", "42-420", "42-421"]
    assert found["391895-3918950"] == {
        "prompt_id": "391895-3918950",
        "prompt": "A man with a red helmet on a moped.",
        "seeds": [3, 4],
        "batch": str(zlib.crc32(b"391895-3918950") % 5),
        "roles": {},
        "image": "",
        "masks": "",
    }
    assert found["42-420"]["prompt"] == "A café, 2 cats 🐱!"
    assert len(by_id({"coco": path})) == 6


def test_pictures_are_found_with_and_without_the_folder_of_the_split(tmp_path):
    path = saved(tmp_path, karpathy())
    picture(tmp_path / "all" / "val2014" / "COCO_val2014_000000391895.jpg")
    picture(tmp_path / "all" / "COCO_val2014_000000000042.jpg")
    found = by_id({"coco": path, "split": "test", "images": str(tmp_path / "all")})
    assert found["391895-3918950"]["image"].endswith("all/val2014/COCO_val2014_000000391895.jpg")
    assert found["42-421"]["image"].endswith("all/COCO_val2014_000000000042.jpg")


def test_flickrs_files_of_karpathys_form(tmp_path):
    data = karpathy()
    for image in data["images"]:
        del image["cocoid"], image["filepath"]
    assert "0-3918950" in by_id({"coco": saved(tmp_path, data)})


def test_official_captions(tmp_path):
    path = saved(tmp_path, official())
    picture(tmp_path / "000000397133.jpg")
    picture(tmp_path / "000000037777.jpg")
    found = by_id({"coco": path, "images": str(tmp_path)})
    assert sorted(found) == ["37777-372069", "397133-370500", "397133-370509"]
    assert found["397133-370500"]["prompt"] == "A chef cooks."
    assert found["397133-370500"]["image"] == str(tmp_path / "000000397133.jpg")
    assert found["397133-370500"]["seeds"] == [0]


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


def test_triples_become_prompts_with_roles(tmp_path):
    found = by_id({"visual_genome": saved(tmp_path, relationships())})
    assert sorted(found) == ["1-15926", "1-9", "2-4"]  # one triple twice, one without a word
    assert found["1-15926"]["prompt"] == "shade on sidewalk"
    assert found["1-9"]["roles"] == {
        "subject": "stop sign",
        "relation": "next to",
        "object": "sidewalk",
    }
    for record in found.values():
        place = "data.json, [0]"
        assert roles_of(record["roles"], record["prompt"], place) == record["roles"]
        assert record["image"] == record["masks"] == ""


def test_boxes_of_words_where_the_pictures_are(tmp_path):
    picture(tmp_path / "VG_100K" / "1.jpg")
    picture(tmp_path / "VG_100K_2" / "2.jpg")
    found = by_id({"visual_genome": saved(tmp_path, relationships()), "images": str(tmp_path)})
    assert found["1-15926"]["masks"] == {
        "image": str(tmp_path / "VG_100K" / "1.jpg"),
        "boxes": {"shade": [[20, 2, 8, 10], [4, 2, 8, 10]], "sidewalk": [[30, -5, 60, 30]]},
    }
    assert set(found["2-4"]["masks"]["boxes"]) == {"stop", "sign", "sidewalk"}
    assert found["2-4"]["image"].endswith("VG_100K_2/2.jpg")


def test_a_list_is_read_in_pieces_of_any_size(tmp_path, monkeypatch):
    data = [{"text": "é" * length, "n": [length, {"]": "[,"}]} for length in range(30)]
    path = saved(tmp_path, "\ufeff \n" + json.dumps(data, ensure_ascii=False, indent=1))
    for size in (1, 7, 64, 10_000):
        monkeypatch.setattr(json_files, "PIECE", size)
        assert [value for _, value in json_files.elements(path)] == data


def folder_of(tmp_path, rows, name="metadata.jsonl"):
    """A folder with the pictures of some rows and their metadata."""
    for row in rows:
        picture(tmp_path / row["file_name"])
    if name.endswith(".jsonl"):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
    else:
        with (tmp_path / name).open("w", encoding="utf-8-sig", newline="") as file:
            table = csv.DictWriter(file, rows[0], lineterminator="\r\n")
            table.writeheader()
            table.writerows(rows)
    return {"images": str(tmp_path)}


@pytest.mark.parametrize("name", image_folder.FILES)
@pytest.mark.parametrize("column", image_folder.CAPTIONS)
def test_a_folder_of_captioned_pictures(tmp_path, name, column):
    rows = [
        {"file_name": "0001.png", column: 'A "Big" CAT, on a mat; it\'s fine…', "subject": "cat"},
        {"file_name": "sub/é 2.jpg", column: "Crème brûlée 🍮", "subject": "Crème brûlée"},
    ]
    found = by_id(folder_of(tmp_path, rows, name))
    checksum = f"{zlib.crc32('sub/é 2.jpg'.encode()):08x}"
    assert set(found) == {"0001-png", f"sub-2-jpg-{checksum}"}
    assert found["0001-png"]["prompt"] == rows[0][column]
    assert found["0001-png"]["roles"] == {"subject": "cat"}
    assert found["0001-png"]["image"] == str(tmp_path / "0001.png")
    assert all(prompt_table.SLUG.fullmatch(prompt_id) for prompt_id in found)


def test_the_caption_column_is_named_where_it_is_another(tmp_path):
    rows = [{"file_name": "a.png", "text": "no", "words": "a cat", "bbox": [1, 2]}]
    entry = folder_of(tmp_path, rows) | {"column": "words"}
    assert by_id(entry)["a-png"]["prompt"] == "a cat"


def test_file_names_that_differ_have_slugs_that_differ():
    names = [
        "a b.png",
        "a-b.png",
        "a/b.png",
        "a.b.png",
        "a-b-png",
        "é.png",
        "ü.png",
        "a.png",
        "a.jpg",
    ]
    assert len({image_folder.slug(name) for name in names}) == len(names)


def test_a_subset_is_the_same_whatever_the_order_of_the_file(tmp_path):
    data = official()
    data["annotations"] = [
        {"image_id": (397133, 37777)[i % 2], "id": i, "caption": f"Caption {i}."} for i in range(50)
    ]

    def drawn(seed, limit):
        random.shuffle(data["annotations"])
        random.shuffle(data["images"])
        entry = {"coco": saved(tmp_path, data), "limit": limit, "subset_seed": seed}
        return [record["prompt_id"] for record in published.read(entry)]

    first = drawn(0, 10)
    assert drawn(0, 10) == first
    assert drawn(0, 20)[:10] == first
    assert len(set(drawn(1, 10)) & set(first)) < 10
    assert len(drawn(0, 1000)) == 50


def change(data, path, value="absent"):
    """The data with what a path leads to set, or left out."""
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    if value == "absent":
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return data


IMAGE, SENTENCE = ("images", 1), ("images", 1, "sentences", 0)
RELATION = (0, "relationships", 1)


@pytest.mark.parametrize(
    ("key", "data", "message"),
    [
        ("coco", json.dumps(karpathy())[:-40], "the file is no JSON, or is cut off"),
        ("coco", [], "[] is no mapping."),
        ("coco", {}, "key images: it is missing."),
        ("coco", {"images": []}, "the dataset has no rows."),
        ("coco", {"images": [], "annotations": []}, "the dataset has no rows."),
        (
            "coco",
            change(karpathy(), (*IMAGE, "filename")),
            "images[1], key filename: it is missing.",
        ),
        ("coco", change(karpathy(), (*IMAGE, "split")), "images[1], key split: it is missing."),
        ("coco", change(karpathy(), IMAGE, "x"), "images[1]: 'x' is no mapping."),
        (
            "coco",
            change(karpathy(), (*IMAGE, "sentences"), None),
            "images[1], key sentences: None is not a list.",
        ),
        (
            "coco",
            change(karpathy(), (*SENTENCE, "raw")),
            "images[1].sentences[0], key raw: it is missing.",
        ),
        (
            "coco",
            change(karpathy(), (*SENTENCE, "raw"), " \n"),
            "images[1].sentences[0], key raw: the caption is empty.",
        ),
        (
            "coco",
            change(karpathy(), (*SENTENCE, "sentid"), 71),
            "images[1].sentences[1], key sentid: 71 occurs twice.",
        ),
        (
            "coco",
            change(karpathy(), (*IMAGE, "cocoid"), 391895),
            "images[1], key cocoid: 391895 occurs twice.",
        ),
        (
            "coco",
            change(karpathy(), (*IMAGE, "filename"), "../x.jpg"),
            "images[1], key filename: 'val2014/../x.jpg' is no path inside the folder",
        ),
        (
            "coco",
            change(official(), ("annotations", 2, "caption")),
            "annotations[2], key caption: it is missing.",
        ),
        (
            "coco",
            change(official(), ("annotations", 2, "image_id"), 5),
            "annotations[2], key image_id: there is no image 5.",
        ),
        (
            "coco",
            change(official(), ("annotations", 2, "id"), 370509),
            "annotations[2], key id: 370509 occurs twice.",
        ),
        (
            "coco",
            change(official(), ("images", 1, "id"), 397133),
            "images[1], key id: 397133 occurs twice.",
        ),
        (
            "coco",
            change(official(), ("images", 1, "file_name"), "/etc/x.jpg"),
            "images[1], key file_name: '/etc/x.jpg' is no path inside the folder",
        ),
        (
            "visual_genome",
            json.dumps(relationships())[:-30],
            "[2]: the file is no JSON, or is cut off",
        ),
        (
            "visual_genome",
            json.dumps(relationships())[:99],
            "[0]: the file is no JSON, or is cut off",
        ),
        ("visual_genome", {"image_id": 1}, "the file is no JSON list."),
        ("visual_genome", [], "the dataset has no rows."),
        ("visual_genome", [7], "[0]: 7 is no mapping."),
        (
            "visual_genome",
            change(relationships(), (0, "image_id")),
            "[0], key image_id: it is missing.",
        ),
        (
            "visual_genome",
            change(relationships(), (1, "id"), 1),
            "[1], key image_id: 1 occurs twice.",
        ),
        (
            "visual_genome",
            change(relationships(), (*RELATION, "predicate")),
            "[0].relationships[1], key predicate: it is missing.",
        ),
        (
            "visual_genome",
            change(relationships(), (*RELATION, "subject", "name")),
            "[0].relationships[1].subject, key name: it is missing.",
        ),
        (
            "visual_genome",
            change(relationships(), (*RELATION, "object", "names"), []),
            "[0].relationships[0].object, key names: [] does not begin with a text.",
        ),
        (
            "visual_genome",
            change(relationships(), (*RELATION, "relationship_id"), 15927),
            "[0].relationships[1], key relationship_id: 15927 occurs twice.",
        ),
    ],
)
def test_refusals_name_file_and_place(tmp_path, key, data, message):
    with pytest.raises(ValueError, match="data.json") as caught:
        published.read({key: saved(tmp_path, data)})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_boxes_that_are_no_numbers(tmp_path):
    path = saved(tmp_path, change(relationships(), (*RELATION, "subject", "w")))
    with pytest.raises(ValueError, match=r"\[1\].subject, key w: None is no number\."):
        published.read({"visual_genome": path, "images": str(tmp_path)})


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


def test_a_missing_file_and_one_that_is_not_utf8(tmp_path):
    for key in ("coco", "visual_genome"):
        with pytest.raises(ValueError, match="nowhere.json: there is no such file"):
            published.read({key: "nowhere.json"})
        (tmp_path / "latin.json").write_bytes('["ä"]'.encode("latin-1"))
        with pytest.raises(ValueError, match="the file is not UTF-8"):
            published.read({key: str(tmp_path / "latin.json")})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"file_name": "a.png", "text": "a cat"}\n{"file_na',
            "row 2: the line is no JSON, or is cut",
        ),
        ('["a.png", "a cat"]\n', "row 1: the line is no mapping."),
        ('\n{"text": "a cat"}\n', "row 2, key file_name: it is missing."),
        ('{"file_name": "a.png"}', "row 1: none of text, caption, prompt could be the caption"),
        (
            '{"file_name": "a.png", "text": "a", "prompt": "a"}',
            "row 1: text and prompt could be the caption; name the key in the study (column).",
        ),
        ('{"file_name": "a.png", "text": 3}', "row 1, key text: 3 is not text."),
        ('{"file_name": "a.png", "text": ""}', "row 1, key text: the caption is empty."),
        (
            '{"file_name": "a.png", "text": "a"}\n{"file_name": "a.png", "text": "b"}',
            "row 2, key file_name: 'a.png' occurs twice.",
        ),
        ('{"file_name": "../a.png", "text": "a"}', "row 1, key file_name: '../a.png' is no path"),
        ('{"file_name": "b.png", "text": "a"}', "row 1, key file_name: "),
        ('{"file_name": "no.png", "text": "a"}', "no.png is no picture."),
        (
            '{"file_name": "a.png", "text": "a dog", "subject": "cat"}',
            "row 1, key subject: 'cat' does not occur in the prompt 'a dog'.",
        ),
        ("", "the dataset has no rows."),
    ],
)
def test_metadata_that_is_refused(tmp_path, text, message):
    picture(tmp_path / "a.png")
    (tmp_path / "no.png").write_text("not a picture")
    (tmp_path / "metadata.jsonl").write_text(text)
    with pytest.raises(ValueError, match="metadata.jsonl") as caught:
        published.read({"images": str(tmp_path)})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_of_pictures_that_is_refused(tmp_path):
    table = tmp_path / "metadata.csv"
    for text, message in (
        ("text\na cat\n", "row 1: column file_name is missing"),
        ("file_name,text\na.png\n", "row 2, column text: the caption is empty"),
        ('file_name,text\na.png,"a cat\nb.png,a dog\n', "the quotes are wrong"),
    ):
        table.write_text(text)
        with pytest.raises(ValueError, match=message):
            published.read({"images": str(tmp_path)})


def test_a_folder_with_no_metadata_or_with_two(tmp_path):
    with pytest.raises(ValueError, match="the folder has neither of metadata.jsonl and"):
        published.read({"images": str(tmp_path)})
    for name in image_folder.FILES:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="the folder has both of metadata.jsonl and metadata.csv"):
        published.read({"images": str(tmp_path)})


def test_records_are_kept_until_entry_file_or_code_changes(tmp_path, monkeypatch):
    path, kept = saved(tmp_path, official()), tmp_path / "kept"
    calls = []
    read = published.read
    monkeypatch.setattr(published, "read", lambda entry: calls.append(entry) or read(entry))

    def records(version="1", **entry):
        return published.read_all({"d": {"coco": path, **entry}}, str(kept), version)["d"]

    first = records()
    assert records() == first
    assert len(calls) == 1
    assert len(records(limit=1)) == 1
    assert records() == first
    assert records(version="2") == first
    assert len(calls) == 4
    for torn in ("", '{"made_from"', "[]", '{"made_from": {}, "records": []}'):
        (kept / "d.json").write_text(torn)
        assert records(version="2") == first
    assert len(calls) == 8
    data = official()
    data["annotations"].pop()
    saved(tmp_path, data)
    assert len(records(version="2")) == 2
    assert [file.name for file in kept.iterdir()] == ["d.json"]


def test_a_refused_dataset_leaves_nothing_behind(tmp_path):
    entries = {
        "good": {"coco": saved(tmp_path, official())},
        "bad": {"coco": saved(tmp_path, "{", "bad.json")},
    }
    with pytest.raises(ValueError, match="bad.json"):
        published.read_all(entries, str(tmp_path / "kept"), "1")
    assert not (tmp_path / "kept").exists()


def test_every_source_has_its_adapter():
    assert published.SOURCES["coco"] is coco.rows
    assert published.SOURCES["visual_genome"] is visual_genome.rows
    assert list(published.SOURCES)[-1] == "images"  # the others may name a folder of pictures too
