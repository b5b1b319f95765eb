"""A job's log holds all that it printed, and only a sentence reaches the terminal."""

import logging
import subprocess
import sys
import warnings

import pytest

from stepscope.joblog import bar, joblog


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
    for part in ("printed", "to stderr", "logged", "a warning", "from a child", "things: 100%"):
        assert part in text
    assert "Traceback" not in text
    out, err = capfd.readouterr()
    assert "printed" not in out + err


def test_an_error_is_one_line_on_the_terminal_and_a_traceback_in_the_log(tmp_path, capfd):
    path = tmp_path / "job.log"
    with pytest.raises(SystemExit), joblog(str(path)):
        raise ValueError("prompts.tsv, row 2: too long.")
    assert "Traceback" in path.read_text()
    err = capfd.readouterr().err
    assert err.strip() == f"ValueError: prompts.tsv, row 2: too long. (log: {path})"
    print("afterwards")
    assert "afterwards" in capfd.readouterr().out
