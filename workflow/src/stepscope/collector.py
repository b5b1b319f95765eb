"""Python's collector of cycles, kept from looking through libraries while they are imported.

Importing those of models makes a million objects that stay, and the collector walks through them
again and again to find nothing: a fifth of the seconds that an import takes.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Collect nothing in the block."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def resume() -> None:
    """Collect again where a script has paused it, but never look through what is there now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
