"""Loading a part of a model: all the weights that it has, and no others, come from its files."""

import importlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import PreTrainedModel

from stepscope.models.memory import is_out_of_memory
from stepscope.models.weight_files import weights

LISTED = 3  # tensors that a message names
LENGTH = 300  # characters of a library's own message


def class_of(library: str, name: str, where: str) -> Any:
    """Class of a pipeline's part, as model_index.json names it."""
    module = getattr(diffusers.pipelines, library, None)  # some lie beside their pipeline
    try:
        return getattr(module or importlib.import_module(library), name)
    except (ImportError, AttributeError):
        raise ValueError(f"{where}: {library} has no class {name}.") from None


def load_part(
    kind: Any, folder: Path, *, dtype: torch.dtype | None = None, variant: str | None = None
) -> Any:
    """What a class of diffusers or transformers makes of its folder: a module, or something small.

    A module whose weights are not exactly those of its files, by name and shape, is a ValueError
    that names them: libraries would fill it with random ones. So is whatever a library raises.
    """
    if not issubclass(kind, torch.nn.Module):
        with naming(folder):
            return kind.from_pretrained(str(folder), local_files_only=True)
    library = "transformers" if issubclass(kind, PreTrainedModel) else "diffusers"
    files = weights(folder, library, variant)
    with naming(folder):
        module, report = kind.from_pretrained(
            str(folder),
            dtype=dtype,
            variant=variant if variant and f".{variant}" in files[0].name else None,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # the report names them all
            output_loading_info=True,
        )
    # files of older versions of a library have buffers that are computed today
    unexpected = set(report["unexpected_keys"]) - {name for name, _ in module.named_buffers()}
    shapes = {
        name: (tuple(there), tuple(wanted)) for name, there, wanted in report["mismatched_keys"]
    }
    check_weights(files[0], report["missing_keys"], unexpected, shapes)
    return module


def check_weights(
    file: Path,
    missing: Collection[str],
    unexpected: Collection[str],
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    """Refuse a file of weights that are not those of the model which its configuration describes.

    `shapes` has, by the name of a tensor, its shape in the file and in the model.
    """
    wrong = {name: f"{name} is {there}, not {wanted}" for name, (there, wanted) in shapes.items()}
    kinds = {"missing": missing, "not expected": unexpected, "of another shape": wrong.values()}
    found = [f"{len(names)} {kind} ({_listed(names)})" for kind, names in kinds.items() if names]
    if found:
        raise ValueError(
            f"{file} does not hold the tensors that the configuration beside it describes, "
            f"{' and '.join(found)}: one of the two is damaged or another model's."
        )


def _listed(names: Collection[str]) -> str:
    """The first few names."""
    return ", ".join([*sorted(names)[:LISTED], *["..."] * (len(names) > LISTED)])


@contextmanager
def naming(what: Path | str) -> Iterator[None]:
    """Turn what a library says into one sentence that names the user's file or folder."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        said = " ".join(str(error).split())
        said = said if len(said) <= LENGTH else f"{said[:LENGTH]} ..."
        raise ValueError(f"{what} cannot be loaded ({type(error).__name__}: {said}).") from error
