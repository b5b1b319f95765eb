"""A study's configuration: defaults and checks, without the science stack.

A Snakefile imports this module, so it uses only what Snakemake itself needs.
"""

import ast
import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

import jsonschema


def check(config: dict, schema: dict, place: str) -> None:
    """Fill the schema's defaults into ``config`` and refuse what it does not allow.

    The ValueError is one sentence that names the file and the key.
    """
    _fill(config, schema, schema)
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(config)
    )
    if error is None:
        return
    key = "/".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        name = next(name for name in error.instance if name not in known)
        hint = "".join(f", did you mean {near}" for near in get_close_matches(name, known, 1))
        at = f"{key}/{name}" if key else name
        raise ValueError(f"{place}: {at}: the key is not known{hint}.")
    if error.validator in ("oneOf", "anyOf"):
        message = f"{error.instance!r} is not {error.schema['description']}"
    else:
        message = error.message
    raise ValueError(f"{place}: {key + ': ' if key else ''}{message}.")


def _fill(value: object, schema: dict, root: dict) -> None:
    """Set missing keys of nested mappings to their defaults, in place."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if not isinstance(value, dict):
        return
    for name, inner in schema.get("properties", {}).items():
        if "default" in inner and name not in value:
            value[name] = _copy(inner["default"])
        if name in value:
            _fill(value[name], inner, root)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for name in value.keys() - schema.get("properties", {}).keys():
            _fill(value[name], extra, root)


def _copy(value: object) -> object:
    """A default's own copy, so that one study's change never reaches the schema."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def check_references(config: dict, place: str) -> None:
    """Refuse names of samplings that the study does not define, and steps that it does not have."""
    samplings = config["samplings"]
    places = {f"explain/{name}": entry for name, entry in config["explain"].items()}
    for key, entry in {**places, "games": config["games"]}.items():
        for name in entry["samplings"] or ():
            if name not in samplings:
                raise ValueError(f"{place}: {key}/samplings: there is no sampling {name!r}.")
        for name in entry["samplings"] or samplings:
            count = samplings[name].get("steps") or len(samplings[name]["timesteps"])
            for number in entry["steps"] or ():
                if number > count:
                    raise ValueError(
                        f"{place}: {key}/steps: sampling {name} has {count} steps, not {number}."
                    )


def check_folders(config: dict, exists: Callable[[str], bool], place: str, root: str) -> None:
    """Refuse models and judges whose folders do not exist."""
    named = {f"models/{name}": entry for name, entry in config["models"].items()}
    named |= {"ground": config["ground"], "probe/model": config["probe"]["model"]}
    for key, entry in named.items():
        if "folder" in entry and not exists(folder := entry["folder"]):
            raise ValueError(
                f"{place}: {key}/folder: {folder} is no folder, neither here nor in {root}."
            )


def check_pictures(config: dict, prompts: dict[str, list[dict]], place: str) -> None:
    """Refuse to trace pictures that a dataset has not, or to invert what cannot be inverted."""
    scheduler = config["scheduler"]
    random = scheduler["name"] == "ddpm"
    for name, entry in config["datasets"].items():
        if entry["trace"] == "invert" and (random or scheduler["order"] > 1):
            raise ValueError(
                f"{place}: datasets/{name}/trace: inversion needs steps without noise and history, "
                "the scheduler dpmsolver++ of order 1 or euler."
            )
        for row in prompts[name]:
            if entry["trace"] != "generate" and not row["image"]:
                raise ValueError(
                    f"{place}: datasets/{name}/trace: {entry['trace']} needs a picture for each "
                    f"prompt, and {row['prompt_id']} has none."
                )


def rows(config: dict, prompts: dict[str, list[dict]]) -> dict[str, int]:
    """About how many rows each large table will have, so that its file's name can be decided.

    Every method is counted as one that maps words, and a map as 64 pixels high.
    """
    counts = {
        name: entry.get("steps") or len(entry["timesteps"])
        for name, entry in config["samplings"].items()
    }

    def explained(entry: dict, weight: Callable[[dict], int]) -> int:
        """Sum of a weight of the prompt over the sample steps that an entry is restricted to."""
        steps = sum(
            len(entry.get("steps") or range(counts[name]))
            for name in entry.get("samplings") or counts
        )
        total = 0
        for name, records in prompts.items():
            weights = [weight(record) for record in records for _ in record["seeds"]]
            most = (entry.get("samples") or len(weights)) * config["datasets"][name]["batches"]
            total += sum(weights) * min(1, most / max(1, len(weights)))
        return round(total * steps) * len(config["models"])

    def words(record: dict) -> int:
        return len(record["prompt"].split())

    maps = [(entry, 1 + len(entry.get("variants", ()))) for entry in config["explain"].values()]
    shown = sum(count for _, count in maps) + 2  # with the baselines
    each = explained({}, lambda record: 1)
    concepts = sum(len(family["concepts"]) for family in config["probe"]["families"].values())
    return {
        "rq1_recovery": 9 * each,
        "rq1_saliency": 2 * each + sum(n * explained(entry, lambda _: 1) for entry, n in maps),
        "rq1_auc": 4 * shown * explained(config["games"], lambda record: 1),
        "rq1_curves": 4 * 65 * shown * explained(config["games"], lambda record: 1),
        "rq2_relevance": sum(n * explained(entry, words) for entry, n in maps),
        "rq2_grounding": 2 * explained({}, words) + sum(n * explained(e, words) for e, n in maps),
        "rq3_concepts": 3 * concepts * each,
    }


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
    text = source(module.removeprefix("stepscope."))
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
