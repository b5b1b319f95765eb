"""Writing a job's files: by one process at a time, beside what is there, renamed when complete.

Whoever is killed leaves nothing in the place of a result. Snakemake deletes a finished result that
it has no record of, as when it was killed itself: so what took long is also kept under a second
name, by hard links and thus without space, until another job reads it.
"""

import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

SNAKEMAKE = "STEPSCOPE_SNAKEMAKE"  # the process that started the job, as package.smk says
STORE, KEPT, DRAFT = ".zarr", "kept", "draft"  # how names end
STAMP = ".snakemake_timestamp"  # in a folder: the file whose time is the folder's
AHEAD = 60  # seconds that an input's time may lie in the future: clocks of two machines differ


@contextmanager
def written(
    outputs: Sequence[str], inputs: Sequence[str], made_from: Mapping[str, Any] | None = None
) -> Iterator[list[str]]:
    """Paths to write a job's files to, in the order of `outputs`, renamed into place at the end.

    Another process that writes them is waited for. With `made_from`, plain values, what was made
    of the same inputs and values is put into place instead, which ends the process (SystemExit 0).
    A job whose Snakemake is gone leaves its result to the next one, since nobody records it.
    Whatever is in a store's place and is no store raises ValueError, and so does an input from the
    future, which Snakemake takes for one that was written meanwhile: it refuses the result.
    """
    places, starter = [Path(path) for path in outputs], _starter()
    for name in inputs:
        _refuse_future(Path(name))
        _discard(Path(name), KEPT)  # as an input it is on record
    with alone(_beside(places[0], "lock")):
        for place in places:
            _refuse_foreign(place)
        key = None if made_from is None else key_of(inputs, made_from)
        kept = [_beside(place, f"{key}.{KEPT}") for place in places]
        if key is not None and all(path.exists() for path in kept) and _put_again(kept, places):
            print("This was finished by another job, which Snakemake has no record of.", flush=True)
            raise SystemExit(0)
        for place in places:
            _discard(place, KEPT)
            _discard(place, DRAFT)
        drafts = [_draft(place) for place in places]
        try:
            yield [str(path) for path in drafts]
            lost = starter is not None and not _runs(starter)
            if lost:
                print("The Snakemake that started this job is gone.", flush=True)
            if key is not None:
                for draft, path in zip(drafts, kept, strict=True):
                    draft.rename(path)
            if not lost:
                for place, made in zip(places, drafts if key is None else kept, strict=True):
                    _put(made if key is None else _linked(made, place), place)
        finally:
            for draft in drafts:
                _remove(draft)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock file that is there only meanwhile; whoever is killed releases it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"Another job writes this; waiting for {lock}.", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(lock, file.fileno()):
                continue  # its last holder has removed it
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def key_of(inputs: Sequence[str], made_from: Mapping[str, Any]) -> str:
    """Digest of a job's values and of the state of its inputs."""
    stores = [Path(path, "zarr.json") for path in inputs]
    files = [store if store.is_file() else store.parent for store in stores]
    states = [path.stat() for path in files]
    read = [(path, at.st_size, at.st_mtime_ns) for path, at in zip(inputs, states, strict=True)]
    text = json.dumps([read, made_from], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _beside(place: Path, what: str) -> Path:
    """Hidden path beside a result."""
    return place.with_name(f".{place.name}.{what}")


def _draft(place: Path) -> Path:
    """A name that nobody else has; it ends like the result's, since writers go by that."""
    return _beside(place, f"{uuid4().hex}.{DRAFT}{place.suffix}")


def _discard(place: Path, kind: str) -> None:
    """Remove what is kept of a result, or the drafts of the killed."""
    for path in place.parent.glob(f".{glob.escape(place.name)}.*.{kind}*"):
        gone = _draft(place)
        try:
            path.rename(gone)  # at once, so that nobody takes half of it
        except FileNotFoundError:
            continue
        _remove(gone)


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _linked(made: Path, place: Path) -> Path:
    """A draft of hard links to what is kept; where there are no such links, that itself."""
    draft = _draft(place)
    try:
        if made.is_dir():
            shutil.copytree(made, draft, copy_function=os.link)
        else:
            os.link(made, draft)
    except OSError:
        _remove(draft)
        made.rename(draft)
    return draft


def _put_again(kept: Sequence[Path], places: Sequence[Path]) -> bool:
    """Put kept results into place; False if another job has just removed one."""
    try:
        for made, place in zip(kept, places, strict=True):
            if not _is_linked(made, place):
                _put(_linked(made, place), place)
    except FileNotFoundError:
        return False
    return True


def _is_linked(made: Path, place: Path) -> bool:
    """Whether what is kept of a result is also in its place."""
    file = next((path for path in made.rglob("*") if path.is_file()), made)
    twin = place / file.relative_to(made)
    return twin.exists() and twin.samefile(file)


def _put(draft: Path, place: Path) -> None:
    """Rename a complete draft into place, over what is there."""
    _refuse_foreign(place)
    try:
        os.replace(draft, place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        before = _draft(place)
        place.rename(before)
        draft.rename(place)
        _remove(before)


def is_foreign(place: Path) -> bool:
    """Whether something else than a store, a part of one, a folder or a file is in its place."""
    if not place.suffix:
        return place.exists() and not place.is_dir()
    if place.suffix != STORE:
        return place.is_dir()
    if not place.is_dir():
        return place.exists()
    if (place / "zarr.json").is_file():
        return False
    files = (path for path in place.rglob("*") if path.is_file())
    return not all(path.name.startswith(("zarr.json", "c.", ".snakemake")) for path in files)


def _refuse_foreign(place: Path) -> None:
    """Raise ValueError if something else than a result is in its place."""
    if is_foreign(place):
        raise ValueError(f"{place}: this is no result of the workflow; move it away.")


def _refuse_future(path: Path) -> None:
    """Raise ValueError if a file or folder is from the future."""
    stamp = path / STAMP
    file = stamp if stamp.is_file() else path
    if file.exists() and (at := file.stat().st_mtime) > time.time() + AHEAD:
        when = datetime.fromtimestamp(at).isoformat(" ", "seconds")
        top = path.parent if path.is_absolute() else path.parts[0]
        raise ValueError(
            f"{path}: its time, {when}, lies in the future; once the clock is right, "
            f"`find {top} -newermt now -exec touch {{}} +` gives all that is there the present one."
        )


def _starter() -> int | None:
    """Process id of the Snakemake that started this job, if it can be seen."""
    number = int(os.environ.get(SNAKEMAKE, 0))
    return number if number and _runs(number) else None


def _runs(process: int) -> bool:
    """Whether a process of this number runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
