"""Values of a config against a JSON schema, read more strictly than the standard does.

A Snakefile imports this module, so it uses only what Snakemake itself needs.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import jsonschema

from stepscope.study.suggestions import did_you_mean

Schema = Mapping[str, Any]


def _is_integer(_checker: Any, value: object) -> bool:
    """Whether a value is written as an integer: to the standard 4.0 is one, and ends in a job."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(checker: Any, value: object) -> bool:
    """Whether a value is a number that a float can hold, neither NaN nor infinite."""
    try:
        whole = _is_integer(checker, value)
        return (whole or isinstance(value, float)) and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False


def _matches(
    _validator: Any, pattern: str, value: object, _schema: Schema
) -> Iterator[jsonschema.ValidationError]:
    """A text's pattern, whose $ is the very end; to Python it is also before a last line end."""
    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {"pattern": _matches},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


def check(value: Any, schema: Schema, where: str, at: Sequence[str] = ()) -> None:
    """Refuse a value that a schema does not allow; `at` is the path of its key.

    The ValueError is one sentence that begins with `where` and the path of what is wrong.
    """
    error = jsonschema.exceptions.best_match(Validator(schema).iter_errors(value))
    if error is None:
        return
    path, message = [*at, *map(str, error.absolute_path)], _message(error)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        name = next(name for name in error.instance if name not in known)
        path, message = [*path, name], f"the key is not known{did_you_mean(name, known)}"
    raise ValueError(": ".join([where, *(["/".join(path)] if path else []), f"{message}."]))


def check_keys(value: Any, where: str, at: Sequence[str] = ()) -> None:
    """Refuse mappings whose keys are no texts: YAML reads 20 as a number and no as false.

    The ValueError begins with `where` and the path of the mapping, which is below `at`.
    """
    items = enumerate(value) if isinstance(value, list) else ()
    for key, inner in value.items() if isinstance(value, dict) else items:
        if isinstance(value, dict) and not isinstance(key, str):
            path = ": ".join([where, *(["/".join(at)] if at else [])])
            truth = " (to YAML no, off, yes and on are)" if isinstance(key, bool) else ""
            raise ValueError(f"{path}: the key {key!r}{truth} is no text; write it in quotes.")
        check_keys(inner, where, [*at, str(key)])


def _message(error: jsonschema.ValidationError) -> str:
    """What is wrong with a value, and what was probably meant."""
    value: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    if error.validator in ("oneOf", "anyOf", "pattern") and "description" in schema:
        return f"{value!r} is not {schema['description']}"
    if error.validator == "not":  # nothing is allowed: the key is known, but has no place here
        return "the key does not go with the others"
    if error.validator == "enum" and isinstance(value, str):
        return error.message + did_you_mean(value, [name for name in wanted if name is not None])
    if error.validator == "type":
        if isinstance(value, float) and "integer" in wanted and value.is_integer():
            return f"{error.message}; write {int(value)}"
        if "string" in wanted and isinstance(value, int | float | date):
            return f"{error.message}; write it in quotes"
        if isinstance(value, int | float) and "number" in wanted and not isinstance(value, bool):
            return f"{value!r} is not a finite number"
    return error.message
