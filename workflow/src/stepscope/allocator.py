"""The C library's allocator, told to keep the pages of large buffers that are freed.

glibc maps every large buffer anew and gives it back when it is freed. A network frees and takes the
same sizes in each call, so that a fifth to a half of the time goes into page faults.
"""

import ctypes
import functools
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_pages() -> None:
    """Let glibc reuse large buffers for the rest of the process; elsewhere nothing changes."""
    if library := glibc():
        library.mallopt(M_MMAP_MAX, 0)  # no buffer is a mapping of its own
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # what is freed stays with the process


def release_pages() -> None:
    """Give back what is free now, so that the process's size is what it uses."""
    if library := glibc():
        library.malloc_trim(0)


@functools.cache
def glibc() -> ctypes.CDLL | None:
    """The C library where it is glibc."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
