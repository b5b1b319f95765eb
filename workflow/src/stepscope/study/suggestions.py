"""Hints in error messages at names that were probably meant.

A Snakefile imports this module, so it uses the standard library alone.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The phrase ", did you mean X" with the known name nearest to `name`; "" if none is near."""
    return "".join(f", did you mean {near}" for near in get_close_matches(name, known, 1))
