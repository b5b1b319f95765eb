"""Whatever is written says that the disk is full."""

import multiprocessing
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from stepscope.figures import plotting
from stepscope.joblog import FAILED, joblog, sentence
from stepscope.outputs import written
from stepscope.store import error_left, maps, moments, parts, tables
from support import synthetic

TABLE = pd.DataFrame({"model": ["tiny"], "dataset": ["made"]})
CURVE = {key: np.arange(4.0) for key in error_left.KEYS}
FILES = {
    "a.tsv": lambda path: tables.write(path, TABLE),
    "a.pdf": lambda path: plotting.save(Figure(), path, path),
    "a.png": lambda path: plotting.save(Figure(), path, path),
    "a.npz": lambda path: moments.write_moments(path, np.ones(4), np.ones((8, 8, 4, 4))),
    "a.json": lambda path: error_left.write_curve(path, CURVE),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path, name):
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        FILES[name](str(tmp_path / name))
    assert sentence(raised.value).startswith("the disk of ")
    assert "is full: [Errno 28] No space left on device" in sentence(raised.value)


def trace(path: str) -> None:
    parts.write_in_parts(
        path, str(Path(path).parent / "parts"), "key", ["0", "1"], synthetic.forward_batch
    )


def masks(path: str) -> None:
    tree = synthetic.trace()
    tree.attrs["digest"] = "key"
    shape = (2, len(synthetic.PROMPT), 64, 64)
    maps.write_masks(path, np.random.default_rng(0).random(shape), tree, {"ground": "none"})


def job(folder: Path, write, most: int) -> None:
    """A job that may write no file of more than so many bytes, as on a disk that is nearly full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    with joblog(str(folder / "log")), written([str(folder / "0.zarr")], [], {}) as (place,):
        write(place)


@pytest.mark.parametrize(("write", "most"), [(trace, 600), (masks, 4000)])
def test_a_store_that_does_not_fit_is_one_sentence_and_leaves_nothing(tmp_path, capfd, write, most):
    running = multiprocessing.get_context("fork").Process(target=job, args=(tmp_path, write, most))
    running.start()
    running.join()
    assert running.exitcode == 1
    (said,) = capfd.readouterr().err.splitlines()
    assert "[Errno 27] File too large" in said
    first = (tmp_path / "log").read_text().partition("\n")[0]
    assert said == f"{first.removeprefix(FAILED)} (log: {tmp_path / 'log'})"
    assert not list(tmp_path.glob("*0.zarr*"))
    assert not list(tmp_path.glob(".*"))
    write(str(tmp_path / "0.zarr"))  # once there is room
