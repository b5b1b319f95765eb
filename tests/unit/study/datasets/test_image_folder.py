"""Folders of captioned pictures: what becomes a record, and the one sentence otherwise."""

import csv
import json
import zlib

import pytest

from stepscope.study.datasets import image_folder, prompt_table, published
from support.datasets import by_id, picture


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
    records = by_id(folder_of(tmp_path, rows, name))
    checksum = f"{zlib.crc32('sub/é 2.jpg'.encode()):08x}"
    assert set(records) == {"0001-png", f"sub-2-jpg-{checksum}"}
    assert records["0001-png"]["prompt"] == rows[0][column]
    assert records["0001-png"]["roles"] == {"subject": "cat"}
    assert records["0001-png"]["image"] == str(tmp_path / "0001.png")
    assert all(prompt_table.SLUG.fullmatch(prompt_id) for prompt_id in records)


def test_the_caption_column_is_named_where_it_is_another(tmp_path):
    rows = [{"file_name": "a.png", "text": "no", "words": "a cat", "bbox": [1, 2]}]
    entry = folder_of(tmp_path, rows) | {"column": "words"}
    assert by_id(entry)["a-png"]["prompt"] == "a cat"


def test_file_names_that_differ_have_slugs_that_differ():
    names = [
        "a b.png",
        "a-b.png",
        "a--b.png",
        "a-b-.png",
        "-a-b.png",
        "a-b.-png",
        "a/b.png",
        "a.b.png",
        "a-b-png",
        "é.png",
        "ü.png",
        "a.png",
        "a.jpg",
    ]
    assert len({image_folder.slug(name) for name in names}) == len(names)
    assert image_folder.slug("cat-1.png") == "cat-1-png"


def test_files_that_would_have_one_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "slug", lambda name: "same")
    rows = [{"file_name": f"{name}.png", "text": f"a {name}"} for name in ("cat", "dog")]
    entry = folder_of(tmp_path, rows)
    with pytest.raises(ValueError, match=r"row \d, key file_name: 'same' occurs twice"):
        published.read(entry)
    assert len(published.read(entry | {"limit": 1})) == 1


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
        (
            '{"file_name": "a.png", "text": "a cat \\ud83d"}',
            r"row 1, key text: 'a cat \ud83d' holds '\ud83d', which is no character.",
        ),
        ('{"file_name": "a\\u0000.png", "text": "a"}', r"row 1, key file_name: 'a\x00.png' holds"),
        ('{"file_name": "a.png", "text": "🐱!"}', "row 1, key text: '🐱!' holds no word."),
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
