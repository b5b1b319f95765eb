"""Digests of code, models and pictures: what decides whether a rule runs again.

A Snakefile imports this module, so it uses the standard library alone.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

Source = Callable[[str], str | None]  # text of a file by its path; None if it is not of ours
FACE = "stepscope/__init__.py"  # only says where public names are
# The rules that use a table are told its columns; what a job says of itself changes no result.
APART = (FACE, "stepscope/table_registry.py", "stepscope/table_columns.py", "stepscope/joblog.py")
SMALL = 2**26  # a model's files up to this size are hashed whole
ENDS = 2**16  # of larger ones, this much of both ends
PIECE = 2**9  # and of each tensor of a larger safetensors file, this much from its middle


class Parsed(NamedTuple):
    """What a source text imports (see `imports`), and the digest of what it does."""

    imports: list[tuple[str, list[str]]]
    digest: str


def digest(modules: Collection[str], source: Source) -> str:
    """Digest of modules, by their dotted names, and of all that they import.

    Comments, layout and docstrings do not count: they must not regenerate traces. Nor do modules
    that change no result by themselves (`APART`).
    """
    texts = closure(modules, source)
    whole = "".join(
        f"{path}:{_parsed(text).digest};"
        for path, text in sorted(texts.items())
        if path not in APART
    )
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def of_values(*values: object) -> str:
    """Digest of plain values, "" of none."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12] if values else ""


def closure(modules: Collection[str], source: Source) -> dict[str, str]:
    """Texts by path of modules, of all that they import, and of the packages they are in.

    A ValueError names the file and line of a text that is no Python.
    """
    todo = list(modules)
    seen: set[str] = set()
    texts: dict[str, str] = {}
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        path, text = _located(module, source)
        if text is None:
            continue
        texts[path] = text
        package = module if path.endswith("/__init__.py") else module.rpartition(".")[0]
        todo.append(module.rpartition(".")[0])
        for base, names in _imports(text, path) if path not in APART else ():
            base = _absolute(base, package)
            todo.append(base)
            if base == "stepscope":
                todo += public(names, source)
            base_path, _ = _located(base, source)
            if base_path.endswith("/__init__.py"):
                todo += [f"{base}.{name}" for name in names]  # which may be modules
    return texts


def public(names: Collection[str], source: Source) -> list[str]:
    """Modules of names that the package itself offers; of all where no names are taken."""
    homes = _homes(source(FACE) or "")
    return [homes[name] for name in names or homes if name in homes]


@functools.cache
def _homes(text: str) -> dict[str, str]:
    """Module of each name that a source text imports, under the name that it has there."""
    return {
        alias.asname or alias.name: node.module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _located(module: str, source: Source) -> tuple[str, str | None]:
    """Path and text of a module; the text is None where there is none."""
    path = module.replace(".", "/")
    if (text := source(f"{path}.py")) is not None:
        return f"{path}.py", text
    return f"{path}/__init__.py", source(f"{path}/__init__.py")


def _absolute(base: str, package: str) -> str:
    """Name of what a module of a package imports from; dots in front count from the package."""
    name = base.lstrip(".")
    if name == base:
        return base
    levels, dots = package.split("."), len(base) - len(name)
    above = levels[: len(levels) + 1 - dots]  # one dot is the package itself
    return ".".join([*above, name] if name else above)


def _imports(text: str, path: str) -> list[tuple[str, list[str]]]:
    """What the text of a file imports (see `imports`)."""
    try:
        return _parsed(text).imports
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}.") from None


@functools.cache  # each rule asks for nearly all modules, whenever the workflow is parsed
def _parsed(text: str) -> Parsed:
    """A source text's imports and digest."""
    tree = ast.parse(text)
    taken = imports(tree)  # before the docstrings are taken out of the tree
    return Parsed(taken, hashlib.sha256(_without_docstrings(tree).encode()).hexdigest())


def imports(tree: ast.AST) -> list[tuple[str, list[str]]]:
    """(module, names taken from it) of every import of a syntax tree, wherever it stands.

    The names are empty for `import a.b`; a relative import keeps its dots.
    """
    taken: list[tuple[str, list[str]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            taken += [(alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            taken.append((base, [alias.name for alias in node.names]))
    return taken


def _without_docstrings(tree: ast.AST) -> str:
    """Dump of a syntax tree, from which the docstrings are removed."""
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
            continue  # words about a model change nothing
        whole.update(f"{path.relative_to(folder).as_posix()}:".encode())
        _add(whole, path)
    return whole.hexdigest()[:12]


@functools.cache
def picture(path: str) -> str:
    """Digest of a picture file."""
    whole = hashlib.sha256()
    _add(whole, Path(path))
    return whole.hexdigest()[:12]


def masks(truth: Mapping[str, str | Mapping[str, Any]]) -> str:
    """Digest of what true masks are made from: folders of files, or pictures with boxes."""
    paths = [mask if isinstance(mask, str) else mask["image"] for mask in truth.values()]
    return of_values(*(fingerprint(Path(p)) if Path(p).is_dir() else picture(p) for p in paths))


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
