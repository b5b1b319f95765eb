"""The package's source files, as a Snakefile finds them."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "workflow" / "src"


def source(name: str) -> str | None:
    """Text of a file of the package by its path in src/; None if there is none."""
    path = SOURCE / name
    return path.read_text() if path.exists() else None
