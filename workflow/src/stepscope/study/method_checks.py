"""Checks of a study's methods, read from their source without importing it.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import ast
import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path


def check_methods(explain: dict, source: Callable[[str], str | None], place: str) -> None:
    """Refuse parameters that a package method's function does not take, without importing it."""
    for name, entry in explain.items():
        if name == "baselines":
            raise ValueError(f"{place}: explain/{name}: the name stands for the baselines.")
        function = _method(name, entry, source, place)
        if function is None:
            continue  # a user's module: the first job that imports it checks
        taken = _parameters(function)
        for key in sorted(entry.keys() - {"function", "samplings", "steps", "samples"}):
            if key not in taken:
                near = get_close_matches(key, taken, 1)
                hint = f", did you mean {near[0]}" if near else ""
                raise ValueError(
                    f"{place}: explain/{name}/{key}: {function.name} has no such key{hint}."
                )
            if not _fits(entry[key], taken[key]):
                raise ValueError(
                    f"{place}: explain/{name}/{key}: {entry[key]!r} is not of type "
                    f"{ast.unparse(taken[key])}."
                )


def check_guidance(
    explain: dict, source: Callable[[str], str | None], place: str, reason: str
) -> None:
    """Refuse methods that compare both guidance halves where there is one, for ``reason``."""
    for name, entry in explain.items():
        function = _method(name, entry, source, place)
        if function is None:
            continue
        target = entry.get("target", _defaults(function).get("target", ""))
        if target in _halves(function):
            remedy = ", or set its target to norm" * ("norm" != target != "")
            raise ValueError(
                f"{place}: explain/{name}: the method compares the outputs with and without the "
                f"prompt, but {reason}; leave it out{remedy}."
            )


def is_distilled(folder: Path) -> bool:
    """Whether a model's network takes guidance as an input and has no unconditional half."""
    config = folder / "unet" / "config.json"
    return config.is_file() and bool(json.loads(config.read_text()).get("time_cond_proj_dim"))


def _method(
    name: str, entry: dict, source: Callable[[str], str | None], place: str
) -> ast.FunctionDef | None:
    """Definition of a package method's function; None for a user's own."""
    module, _, wanted = entry["function"].partition(":")
    if not module.startswith("stepscope."):
        return None
    text = source(f"{module.replace('.', '/')}.py")
    if text is None:
        raise ValueError(f"{place}: explain/{name}/function: there is no module {module}.")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == wanted:
            return node
    raise ValueError(f"{place}: explain/{name}/function: {module} has no function {wanted!r}.")


def _defaults(function: ast.FunctionDef) -> dict[str, object]:
    """Parameters of a method behind denoiser and step; their defaults where those are literals."""
    given = function.args
    names = [item.arg for item in given.args[2:] + given.kwonlyargs]
    plain = given.defaults[-len(given.args[2:]) :] if given.args[2:] else []
    values = [None] * (len(given.args[2:]) - len(plain)) + plain + given.kw_defaults
    return {
        name: value.value if isinstance(value, ast.Constant) else None
        for name, value in zip(names, values, strict=True)
    }


def _parameters(function: ast.FunctionDef) -> dict[str, ast.expr | None]:
    """Annotations of a method's parameters behind denoiser and step."""
    given = function.args
    return {item.arg: item.annotation for item in given.args[2:] + given.kwonlyargs}


def _fits(value: object, annotation: ast.expr | None) -> bool:
    """Whether a value from the config is what a parameter's annotation says, as far as it does."""
    match annotation:
        case ast.BinOp():
            return _fits(value, annotation.left) or _fits(value, annotation.right)
        case ast.Subscript(value=ast.Name(id="Sequence" | "list"), slice=inner):
            return isinstance(value, list) and all(_fits(each, inner) for each in value)
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
