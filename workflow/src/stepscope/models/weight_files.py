"""Files of weights, known by their names and headers before any of them is loaded.

A Snakefile imports this module, so it uses the standard library alone.
"""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PICKLES = (".bin", ".ckpt", ".pt", ".pth")
# Names of a CLIP's weights, as open_clip writes them.
CLIP_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")


def read_json(path: Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object; a ValueError of one sentence names the file."""
    try:
        content = json.loads(present(path).read_bytes().decode())
    except RecursionError:
        raise ValueError(f"{path} is no JSON file of a model (it is nested too deeply).") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON file ({error}).") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error.reason}).") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no JSON object.")
    return content


def present(path: Path) -> Path:
    """The path of a file that is there; a ValueError names one that is missing."""
    if not path.is_file():
        raise ValueError(f"{path} is missing.")
    return path


def tensors(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a safetensors file's tensors by name, from its header.

    A file that is cut off, or holds more than its header says, is a ValueError that names it.
    """
    size = present(path).stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > size - 8:
                raise ValueError("its header is cut off")
            header = json.loads(file.read(length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends = [int(entry["data_offsets"][1]) for entry in entries.values()]
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no complete safetensors file ({error}).") from None
    if size != (told := 8 + length + max(ends, default=0)):
        raise ValueError(
            f"{path} is no complete safetensors file (it has {size} bytes, its header says {told})."
        )
    return shapes


def parameters(files: Iterable[Path]) -> int:
    """Number of weights in the safetensors files among `files`, from their headers alone."""
    weights = (path for path in files if path.suffix == ".safetensors")
    return sum(math.prod(shape) for path in weights for shape in tensors(path).values())


def weights(folder: Path, library: str, variant: str | None = None) -> list[Path]:
    """Weight files of a part of a pipeline: one, or an index and the shards that it names.

    Refused by name, in a ValueError: what is missing, torn or a pickle.
    """
    base = "model" if library == "transformers" else "diffusion_pytorch_model"
    for suffix in [f".{variant}", ""] if variant else [""]:
        single = folder / f"{base}{suffix}.safetensors"
        index = folder / f"{base}.safetensors.index{suffix}.json"
        # where both are there, the libraries read different ones
        for path in (single, index) if library == "transformers" else (index, single):
            if path.is_file():
                return _whole(path)
    _refuse_pickles(folder, f"{base}.safetensors", "save_pretrained writes it")
    variants = re.compile(rf"{base}(?:\.safetensors\.index)?\.(\w+)(?:-\d+-of-\d+)?\.\w+")
    others = {found[1] for path in folder.iterdir() if (found := variants.fullmatch(path.name))}
    others -= {"safetensors"}
    remedy = f", but those of a variant are there: set variant: {min(others)}" if others else ""
    raise ValueError(f"{folder}/{base}.safetensors is missing{remedy}.")


def clip_weights(folder: Path) -> Path:
    """The weight file of an open_clip folder; refused as in `weights`."""
    files = sorted(
        folder.glob("*.safetensors"), key=lambda path: (path.name not in CLIP_NAMES, path)
    )
    if not files:
        remedy = "safetensors.torch.save_file(model.state_dict(), ...) writes it"
        _refuse_pickles(folder, CLIP_NAMES[0], remedy)
        raise ValueError(f"{folder}/{CLIP_NAMES[0]} is missing.")
    tensors(files[0])
    return files[0]


def _whole(path: Path) -> list[Path]:
    """A file of weights, or an index with its shards, when all tensors are there."""
    if path.suffix == ".safetensors":
        tensors(path)
        return [path]
    told = read_json(path).get("weight_map")
    if not isinstance(told, dict) or not all(_is_name(shard) for shard in told.values()):
        raise ValueError(f"{path}: weight_map does not name a file beside it for each tensor.")
    there = {shard: tensors(path.with_name(shard)) for shard in sorted(set(told.values()))}
    for tensor, shard in told.items():
        if tensor not in there[shard]:
            raise ValueError(f"{path.with_name(shard)} has no {tensor}, which {path.name} names.")
    return [path, *map(path.with_name, there)]


def _is_name(shard: object) -> bool:
    return isinstance(shard, str) and Path(shard).name == shard


def _refuse_pickles(folder: Path, expected: str, remedy: str) -> None:
    pickles = [path for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
    if pickles:
        raise ValueError(
            f"{pickles[0]} is a pickle, which may run any code when it is loaded, and {expected}, "
            f"which is expected, is missing: {remedy}."
        )
