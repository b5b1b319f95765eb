"""A job's own log: everything it prints, lines that say how far it is, and what it failed of."""

import errno
import io
import logging
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO, TypeVar

from tqdm import tqdm

from stepscope import allocator, collector
from stepscope.escapes import escaped, escaped_lines

Item = TypeVar("Item")
FAILED = "Failed: "  # begins the first line of a failed job's log
EVERY = 10  # seconds between two lines of a bar in a log; `progress` reads the last one
LINE = "{desc}: {n_fmt} of {total_fmt}, {elapsed} gone, {remaining} left"
# What libraries say whose errors are their own: of a disk; of memory on the CPU on Linux, there
# elsewhere, by cuDNN and mps, and by the system.
NO_ROOM = ("No space left on device", "Disk quota exceeded")
NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "Cannot allocate memory",
)
NO_THREAD = "can't start new thread"  # for want of memory, or by a limit of the system
ROOM = "make room and start again, what is finished is kept"
MEMORY = "run fewer jobs at a time (--cores 1), or on a machine with more"
_log: TextIO | None = None  # the job's log; None outside a job


@contextmanager
def joblog(path: str) -> Iterator[None]:
    """Send stdout, stderr, logging and tracebacks of the block to the file `path`.

    File descriptors are redirected beside `sys.stdout`, so that what libraries print from C and
    what child processes print arrives too. An exception is logged with its traceback, becomes one
    line on the terminal and the first of the log, and ends the process with status 1 (SystemExit).
    """
    global _log
    allocator.keep_pages()  # before anything large is made
    collector.resume()  # all that a script imports at once is there
    sys.stdout.flush()
    sys.stderr.flush()
    stdout, stderr = os.dup(1), os.dup(2)
    root = logging.getLogger()
    level = root.level
    # a prompt may hold what neither the terminal nor UTF-8 can write
    with (
        os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal,
        _opened(path, terminal) as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        _log = log
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        handler = logging.StreamHandler(log)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        logging.captureWarnings(True)
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            yield
        except Exception as error:
            with suppress(OSError):  # the disk may be full
                traceback.print_exc()
                log.flush()
            with suppress(OSError):
                _put_first(f"{FAILED}{sentence(error)}\n\n", Path(path))
            _tell(terminal, error, path)
            raise SystemExit(1) from error
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
            logging.captureWarnings(False)
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.close(stdout)
            os.close(stderr)
            _log = None


class _Log(io.TextIOWrapper):
    """A log whose lines hold no control characters of what a user wrote."""

    def write(self, text: str, /) -> int:
        return super().write(escaped_lines(text))


@contextmanager
def _opened(path: str, terminal: TextIO) -> Iterator[_Log]:
    """A log, which is closed at the end whether there is room for its last lines or not."""
    try:
        file = open(path, "wb", opener=_appending)
    except OSError as error:
        _tell(terminal, error, path)
        raise SystemExit(1) from error
    log = _Log(file, encoding="utf-8", errors="backslashreplace", line_buffering=True)
    try:
        yield log
    finally:
        with suppress(OSError):
            log.close()


def _tell(terminal: TextIO, error: Exception, path: str) -> None:
    """Say on the terminal what a job failed of."""
    clear = "\r\x1b[K" if terminal.isatty() else ""  # the run's progress may be there
    print(f"{clear}{sentence(error)} (log: {path})", file=terminal)


def sentence(error: Exception) -> str:
    """First line of what an error says, with its class but where that is a plain ValueError.

    Of memory and of a disk without room it also says what to do.
    """
    for behind in _chain(error):  # a library may stumble over what a full disk left half done
        error = behind if isinstance(behind, Exception) and has_no_room(behind) else error
    said, *more = str(error).strip().splitlines() or [""]
    name = type(error).__name__
    if has_no_room(error):
        name = f"the disk of {getattr(error, 'filename', None) or os.getcwd()} is full"
        said, more = f"{said}; {ROOM}", []
    elif is_out_of_memory(error):
        name = "there is not enough memory"
        said, more = f"{said or type(error).__name__}; {MEMORY}", []
    elif isinstance(error, RuntimeError) and NO_THREAD in str(error):
        name = "there is not enough memory, or no more processes are allowed (ulimit -u)"
        said, more = f"{said}; {MEMORY}", []
    parts = [] if type(error) is ValueError and said else [name]
    return escaped(": ".join(filter(None, [*parts, said])) + (" …" if more else ""))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exceptions during whose handling an exception came."""
    while error.__context__ is not None:
        error = error.__context__
        yield error


def has_no_room(error: Exception) -> bool:
    """Whether an exception says that a file could not grow."""
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or (
        not isinstance(error, ValueError) and any(text in str(error) for text in NO_ROOM)
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was not enough; torch's are RuntimeErrors."""
    if isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    ):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)


def _appending(path: str, flags: int) -> int:
    """Open a file whose end is where it was cut to, if that happens."""
    return os.open(path, flags | os.O_APPEND, 0o666)


def _put_first(head: str, path: Path) -> None:
    """Write a text before what a file holds; where there is no room for both, in its place."""
    if not path.is_file():
        return
    text, changed = head.encode("utf-8", "backslashreplace"), path.with_name(f"{path.name}.tmp")
    try:
        changed.write_bytes(text + path.read_bytes())
        os.replace(changed, path)
    except OSError:
        changed.unlink(missing_ok=True)
        path.write_bytes(text)


def bar(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Iterate over `items` and say how many are done: in a job, lines in its log; else a bar."""
    if _log is None:
        yield from tqdm(items, desc=what, total=total, leave=False, mininterval=1)
        return
    yield from tqdm(
        items,
        desc=what,
        total=total,
        file=_Lines(_log),
        bar_format=LINE,
        mininterval=EVERY,
        miniters=1,
        smoothing=0,
    )


class _Lines:
    """A file for a bar that is drawn again and again, whose drawings become lines of another."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, text: str) -> None:
        """Write what was drawn as a line; blanks only erase a line of a terminal."""
        if text.strip():
            self.file.write(f"{text.strip()}\n")

    def flush(self) -> None:
        """Write what is held back."""
        self.file.flush()
