"""A job's own log: everything it prints, and a progress bar that stays on the terminal."""

import io
import logging
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO, TypeVar

from tqdm import tqdm

from stepscope import allocator

Item = TypeVar("Item")
_terminal: TextIO | None = None  # the job's stderr before the redirection; None outside a job


@contextmanager
def joblog(path: str) -> Iterator[None]:
    """Send stdout, stderr, logging and tracebacks of the block to the file `path`.

    File descriptors are redirected beside `sys.stdout`, so that what libraries print from C and
    what child processes print arrives too. An exception is logged with its traceback, shown as one
    line on the terminal and ends the process with status 1 (SystemExit).
    """
    global _terminal
    allocator.keep_pages()  # before anything large is made
    sys.stdout.flush()
    sys.stderr.flush()
    stdout, stderr = os.dup(1), os.dup(2)
    root = logging.getLogger()
    level = root.level
    with (
        os.fdopen(os.dup(2), "w", buffering=1) as terminal,
        open(path, "w", buffering=1) as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        _terminal = terminal
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
            traceback.print_exc()
            print(f"{type(error).__name__}: {error} (log: {path})", file=terminal)
            raise SystemExit(1) from error
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
            logging.captureWarnings(False)
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.close(stdout)
            os.close(stderr)
            _terminal = None


def bar(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Iterate over `items` with a progress bar on the terminal and its last line in the log."""
    # a bar redraws its line, which only a terminal can show
    hidden = _terminal is not None and not _terminal.isatty()
    file = io.StringIO() if hidden else _terminal
    progress = tqdm(items, desc=what, total=total, file=file, leave=False, mininterval=1)
    yield from progress
    if _terminal is not None:
        print(progress)
