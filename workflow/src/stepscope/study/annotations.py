"""Annotations of a method's parameters, as JSON schemas of what a study may give them.

A Snakefile imports this module, so it uses the standard library alone.
"""

import ast
from collections.abc import Callable
from typing import Any

PLAIN = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}
# the expression that a name stands for in the module of the annotation; None if it is not known
Meaning = Callable[[str], ast.expr | None]


def schema_of(annotation: ast.expr | None, meaning: Meaning) -> dict[str, Any]:
    """Schema of the values that an annotation allows, {} of one that says nothing of plain values.

    `int`, `float`, `str`, `bool` and None, `Literal` of plain values, sequences and unions of
    these, and `Annotated` with keywords of JSON Schema, such as {"minimum": 2}.
    """
    match annotation:
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.Name(id=name) if name in PLAIN:
            return {"type": PLAIN[name]}
        case ast.Name(id=name) if (meant := meaning(name)) is not None:
            return schema_of(meant, meaning)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            sides = [schema_of(side, meaning) for side in (left, right)]
            return {"anyOf": sides, "description": f"of type {ast.unparse(annotation)}"}
        case ast.Subscript(value=ast.Name(id=name), slice=inside):
            parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            return _generic(name, parts, meaning)
    return {}


def _generic(name: str, parts: list[ast.expr], meaning: Meaning) -> dict[str, Any]:
    """Schema of a type with others in brackets."""
    match name:
        case "Sequence" | "list":
            return {"type": "array", "items": schema_of(parts[0], meaning)}
        case "Literal":
            return {"enum": [value for part in parts for value in _literals(part, meaning)]}
        case "Annotated":
            schema = schema_of(parts[0], meaning)
            for part in parts[1:]:
                if isinstance(part, ast.Dict):
                    schema |= ast.literal_eval(part)
            return schema
    return {}


def _literals(part: ast.expr, meaning: Meaning) -> list[Any]:
    """Values of a part of a Literal, which may be the name of another Literal."""
    if isinstance(part, ast.Name):
        return schema_of(part, meaning).get("enum", [])
    return [ast.literal_eval(part)]
