"""Datasets in their published formats: which rows are drawn, and what is kept between parses."""

import random

import pytest

from stepscope.study.datasets import coco, published, visual_genome
from support.datasets import official, saved


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


@pytest.mark.parametrize("source", ["coco", "visual_genome"])
def test_a_missing_file_is_named(source):
    with pytest.raises(ValueError, match="nowhere.json: there is no such file"):
        published.read({source: "nowhere.json"})


def test_the_place_of_a_prompt_is_its_file_and_row(tmp_path):
    path = saved(tmp_path, official())
    place = published.place({"coco": path}, "37777-372069")
    assert place == f"{path}, images[1], key file_name"
    table = tmp_path / "p.tsv"
    table.write_text("prompt_id\tprompt\tseed\na\ta cat\t0\n\nb\ta dog\t0\n")
    for name, row in (("a", 2), ("b", 4)):
        entry = {"prompts": str(table), "limit": 1, "batches": 3}
        assert published.place(entry, name) == f"{table}, row {row}, column prompt"


def test_a_file_whose_name_no_file_has(tmp_path):
    with pytest.raises(ValueError, match="the name of a file: .* is no character"):
        published.read_all({"d": {"coco": "a\0b.json"}}, str(tmp_path), "1")


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
