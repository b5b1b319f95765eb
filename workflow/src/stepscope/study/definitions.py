"""What a study names as `module:name`, found in the module's text: importing it takes seconds.

A Snakefile imports this module, so it uses the standard library alone.
"""

import ast
import functools
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from stepscope.study.suggestions import did_you_mean

Source = Callable[[str], str | None]  # text of a file by its path; None if there is none


class Module(NamedTuple):
    """A module's file and syntax tree; None for what is not written in Python, or not found."""

    path: str
    tree: ast.Module | None


def definition(reference: str, source: Source, where: str) -> ast.stmt | None:
    """The statement that defines what "module:name" names; None if only running it would tell.

    Modules are sought by `source`, then among those that are installed. A module that does not
    exist, whose syntax is wrong or that has no such name is a ValueError that begins with `where`.
    """
    module, _, name = reference.partition(":")
    path, tree = parsed(module, source, where)
    if tree is None:
        return None
    names: dict[str, ast.stmt] = {}
    for statement in _statements(tree):
        names |= dict.fromkeys(_defined(statement), statement)
    if name in names:
        return names[name]
    if {"*", "__getattr__"} & names.keys():
        return None
    raise ValueError(f"{where}: {path} has no {name!r}{did_you_mean(name, names)}.")


def parsed(module: str, source: Source, where: str) -> Module:
    """A module by its dotted name; a ValueError that begins with `where` says what is wrong."""
    path = module.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__init__.py"):
        try:
            text = source(candidate)
        except UnicodeDecodeError:
            raise ValueError(f"{where}: {candidate} is not UTF-8.") from None
        if text is not None:
            if module.partition(".")[0] in sys.stdlib_module_names:
                raise ValueError(
                    f"{where}: {candidate} has the name of a module of Python's own, which would "
                    "be imported; rename the file."
                )
            return Module(candidate, _tree(text, candidate, where))
    origin = _installed(module, where)
    if not origin.endswith(".py"):
        return Module(origin, None)
    return Module(origin, _tree(Path(origin).read_text(encoding="utf-8"), origin, where))


def _tree(text: str, path: str, where: str) -> ast.Module:
    """Syntax tree of a text; a ValueError names its file and line."""
    try:
        return _parse(text)
    except SyntaxError as error:
        raise ValueError(f"{where}: {path}, line {error.lineno}: {error.msg}.") from None


_parse = functools.cache(ast.parse)  # methods of one module are asked about again and again


def _installed(module: str, where: str) -> str:
    """File of an installed module, found without importing the packages above it."""
    top, *below = module.split(".")
    try:
        spec = find_spec(top)
    except ValueError:  # a module that is running
        return ""
    for name in below:
        places = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(f"{spec.name}.{name}", places) if spec and places else None
    if spec is None:
        raise ValueError(
            f"{where}: there is no module {module}, neither below the working directory nor "
            "installed."
        )
    return spec.origin or ""


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported, those in branches among them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _statements(child)


def _defined(statement: ast.stmt) -> list[str]:
    """Names that a statement gives to something; * where it takes all of another module."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name.partition(".")[0] for alias in aliases]
        case ast.Assign() | ast.AnnAssign():
            names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
            return [node.id for node in names if isinstance(node.ctx, ast.Store)]
    return []
