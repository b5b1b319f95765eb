"""Files of studies as they are written."""

import pytest

from stepscope.study.config_file import check_file

GOOD = {
    "c.yaml": "# s\nall: &all {a: 1, b: 2}\nsome:\n  <<: *all\n  b: 3\nlist: [{a: 1}, {a: 2}]\n",
    "c.json": '{"study": "s",\n\t"games": {"steps": [1]}}',
    "bom.yaml": "\ufeffstudy: s\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_what_yaml_and_json_allow_passes(tmp_path, name):
    path = tmp_path / name
    path.write_text(GOOD[name], encoding="utf-8")
    check_file(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: 2\na: 3\n", ", line 3: the key a occurs twice, first in line 1."),
        (b"a:\n  b: 1\n  'b': 2\n", ", line 3: the key b occurs twice, first in line 2."),
        (b"a: {b: 1, c: 2, b: 3}\n", ", line 1: the key b occurs twice, first in line 1."),
        (b"a: [{b: 1}, {c: 2, c: 3}]\n", ", line 1: the key c occurs twice, first in line 1."),
        (b"a: &x {b: 1, b: 2}\nc: *x\n", ", line 1: the key b occurs twice, first in line 1."),
        (b"4: 1\n4: 2\n", ", line 2: the key 4 occurs twice, first in line 1."),
        (b'{"a": {"b": 1, "b": 2}}', ": the key b occurs twice."),
        (b"a: 1\nb: [1, 2\nc: 3\n", ", line 3: the file is no YAML (while parsing a flow seque"),
        (b"a: 1\n\tb: 2\n", ", line 2: the file is no YAML (while scanning"),
        (b"a: *nowhere\n", ", line 1: the file is no YAML (found undefined alias"),
        (b"a: 'x\n", ": the file is no YAML"),
        (b"a: \x00\n", ": the file is no YAML"),
        (b"a: 1\nb: 2\n# Andr\xe9\n", ", row 3: the file is not UTF-8."),
        (b"a: 1\n---\nb: 2\n", ", line 2: the file is no YAML (expected a single document"),
        (b"- a\n", ": the file is no mapping of keys."),
        (b"", ": the file is no mapping of keys."),
    ],
)
def test_what_reading_would_pass_over_names_file_and_line(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"mine\.yaml") as caught:
        check_file(str(path))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.yaml: there is no such file\.$"):
        check_file(str(tmp_path / "nowhere.yaml"))
