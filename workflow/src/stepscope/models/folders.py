"""Where a model's folder is and what a pipeline's must hold, known before any model loads.

Needs no tensor library.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError, safe_open

# Never loaded: a safety checker's black picture would stand for what the model made, and only it
# and picture prompts read the other two.
SKIPPED = ("safety_checker", "feature_extractor", "image_encoder")
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
TOKENS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))


def folder_of(spec: dict) -> str:
    """Folder of a spec {"folder"} or {"repo", "revision"}.

    A repository's is the one of its pinned revision in the hub's cache, where fetching left it: it
    loads like any other folder, and nothing here asks the network.
    """
    if "folder" in spec:
        if not Path(spec["folder"]).is_dir():
            raise ValueError(_no_folder(spec["folder"]))
        return spec["folder"]
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
    shard, a weight file that is cut off, and a pickle where safetensors are expected.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(_no_folder(folder))
    files = [folder / "model_index.json"]
    for name, library, part in components(read_index(folder)):
        files += _component(folder / name, library, part, variant)
    if variant and not any(f".{variant}" in path.name for path in files):
        raise ValueError(f"variant: {folder} has no weights of the variant {variant}.")
    return files


def _no_folder(folder: str | Path) -> str:
    """That there is no such folder, and from where a relative one was sought."""
    sought = "" if Path(folder).is_absolute() else f", seen from {Path.cwd()}"
    return f"folder: {folder} is no folder{sought}."


def read_index(folder: Path) -> dict:
    """A pipeline's model_index.json."""
    return _json(folder / "model_index.json")


def components(index: dict) -> Iterator[tuple[str, str, str]]:
    """(name, library, class) of each part of a pipeline that is loaded."""
    for name, value in index.items():
        if isinstance(value, list) and None not in value and name not in SKIPPED:
            yield (name, *value)


def _component(folder: Path, library: str, kind: str, variant: str | None) -> list[Path]:
    """Files of one part; which they are is in the name of its class."""
    if "Scheduler" in kind:
        return [_present(folder / "scheduler_config.json")]
    if "Tokenizer" in kind:
        _present(folder / "tokenizer_config.json")
        for group in TOKENS:
            if all((folder / name).is_file() for name in group):
                return sorted(path for path in folder.iterdir() if path.is_file())
        raise ValueError(f"{folder}/{TOKENS[0][0]} is missing.")
    _json(folder / "config.json")
    return [folder / "config.json", *weights(folder, library, variant)]


def weights(folder: Path, library: str, variant: str | None = None) -> list[Path]:
    """Weight files of a model: one, or an index and the shards that it names."""
    base = "model" if library == "transformers" else "diffusion_pytorch_model"
    for suffix in [f".{variant}", ""] if variant else [""]:
        single = folder / f"{base}{suffix}.safetensors"
        index = folder / f"{base}.safetensors.index{suffix}.json"
        if single.is_file():
            return [_complete(single)]
        if index.is_file():
            shards = sorted(set(_json(index).get("weight_map", {}).values()))
            return [index, *(_complete(_present(folder / shard)) for shard in shards)]
    pickles = [path for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
    if pickles:
        raise ValueError(
            f"{pickles[0]} is a pickle, which may run any code when it is loaded, and "
            f"{base}.safetensors, which is expected, is missing."
        )
    raise ValueError(f"{folder}/{base}.safetensors is missing.")


def parameters(files: list[Path]) -> int:
    """Number of weights in the safetensors files among `files`, from their headers alone."""
    total = 0
    for path in files:
        if path.suffix != ".safetensors":
            continue
        with safe_open(path, framework="numpy") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
    return total


def _present(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{path} is missing.")
    return path


def _complete(path: Path) -> Path:
    try:
        with safe_open(path, framework="numpy"):
            return path
    except SafetensorError as error:
        raise ValueError(f"{path} is no complete safetensors file ({error}).") from None


def _json(path: Path) -> dict:
    text = _present(path).read_bytes()
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file ({error}).") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no JSON object.")
    return content
