"""Checks of a study's methods, read from their source without importing it.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stepscope.study import values
from stepscope.study.annotations import schema_of
from stepscope.study.definitions import Source, definition
from stepscope.study.suggestions import did_you_mean

FIRST = ("denoiser", "step")  # what every method takes before its parameters
# keys of an entry that are no parameters
PLACEMENT = {"function", "samplings", "steps", "samples", "forward_batch", "games", "denoiser"}
BASELINES = ("baselines", "random", "centre", "edge")
# Axes and coordinates of a store, beside which a method's maps lie.
AXES = ("sample", "step", "word", "other_word", "layer", "y", "x")
LABELS = (*AXES, "prompt_id", "seed", "timestep", "log_snr", "word_text", "word_role")
TRANSPARENT = {"method", "inference_mode", "no_grad", "enable_grad"}  # decorators


class Parameter(NamedTuple):
    """A parameter of a function, as its source spells it."""

    annotation: ast.expr | None
    default: ast.expr | None


def check_methods(explain: Mapping[str, dict[str, Any]], source: Source, where: str) -> None:
    """Refuse functions that do not exist, and parameters that they do not take, by their text.

    The ValueError begins with the file `where` and names the key.
    """
    for name, entry in explain.items():
        function = _method(name, entry, source, where)
        if function is not None:  # otherwise the first job that imports it checks
            _check_entry(name, entry, function, source, where)
    _check_names(explain, source, where)


def _check_entry(
    name: str, entry: Mapping[str, Any], function: ast.FunctionDef, source: Source, where: str
) -> None:
    """Refuse a function that is no method, and what it does not take or is not given."""
    here, parameters = f"{where}: explain/{name}", _parameters(function)
    first = [*function.args.posonlyargs, *function.args.args]
    if len(first) < len(FIRST) and function.args.vararg is None:
        raise ValueError(
            f"{here}/function: {function.name} takes {len(first)} arguments by position, and a "
            "method two, a denoiser and a step."
        )
    if "denoiser" in entry and _declared(function, "replays") is False:
        raise ValueError(
            f"{here}/denoiser: {function.name} reads the trace and asks no denoiser; leave it out."
        )
    for key in sorted(entry.keys() - PLACEMENT):
        if key in parameters:
            schema = schema_of(parameters[key].annotation, _meaning(entry["function"], source))
            values.check(entry[key], schema, where, ("explain", name, key))
        elif function.args.kwarg is None:
            raise ValueError(
                f"{here}/{key}: {function.name} has no such key{did_you_mean(key, parameters)}."
            )
    for key, parameter in parameters.items():
        if parameter.default is None and key not in entry:
            raise ValueError(f"{here}: {function.name} needs the key {key}.")
    for key, values_that_fix in (_declared(function, "fixes") or {}).items():
        chosen = _value(entry, key, function)
        for other, value in values_that_fix.get(chosen, {}).items():
            if (found := _value(entry, other, function)) != value:
                raise ValueError(
                    f"{here}/{other}: {found} does not go with {key}: {chosen}; set {other} to "
                    f"{value}, or another {key}."
                )


def _check_names(explain: Mapping[str, dict[str, Any]], source: Source, where: str) -> None:
    """Refuse methods whose maps have a name that others have, a baseline or an axis among them."""
    owners = dict.fromkeys(BASELINES, "the baselines")
    owners |= dict.fromkeys(LABELS, "an axis of the stores")
    for method, entry in explain.items():
        function = _method(method, entry, source, where)
        variants = entry.get("variants", function and _default(function, "variants"))
        endings = ["_se", *(f"_{name}" for name in variants or ())] if function else ["_se"]
        for name in [method, *(f"{method}{ending}" for ending in endings)]:
            if name in owners:
                raise ValueError(
                    f"{where}: explain/{method}: the name {name} also stands for {owners[name]}; "
                    "rename one."
                )
            owners[name] = f"maps of explain/{method}"


def check_guidance(
    explain: Mapping[str, dict[str, Any]], source: Source, where: str, reason: str
) -> None:
    """Refuse methods that compare both guidance halves where there is one, for `reason`.

    The ValueError begins with the file `where` and names the method.
    """
    for name, entry in explain.items():
        function = _method(name, entry, source, where)
        if function is None:
            continue
        halves = _declared(function, "halves")
        needing = halves if isinstance(halves, dict) else {}
        keys = [key for key in needing if _value(entry, key, function) in needing[key]]
        if halves is True or keys:
            others = "".join(
                f", or set its {key} to something else than {', '.join(needing[key])}"
                for key in keys
            )
            raise ValueError(
                f"{where}: explain/{name}: the method compares the outputs with and without the "
                f"prompt, but {reason}; leave it out{others}."
            )


def smallest_latent(name: str, entry: Mapping[str, Any], source: Source, where: str) -> int:
    """Cells of the shorter side of a latent that a method needs at least, as its decorator says."""
    function = _method(name, entry, source, where)
    return (function and _declared(function, "smallest")) or 1


def _method(
    name: str, entry: Mapping[str, Any], source: Source, where: str
) -> ast.FunctionDef | None:
    """Definition of a method's function; None where its text does not say what it takes."""
    found = definition(entry["function"], source, f"{where}: explain/{name}/function")
    if not isinstance(found, ast.FunctionDef):
        return None
    decorators = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for decorator in found.decorator_list
        for node in [decorator.func if isinstance(decorator, ast.Call) else decorator]
        if isinstance(node, ast.Attribute | ast.Name)
    }
    return found if decorators <= TRANSPARENT else None


def _meaning(reference: str, source: Source) -> Callable[[str], ast.expr | None]:
    """What names of a method's module stand for, where its text or a neighbour's says it."""
    module, _, _ = reference.partition(":")

    def meaning(name: str) -> ast.expr | None:
        if source(f"{module.replace('.', '/')}.py") is None:  # Python's or a library's
            return None
        try:
            found = definition(f"{module}:{name}", source, module)
        except ValueError:  # a name that Python itself has
            return None
        match found:
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                return value
            case ast.ImportFrom(module=str(other), names=aliases, level=0):
                theirs = {alias.asname or alias.name: alias.name for alias in aliases}
                return _meaning(other, source)(theirs[name])
        return None

    return meaning


def _parameters(function: ast.FunctionDef) -> dict[str, Parameter]:
    """A method's parameters behind denoiser and step, by name."""
    signature = function.args
    positional = [*signature.posonlyargs, *signature.args]
    required = len(positional) - len(signature.defaults)
    defaults = [*[None] * required, *signature.defaults]
    arguments = [*zip(positional, defaults, strict=True)][len(FIRST) :]
    arguments += zip(signature.kwonlyargs, signature.kw_defaults, strict=True)
    return {
        argument.arg: Parameter(argument.annotation, default) for argument, default in arguments
    }


def _value(entry: Mapping[str, Any], key: str, function: ast.FunctionDef) -> Any:
    """A parameter's value in the config, or its default; None if that is no literal."""
    default = _parameters(function)[key].default
    return entry.get(key, default.value if isinstance(default, ast.Constant) else None)


def _default(function: ast.FunctionDef, name: str) -> Any:
    """Default of a parameter; None without the parameter or if it is no literal."""
    parameter = _parameters(function).get(name)
    try:
        return ast.literal_eval(parameter.default) if parameter and parameter.default else None
    except ValueError:
        return None


def _declared(function: ast.FunctionDef, name: str) -> Any:
    """What a method's decorator says under a keyword; None where it says nothing."""
    for decorator in function.decorator_list:
        for keyword in getattr(decorator, "keywords", []):
            if keyword.arg == name:
                return ast.literal_eval(keyword.value)
    return None
