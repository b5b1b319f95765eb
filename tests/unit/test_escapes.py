"""What somebody else wrote moves no cursor and makes no lines."""

import pytest

from stepscope.escapes import escaped, escaped_lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a big cat", "a big cat"),
        ("un café, ein Bär, 一只猫, 🐈\t|", "un café, ein Bär, 一只猫, 🐈\t|"),
        ("\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J"),
        ("one\r\ntwo\x85three\u2028four", "one\\r\\ntwo\\x85three\\u2028four"),
        ("cat\u202egnp.exe\u2066", "cat\\u202egnp.exe\\u2066"),  # turned around
        ("می\u200cخواهم", "می\u200cخواهم"),  # part of how a word is spelled
    ],
)
def test_control_characters_are_written_out(text, line):
    assert escaped(text) == line
    assert escaped_lines(text) == line.replace("\\r", "\r").replace("\\n", "\n")
