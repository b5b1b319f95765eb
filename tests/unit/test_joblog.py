"""A job's log holds all that it printed, and only a sentence reaches the terminal."""

import errno
import logging
import os
import subprocess
import sys
import warnings

import pytest

from stepscope import joblog as module
from stepscope.joblog import bar, joblog
from stepscope.progress import reporter
from stepscope.progress.forecast import last_bar


def test_everything_lands_in_the_log(tmp_path, capfd):
    path = tmp_path / "job.log"
    with joblog(str(path)):
        print("printed")
        print("to stderr", file=sys.stderr)
        logging.getLogger("library").info("logged")
        warnings.warn("a warning", stacklevel=1)
        subprocess.run(["echo", "from a child"], check=True)
        assert list(bar(range(3), "things")) == [0, 1, 2]
    text = path.read_text()
    for part in ("printed", "to stderr", "logged", "a warning", "from a child", "things: 3 of 3"):
        assert part in text
    assert "Traceback" not in text
    assert "\r" not in text
    out, err = capfd.readouterr()
    assert not out + err


def test_a_bar_says_in_lines_how_far_it_is_and_the_run_reads_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0)
    path = tmp_path / "job.log"
    with joblog(str(path)):
        done = [last_bar(path)]
        for _ in bar(range(3), "samples: decoded", 3):
            print("a library says: 7 of 9")
            done.append(last_bar(path))
    assert done[0] is None
    assert [found[:2] for found in done[1:]] == [(0, 3), (1, 3), (2, 3)]
    assert done[1][2] is None  # nothing is done, so that nothing can be said
    assert done[3][2] == 0
    assert last_bar(path) == (3, 3, 0)
    assert last_bar(tmp_path / "none.log") is None


def test_seconds_left_are_read_as_they_are_written(tmp_path):
    path = tmp_path / "job.log"
    for left, seconds in (("00:07", 7), ("02:05", 125), ("1:00:01", 3601), ("?", None)):
        path.write_text(f"steps: 5 of 10, 00:01 gone, {left} left\n")
        assert last_bar(path) == (5, 10, seconds)
    with path.open("a") as file:
        file.write("steps: 6 of 10, 00:01 gone")  # as it is being written
    assert last_bar(path)[0] == 5


FULL = "[Errno 28] No space left on device"
ROOM = "; make room and start again, what is finished is kept"
MEMORY = "; run fewer jobs at a time (--cores 1), or on a machine with more"


class LibraryError(ValueError):
    """An error of somebody else's, whose class says something."""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("prompts.tsv, row 2: too long."), "prompts.tsv, row 2: too long."),
        (KeyError("alpha"), "KeyError: 'alpha'"),
        (LibraryError("Missing:\n\ta\n\tb"), "LibraryError: Missing: …"),
        (ValueError(), "ValueError"),
        (ValueError("a lone \ud800 of a caption"), "a lone \\ud800 of a caption"),
        (ValueError("ein Bär"), "ein Bär"),
        (ValueError("row 2: \x1b]0;title\x07 \x9b2J"), "row 2: \\x1b]0;title\\x07 \\x9b2J"),
        (
            OSError(28, "No space left on device", "a.tsv"),
            f"the disk of a.tsv is full: {FULL}: 'a.tsv'{ROOM}",
        ),
        (
            RuntimeError("I/O error: No space left on device (os 28)"),
            f"the disk of {os.getcwd()} is full: I/O error: No space left on device (os 28){ROOM}",
        ),
        (
            OSError(13, "Permission denied", "a.tsv"),
            "PermissionError: [Errno 13] Permission denied: 'a.tsv'",
        ),
        (MemoryError(), f"there is not enough memory: MemoryError{MEMORY}"),
        (
            MemoryError("Unable to allocate 3 GiB"),
            f"there is not enough memory: Unable to allocate 3 GiB{MEMORY}",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory\nat"),
            f"there is not enough memory: DefaultCPUAllocator: can't allocate memory{MEMORY}",
        ),
        (
            OSError(12, "Cannot allocate memory"),
            f"there is not enough memory: [Errno 12] Cannot allocate memory{MEMORY}",
        ),
        (
            RuntimeError("can't start new thread"),
            "there is not enough memory, or no more processes are allowed (ulimit -u): "
            f"can't start new thread{MEMORY}",
        ),
    ],
)
def test_an_error_is_one_line_on_the_terminal_and_the_first_of_the_log(
    tmp_path, capfd, error, sentence
):
    path = tmp_path / "job.log"

    def fail() -> None:
        print("before")
        raise error

    with pytest.raises(SystemExit) as ended, joblog(str(path)):
        fail()
    assert ended.value.code == 1
    first, *others = path.read_text("utf-8").splitlines()
    assert first == reporter.FAILED + sentence
    assert "before" in others
    assert any(line.startswith("Traceback") for line in others)
    assert capfd.readouterr().err == f"{sentence} (log: {path})\n"
    print("afterwards")
    assert "afterwards" in capfd.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["job.log"]


def test_lines_of_a_log_hold_no_control_characters_of_others(tmp_path):
    path = tmp_path / "job.log"
    with joblog(str(path)):
        print("prompt: \x1b[2J cat\u202e\n\tand a dog")
        logging.getLogger("library").info("\x9b2J")
    text = path.read_text("utf-8")
    assert "prompt: \\x1b[2J cat\\u202e\n\tand a dog\n" in text
    assert text.endswith("library: \\x9b2J\n")


@pytest.mark.parametrize("path", ["/dev/full", "/dev/null/job.log"])
def test_without_room_for_the_log_the_terminal_has_the_sentence(path, capfd):
    with pytest.raises(SystemExit) as ended, joblog(path):
        print("printed" * 10000)
    assert ended.value.code == 1
    (said,) = capfd.readouterr().err.splitlines()
    assert said.endswith(f"(log: {path})")
    assert said.startswith("the disk of " if path == "/dev/full" else "NotADirectoryError: ")


def test_a_library_that_stumbles_over_a_full_disk_hides_it_from_nobody():
    full = OSError(errno.ENOSPC, "No space left on device")
    try:
        try:
            raise full
        finally:
            raise AttributeError("'Stream' object has no attribute 'pos'")
    except AttributeError as error:
        said = module.sentence(error)
    assert said == module.sentence(full)
    assert said.startswith("the disk of ")
    assert module.sentence(AttributeError("no pos")) == "AttributeError: no pos"
