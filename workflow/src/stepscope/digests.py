"""Digests of code, models and pictures: what decides whether a rule runs again.

A Snakefile imports this module, so it uses the standard library alone.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

SMALL = 2**26  # a model's files up to this size are hashed whole
ENDS = 2**16  # of larger ones, this much of both ends
PIECE = 2**9  # and of each tensor of a larger safetensors file, this much from its middle


def digest(modules: list[str], source: Callable[[str], str | None]) -> str:
    """Digest of package modules and all that they import from the package.

    Comments, layout and docstrings do not count: they must not regenerate traces.
    """
    texts = closure(modules, source)
    whole = "".join(f"{module}:{_parsed(texts[module])[1]};" for module in sorted(texts))
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def closure(modules: list[str], source: Callable[[str], str | None]) -> dict[str, str]:
    """Texts of modules and of all that they import from the package."""
    todo, seen = list(modules), {}
    while todo:
        module = todo.pop()
        if module in seen or (text := source(module)) is None:
            continue
        seen[module] = text
        todo += _parsed(text)[0]
    return seen


@functools.cache  # each rule asks for nearly all modules, whenever the workflow is parsed
def _parsed(text: str) -> tuple[list[str], str]:
    """Modules of the package that a source text imports, and the digest of what it does."""
    tree = ast.parse(text)
    names = imported(tree)
    return names, hashlib.sha256(_without_docstrings(tree).encode()).hexdigest()


def imported(tree: ast.AST) -> list[str]:
    """Names of the package's modules that a syntax tree imports, wherever it does."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "stepscope" * bool(node.level) + "." * bool(node.level and node.module)
            base += node.module or ""
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [name.split(".")[1] for name in names if name.startswith("stepscope.")]


def _without_docstrings(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            del body[0]
    return ast.dump(tree)


@functools.cache
def fingerprint(folder: Path) -> str:
    """Digest of a model folder: names and sizes, small files whole, of large ones a sample.

    The sample has a piece of every tensor, so that a model of which only some layers were changed
    is another model. Read whenever the workflow is parsed, so it must not read gigabytes;
    independent of where the folder lies and of modification times, so a moved clone regenerates
    nothing.
    """
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix in (".md", ".tsv") or path.name == "card.json":
            continue  # what is told about a model changes nothing
        whole.update(f"{path.relative_to(folder).as_posix()}:".encode())
        _add(whole, path)
    return whole.hexdigest()[:12]


@functools.cache
def picture(path: str) -> str:
    """Digest of a picture file."""
    whole = hashlib.sha256()
    _add(whole, Path(path))
    return whole.hexdigest()[:12]


def _add(whole: "hashlib._Hash", path: Path) -> None:
    """Add a file to a digest: its size, and a small one whole, of a large one a sample."""
    size = path.stat().st_size
    whole.update(f"{size};".encode())
    with path.open("rb") as file:
        if size <= SMALL:
            whole.update(file.read())
        else:
            whole.update(file.read(ENDS))
            file.seek(-ENDS, 2)
            whole.update(file.read(ENDS))
            if path.suffix == ".safetensors":
                for middle in _middles(file):
                    file.seek(middle)
                    whole.update(file.read(PIECE))


def _middles(file: BinaryIO) -> list[int]:
    """Offsets of the middles of a safetensors file's tensors, from its header."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
    tensors = (value["data_offsets"] for key, value in header.items() if key != "__metadata__")
    return sorted(8 + length + (start + end) // 2 for start, end in tensors)
