"""Checks of a study's methods, read from their source without importing it.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import ast
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stepscope.study.suggestions import did_you_mean

Source = Callable[[str], str | None]  # text of a file by its path; None if there is none
FIRST = ("denoiser", "step")  # what every method takes before its parameters
# keys of an entry that are no parameters
PLACEMENT = {"function", "samplings", "steps", "samples", "forward_batch"}


class Parameter(NamedTuple):
    """A parameter of a function, as its source spells it."""

    annotation: ast.expr | None
    default: ast.expr | None


def check_methods(explain: Mapping[str, dict[str, Any]], source: Source, where: str) -> None:
    """Refuse parameters that a package method's function does not take, without importing it.

    The ValueError begins with the file `where` and names the key.
    """
    for name, entry in explain.items():
        if name == "baselines":
            raise ValueError(f"{where}: explain/{name}: the name stands for the baselines.")
        function = _method(name, entry, source, where)
        if function is None:
            continue  # a user's module: the first job that imports it checks
        parameters = _parameters(function)
        for key in sorted(entry.keys() - PLACEMENT):
            if key not in parameters:
                raise ValueError(
                    f"{where}: explain/{name}/{key}: {function.name} has no such key"
                    f"{did_you_mean(key, parameters)}."
                )
            annotation = parameters[key].annotation
            if annotation is not None and not _fits(entry[key], annotation):
                raise ValueError(
                    f"{where}: explain/{name}/{key}: {entry[key]!r} is not of type "
                    f"{ast.unparse(annotation)}."
                )


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
        target = entry.get("target", _default_target(function))
        if target in _halves(function):
            remedy = "" if target in ("norm", "") else ", or set its target to norm"
            raise ValueError(
                f"{where}: explain/{name}: the method compares the outputs with and without the "
                f"prompt, but {reason}; leave it out{remedy}."
            )


def is_distilled(folder: Path) -> bool:
    """Whether a model's network takes guidance as an input and has no unconditional half."""
    config = folder / "unet" / "config.json"
    return config.is_file() and bool(json.loads(config.read_text()).get("time_cond_proj_dim"))


def _method(
    name: str, entry: Mapping[str, Any], source: Source, where: str
) -> ast.FunctionDef | None:
    """Definition of a package method's function; None for a user's own."""
    module, _, wanted = entry["function"].partition(":")
    if not module.startswith("stepscope."):
        return None
    text = source(f"{module.replace('.', '/')}.py")
    if text is None:
        raise ValueError(f"{where}: explain/{name}/function: there is no module {module}.")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == wanted:
            return node
    raise ValueError(f"{where}: explain/{name}/function: {module} has no function {wanted!r}.")


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


def _default_target(function: ast.FunctionDef) -> Any:
    """Default of a method's parameter `target`; "" without the parameter, None if no literal."""
    parameter = _parameters(function).get("target")
    if parameter is None:
        return ""
    return parameter.default.value if isinstance(parameter.default, ast.Constant) else None


def _fits(value: Any, annotation: ast.expr) -> bool:
    """Whether a value from the config is what a parameter's annotation says, as far as it does."""
    match annotation:
        case ast.BinOp():
            return _fits(value, annotation.left) or _fits(value, annotation.right)
        case ast.Subscript(value=ast.Name(id="Sequence" | "list"), slice=inner):
            return isinstance(value, list) and all(_fits(item, inner) for item in value)
        case ast.Name(id="int"):
            return isinstance(value, int) and not isinstance(value, bool)
        case ast.Name(id="float"):
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ast.Name(id="str"):
            return isinstance(value, str)
        case ast.Name(id="bool"):
            return isinstance(value, bool)
        case ast.Constant(value=None):
            return value is None
    return True


def _halves(function: ast.FunctionDef) -> tuple[str, ...]:
    """The targets for which a method needs both guidance halves, as its decorator says."""
    for decorator in function.decorator_list:
        for keyword in getattr(decorator, "keywords", []):
            if keyword.arg == "halves":
                return ast.literal_eval(keyword.value)
    return ()
