"""Where a model's folder is and what it must hold, known before any model loads.

A Snakefile imports this module, so it needs the standard library alone until the hub's cache is
asked for.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stepscope.models.weight_files import clip_weights, present, read_json, weights

# Never loaded: a safety checker's black picture would stand for what the model made, and only it
# and picture prompts read the other two.
SKIPPED = ("safety_checker", "feature_extractor", "image_encoder")
TOKENS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))
# What the configuration of a segmenter calls itself, by the kind that a study names.
SEGMENTERS = {"segmenter": "segformer", "text_segmenter": "clipseg"}


def folder_of(spec: dict) -> str:
    """Folder of a spec {"folder"} or {"repo", "revision"}.

    A repository's is the one of its pinned revision in the hub's cache, where fetching left it: it
    loads like any other folder, and nothing here asks the network.
    """
    if "folder" in spec:
        if not Path(spec["folder"]).is_dir():
            raise ValueError(_no_folder(spec["folder"]))
        return spec["folder"]
    from huggingface_hub import constants, try_to_load_from_cache  # a Snakefile may not have it

    for name in ("model_index.json", "config.json"):
        config_file = try_to_load_from_cache(spec["repo"], name, revision=spec["revision"])
        if isinstance(config_file, str):
            return str(Path(config_file).parent)
    raise ValueError(
        f"repo: {spec['repo']} at {spec['revision']} is not in the hub's cache "
        f"{constants.HF_HUB_CACHE}: the rule fetch_model puts it there, where there is a network."
    )


def check_folder(folder: str | Path, variant: str | None = None) -> list[Path]:
    """Files that loading the pipeline in `folder` reads.

    Refused by name, in a ValueError of one sentence: a missing index, configuration, weight file or
    shard, JSON that is none, a weight file that is cut off, and a pickle where safetensors are
    expected.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(_no_folder(folder))
    files = [folder / "model_index.json"]
    for name, library, part in components(folder):
        files += _component(folder / name, library, part, variant)
    if variant and not any(f".{variant}" in path.name for path in files):
        raise ValueError(f"variant: {folder} has no weights of the variant {variant}.")
    return files


def _no_folder(folder: str | Path) -> str:
    """That there is no such folder, and from where a relative one was sought."""
    sought = "" if Path(folder).is_absolute() else f", seen from {Path.cwd()}"
    return f"folder: {folder} is no folder{sought}."


def read_index(folder: Path) -> dict:
    """A pipeline's model_index.json; its class is a text, if only of what no class is called."""
    index = read_json(folder / "model_index.json")
    return index | {"_class_name": str(index.get("_class_name"))}


def components(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(name, library, class) of each part of a pipeline that is loaded, from its index."""
    file = folder / "model_index.json"
    for name, value in read_index(folder).items():
        if not isinstance(value, list) or name in SKIPPED or value == [None, None]:
            continue
        if not name.isidentifier():
            raise ValueError(f"{file}: {name!r} is no name of a part, whose folder lies beside it.")
        match value:
            case [str(library), str(kind)]:
                yield name, library, kind
            case _:
                raise ValueError(f"{file}: {name}: {value!r} is no library and class of a part.")


def check_clip(folder: Path) -> list[Path]:
    """Configuration and weights of an open_clip folder; refused by name as in `check_folder`."""
    file = folder / "open_clip_config.json"
    model: Any = read_json(file).get("model_cfg")
    for key in ("text_cfg", "vision_cfg"):
        if not isinstance(model, dict) or not isinstance(model.get(key), dict):
            raise ValueError(f"{file}: model_cfg/{key} is missing.")
    options = model["text_cfg"].get("tokenizer_kwargs")
    if isinstance(options, dict) and options.get("trust_remote_code"):
        raise ValueError(
            f"{file}: model_cfg/text_cfg/tokenizer_kwargs: trust_remote_code would run what comes "
            "with a tokenizer; take it out."
        )
    return [file, clip_weights(folder)]


def check_segmenter(folder: Path, kind: str) -> list[Path]:
    """Files of a segmenter of a kind that a study names; refused by name as in `check_folder`."""
    file, wanted = folder / "config.json", SEGMENTERS[kind]
    if (there := read_json(file).get("model_type")) != wanted:
        raise ValueError(f"{file}: model_type is {there!r}, and {kind} needs {wanted!r}.")
    for stated in sorted(folder.glob("*.json")):
        read_json(stated)
    tokens = _tokens(folder) if kind == "text_segmenter" else []
    return [file, *weights(folder, "transformers"), *tokens]


def _component(folder: Path, library: str, kind: str, variant: str | None) -> list[Path]:
    """Files of one part; which they are is in the name of its class."""
    if "Scheduler" in kind:
        read_json(folder / "scheduler_config.json")
        return [folder / "scheduler_config.json"]
    if "Tokenizer" in kind:
        present(folder / "tokenizer_config.json")
        for file in sorted(folder.glob("*.json")):
            read_json(file)
        return _tokens(folder)
    read_json(folder / "config.json")
    return [folder / "config.json", *weights(folder, library, variant)]


def _tokens(folder: Path) -> list[Path]:
    """Files of a folder that holds a tokenizer."""
    for group in TOKENS:
        if all((folder / name).is_file() for name in group):
            return sorted(path for path in folder.iterdir() if path.is_file())
    raise ValueError(f"{folder}/{TOKENS[0][0]} is missing.")
