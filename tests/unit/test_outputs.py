"""How results come to their places: alone, whole, and never lost once they are finished."""

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest

from stepscope import outputs

fork = multiprocessing.get_context("fork")
NAMES = ("0.zarr", "a.tsv", "b.pdf", "scenes")  # of one job: a store, a table, a figure, pictures


def make(path: str, content: str) -> None:
    """A store or a file of some content."""
    if Path(path).suffix not in (".tsv", ".pdf"):
        Path(path, "array").mkdir(parents=True)
        Path(path, "array", "c.0").write_text(content)
        path = f"{path}/{'zarr.json' if path.endswith('.zarr') else 'cat.png'}"
    Path(path).write_text(content)


def job(folder: Path, content: str = "1", wait: float | None = 0.0, key=True):
    """Make all results from one input, slowly; without a `wait`, once there is a file "go"."""
    places = [str(folder / name) for name in NAMES]
    made_from = {"content": content} if key else None
    with outputs.written(places, [str(folder / "input")], made_from) as drafts:
        for place, draft in zip(places, drafts, strict=True):
            assert draft.endswith(Path(place).suffix)
            make(draft, content)
        (folder / "begun").touch()
        wait_for(folder / "go") if wait is None else time.sleep(wait)
        with (folder / "made").open("a") as file:
            file.write(content)


def in_a_process(folder: Path, *arguments, **options) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whatever ran here before
    with (folder / "printed").open("a") as file, redirect_stdout(file):
        job(folder, *arguments, **options)


def process(*arguments, **options) -> multiprocessing.Process:
    started = fork.Process(target=in_a_process, args=arguments, kwargs=options)
    started.start()
    return started


def contents(folder: Path) -> list[str]:
    """Content of every result that is in its place."""
    places = [folder / name for name in NAMES]
    files = [place / "array" / "c.0" if place.is_dir() else place for place in places]
    return [file.read_text() if file.exists() else "" for file in files]


def hidden(folder: Path, kind: str = "") -> list[str]:
    return [
        path.name for path in folder.iterdir() if path.name.startswith(".") and kind in path.name
    ]


def times_made(folder: Path) -> int:
    return len((folder / "made").read_text())


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.005)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "input").write_text("in")
    return tmp_path


@pytest.fixture
def starter(monkeypatch):
    """What stands for the Snakemake that started the jobs."""
    started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setenv(outputs.SNAKEMAKE, str(started.pid))
    yield started
    started.kill()
    started.wait()


def test_results_appear_whole_and_replace_those_of_before(folder):
    for content in ("1", "2"):
        running = process(folder, content, 0.1)
        wait_for(folder / "begun")
        assert contents(folder) == ([""] * len(NAMES) if content == "1" else ["1"] * len(NAMES))
        running.join()
        assert contents(folder) == [content] * len(NAMES)
        (folder / "begun").unlink()
    assert not hidden(folder, "draft") + hidden(folder, "lock")


def test_a_failing_job_leaves_the_result_of_before(folder):
    def fails():
        with outputs.written([str(folder / "a.tsv")], [], {}) as (draft,):
            make(draft, "half")
            raise RuntimeError

    job(folder)
    with pytest.raises(RuntimeError):
        fails()
    assert contents(folder) == ["1"] * len(NAMES)
    assert not hidden(folder, "draft") + hidden(folder, "lock")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_job_leaves_nothing_in_the_place_and_drafts_that_the_next_removes(folder, sent):
    killed = process(folder, "1", 60)
    wait_for(folder / "begun")
    os.kill(killed.pid, sent)
    killed.join()
    assert contents(folder) == [""] * len(NAMES)
    assert len(hidden(folder, "draft")) == len(NAMES)
    job(folder)
    assert contents(folder) == ["1"] * len(NAMES)
    assert not hidden(folder, "draft") + hidden(folder, "lock")


def test_another_writer_is_waited_for_and_its_result_taken(folder):
    first = process(folder, "1", None)
    wait_for(folder / "begun")
    others = [process(folder, "1", None) for _ in range(3)]
    printed = folder / "printed"
    while printed.read_text().count("Another job writes this; waiting for") < len(others):
        time.sleep(0.005)
    (folder / "go").touch()
    for running in (first, *others):
        running.join()
        assert running.exitcode == 0
    assert times_made(folder) == 1
    assert contents(folder) == ["1"] * len(NAMES)
    assert printed.read_text().count("This was finished by another job") == len(others)


@pytest.mark.parametrize("change", ["values", "input", "no key"])
def test_another_writers_result_of_something_else_is_replaced(folder, change):
    first = process(folder, "1", 0.3, key=change != "no key")
    wait_for(folder / "begun")
    if change == "input":
        (folder / "input").write_text("other")
    content = "2" if change == "values" else "1"
    second = process(folder, content, key=change != "no key")
    first.join()
    second.join()
    assert times_made(folder) == 2
    assert contents(folder) == [content] * len(NAMES)


def test_what_snakemake_deletes_without_a_record_is_put_back_until_it_is_read(folder):
    def delete():
        for name in NAMES:
            outputs._remove(folder / name)

    job(folder)
    delete()
    with pytest.raises(SystemExit) as ended:
        job(folder)
    assert ended.value.code == 0
    assert contents(folder) == ["1"] * len(NAMES)
    assert times_made(folder) == 1
    reader = outputs.written([str(folder / "c.tsv")], [str(folder / name) for name in NAMES])
    with reader as (draft,):
        make(draft, "read")
    assert not hidden(folder)
    delete()
    job(folder)
    assert times_made(folder) == 2


def test_an_orphan_leaves_its_result_to_the_next_job(folder, starter, monkeypatch):
    orphan = process(folder, "1", 0.3)
    wait_for(folder / "begun")
    starter.kill()
    starter.wait()
    orphan.join()
    assert orphan.exitcode == 0
    assert contents(folder) == [""] * len(NAMES)
    monkeypatch.delenv(outputs.SNAKEMAKE)
    with pytest.raises(SystemExit):
        job(folder)
    assert contents(folder) == ["1"] * len(NAMES)
    assert times_made(folder) == 1


def test_an_orphan_never_replaces_what_was_made_of_other_values(folder, starter, monkeypatch):
    orphan = process(folder, "1", 0.3)
    wait_for(folder / "begun")
    starter.kill()
    starter.wait()
    monkeypatch.delenv(outputs.SNAKEMAKE)
    job(folder, "2")
    orphan.join()
    assert contents(folder) == ["2"] * len(NAMES)


def foreign_folder(folder: Path) -> None:
    (folder / "0.zarr").mkdir()
    (folder / "0.zarr" / "mine.txt").write_text("mine")


def foreign_file(folder: Path) -> None:
    (folder / "0.zarr").write_text("mine")


def foreign_folder_of_folders(folder: Path) -> None:
    (folder / "0.zarr" / "mine").mkdir(parents=True)
    (folder / "0.zarr" / "mine" / "cat.png").write_text("mine")


def file_for_a_folder(folder: Path) -> None:
    (folder / "scenes").write_text("mine")


def folder_for_a_table(folder: Path) -> None:
    (folder / "a.tsv").mkdir()


@pytest.mark.parametrize(
    "put",
    [
        *(foreign_folder, foreign_folder_of_folders, foreign_file),
        *(file_for_a_folder, folder_for_a_table),
    ],
)
def test_what_is_no_result_is_never_replaced(folder, put):
    put(folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(
        ValueError, match=r"(0\.zarr|a\.tsv|scenes): this is no result of the workflow"
    ):
        job(folder)
    assert sorted(folder.rglob("*")) == before


def test_what_is_left_of_a_store_is_replaced(folder):
    job(folder)
    (folder / "0.zarr" / "zarr.json").unlink()  # Snakemake was killed while it deleted the store
    outputs._discard(folder / "0.zarr", outputs.KEPT)
    job(folder, "2")
    assert contents(folder) == ["2"] * len(NAMES)


def test_without_hard_links_results_are_written_all_the_same(folder, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    job(folder)
    assert contents(folder) == ["1"] * len(NAMES)
    assert not hidden(folder)


@pytest.mark.parametrize("name", ["0.zarr", "a.tsv", "scenes"])
def test_an_input_of_each_kind_counts_by_its_state(folder, name):
    source = folder / "from" / name
    source.parent.mkdir()
    (source / "a").mkdir(parents=True) if name == "scenes" else make(str(source), "1")
    first = outputs.key_of([str(source)], {})
    assert outputs.key_of([str(source)], {}) == first
    changed = source / "zarr.json" if name == "0.zarr" else source
    os.utime(changed, ns=(0, 0))
    assert outputs.key_of([str(source)], {}) != first


@pytest.mark.parametrize("stamped", [False, True])
def test_an_input_from_the_future_is_refused_by_name_until_its_time_is_set(folder, stamped):
    read = folder / "stores" / "0.zarr"
    read.mkdir(parents=True)
    stamp = read / outputs.STAMP
    times = [read]
    if stamped:
        stamp.touch()
        times = [stamp]
    for ahead, refused in ((outputs.AHEAD / 2, False), (outputs.AHEAD + 60, True)):
        for path in times:
            os.utime(path, (time.time() + ahead,) * 2)
        with suppress(ValueError), outputs.written([str(folder / "a.tsv")], [str(read)]) as drafts:
            make(drafts[0], "1")
        assert (folder / "a.tsv").exists() is not refused
        (folder / "a.tsv").unlink(missing_ok=True)
    with (
        pytest.raises(ValueError, match="its time, .* lies in the future") as raised,
        outputs.written([str(folder / "a.tsv")], [str(read)]),
    ):
        pass
    command = shlex.split(str(raised.value).split("`")[1])
    assert command[:2] == ["find", str(folder / "stores")]
    subprocess.run(command, check=True)
    with outputs.written([str(folder / "a.tsv")], [str(read)]) as drafts:
        make(drafts[0], "1")
