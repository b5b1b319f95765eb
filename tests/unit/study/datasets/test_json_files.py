"""JSON files: read whole, line by line or in pieces, and the one sentence otherwise."""

import json
import re
from pathlib import Path

import pytest

from stepscope.study.datasets import json_files
from support.datasets import saved


def test_a_list_is_read_in_pieces_of_any_size(tmp_path, monkeypatch):
    data = [{"text": "é" * length, "n": [length, {"]": "[,"}]} for length in range(30)]
    path = saved(tmp_path, "\ufeff \n" + json.dumps(data, ensure_ascii=False, indent=1))
    for size in (1, 7, 64, 10_000):
        monkeypatch.setattr(json_files, "PIECE", size)
        assert [value for _, value in json_files.elements(path)] == data


def test_a_missing_file_and_one_that_is_not_utf8(tmp_path):
    latin = tmp_path / "latin.json"
    latin.write_bytes('["ä"]'.encode("latin-1"))
    for read in (json_files.load, lambda path: list(json_files.elements(path))):
        with pytest.raises(ValueError, match="nowhere.json: there is no such file"):
            read("nowhere.json")
        with pytest.raises(ValueError, match="the file is not UTF-8"):
            read(str(latin))


@pytest.mark.parametrize(
    ("inner", "message"),
    [("[" * 100_000, "nested too deeply"), ("9" * 5000, "a number of thousands of digits")],
)
def test_json_that_is_too_much_for_the_parser_is_named(tmp_path, inner, message):
    path = saved(tmp_path, f"[{inner}]")
    for read in (json_files.load, json_files.elements, json_files.lines):
        with pytest.raises(ValueError, match=f"^{re.escape(path)}.*: the JSON .*{message}"):
            list(read(Path(path)))


@pytest.mark.parametrize("read", [json_files.load, json_files.elements])
@pytest.mark.parametrize("name", ["a\0b.json", "a\ud83d.json"])
def test_names_that_no_file_has(read, name):
    with pytest.raises(ValueError, match="the name of a file: .* which is no character"):
        list(read(name))


def test_lines_are_numbered_with_the_blank_ones(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"a": 1}\n\n{"a": "\u2028"}\n', encoding="utf-8")
    assert list(json_files.lines(path)) == [(1, {"a": 1}), (3, {"a": "\u2028"})]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([1], "data.json: [1] is no mapping."),
        ({}, "data.json, key n: it is missing."),
        ({"n": "a"}, "data.json, key n: 'a' is not an integer."),
        ({"n": True}, "data.json, key n: True is not an integer."),
    ],
)
def test_a_field_has_its_kind(entry, message):
    assert json_files.field({"n": 3}, "n", int, "data.json") == 3
    with pytest.raises(ValueError, match="data.json") as caught:
        json_files.field(entry, "n", int, "data.json")
    assert str(caught.value) == message
