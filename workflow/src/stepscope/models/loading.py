"""Loading a part of a model: all the weights that it has, and no others, come from its files."""

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from stepscope.joblog import has_no_room
from stepscope.models import folders
from stepscope.models.memory import is_out_of_memory
from stepscope.models.weight_files import tensors, weights

LISTED = 3  # tensors that a message names
LENGTH = 300  # characters of a library's own message


def class_of(library: str, name: str, where: str) -> Any:
    """Class of a pipeline's part, as model_index.json names it.

    Of diffusers, transformers or what a family of one's own imports: a model's folder is data, and
    no other module is imported because it says so.
    """
    import diffusers  # here, since it takes seconds to import and judges need none of it

    # some lie beside their pipeline, some in a module that a family of the study has imported
    module = getattr(diffusers.pipelines, library, None) or sys.modules.get(library)
    if module is None:
        raise ValueError(
            f"{where}: {library} is neither diffusers nor transformers, and no family that the "
            "study names imports it."
        )
    try:
        found = getattr(module, name, None)
    except ImportError:  # the libraries import a class when it is asked for
        found = None
    if not isinstance(found, type):
        raise ValueError(f"{where}: {library} has no class {name}.")
    return found


def load_part(
    kind: Any, folder: Path, *, dtype: torch.dtype | None = None, variant: str | None = None
) -> Any:
    """What a class of diffusers or transformers makes of its folder: a module, or something small.

    A module whose weights are not exactly those of its files, by name and shape, is a ValueError
    that names them: libraries would fill it with random ones. So is whatever a library raises.
    """
    if not issubclass(kind, torch.nn.Module):
        # without it, the Auto classes ask at a terminal whether to run code of the folder
        own_code = {"trust_remote_code": False} if kind.__name__.startswith("Auto") else {}
        with naming(folder):
            return kind.from_pretrained(str(folder), local_files_only=True, **own_code)
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


def load_parts(folder: Path, dtype: torch.dtype, variant: str | None = None) -> dict[str, Any]:
    """Every part of a pipeline's folder by its name, as `load_part` loads it."""
    kinds = {
        name: class_of(library, kind, f"{folder / 'model_index.json'}: {name}")
        for name, library, kind in folders.components(folder)
    }
    return {
        name: load_part(kind, folder / name, dtype=dtype, variant=variant)
        for name, kind in kinds.items()
    }


def load_open_clip(folder: Path) -> tuple[torch.nn.Module, Callable, Callable]:
    """An open_clip folder's model, preprocessing and tokenizer; refused as by `load_part`."""
    import open_clip  # here, since it takes seconds to import and most jobs need no CLIP

    config, file = folders.check_clip(folder)
    name = f"local-dir:{folder}"
    with naming(config):
        model, _, preprocess = open_clip.create_model_and_transforms(
            name, load_weights=False, pretrained_text=False
        )
        tokenizer = open_clip.get_tokenizer(name)
    # what the library would fill in: positions by interpolation, a bias by zeros
    there, state = tensors(file), model.state_dict()
    shapes = {
        name: (there[name], tuple(value.shape))
        for name, value in state.items()
        if name in there and there[name] != tuple(value.shape) and value.ndim > 1
    }
    check_weights(file, {"logit_bias"} & (state.keys() - there.keys()), (), shapes)
    with naming(file):
        open_clip.load_checkpoint(model, str(file))  # strict: says what is missing or too many
    return model, preprocess, tokenizer


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
    """Turn what a library says into one sentence that names the user's file or folder.

    But for what is no fault of the file: too little memory, or a disk without room for the log.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error) or has_no_room(error):
            raise
        said = " ".join(str(error).split())
        said = said if len(said) <= LENGTH else f"{said[:LENGTH]} ..."
        raise ValueError(f"{what} cannot be loaded ({type(error).__name__}: {said}).") from error
