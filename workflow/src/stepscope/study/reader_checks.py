"""Checks of a study's concepts and their readers, read from their source without importing it.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import ast
from collections.abc import Mapping
from typing import Any

from stepscope.language import parts
from stepscope.study.definitions import Source, definition
from stepscope.study.suggestions import did_you_mean

FIRST = ("pictures", "families")  # what every reader takes before its parameters
PLACEMENT = {"function", "samplings", "samples"}  # keys of an entry that are no parameters


def check_concepts(families: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Refuse a concept family that has one concept twice, whatever its case and spelling.

    The ValueError begins with the file `where` and names the family.
    """
    for name, family in families.items():
        known: dict[tuple[str, ...], str] = {}
        for concept in family["concepts"]:
            other = known.setdefault(tuple(parts(concept)), concept)
            if other != concept:
                raise ValueError(
                    f"{where}: probe/families/{name}/concepts: {concept!r} and {other!r} are the "
                    "same words; leave one out."
                )


def check_readers(readers: Mapping[str, Mapping[str, Any]], source: Source, where: str) -> None:
    """Refuse functions that do not exist, and parameters that they do not take, by their text.

    The ValueError begins with the file `where` and names the key.
    """
    for name, entry in readers.items():
        here = f"{where}: probe/readers/{name}"
        found = definition(entry["function"], source, f"{here}/function")
        if not isinstance(found, ast.FunctionDef) or found.decorator_list:
            continue  # what only running it would tell
        given = [*found.args.posonlyargs, *found.args.args]
        if len(given) < len(FIRST) and found.args.vararg is None:
            raise ValueError(
                f"{here}/function: {found.name} takes {len(given)} arguments by position, and a "
                "reader two, pictures and the concepts of each family."
            )
        known = [argument.arg for argument in [*given[len(FIRST) :], *found.args.kwonlyargs]]
        unknown = sorted(entry.keys() - PLACEMENT - set(known))
        if unknown and found.args.kwarg is None:
            raise ValueError(
                f"{here}/{unknown[0]}: {found.name} has no such key"
                f"{did_you_mean(unknown[0], known)}."
            )
