"""What the files of a model's folder say of it, known before any model loads.

A Snakefile imports this module, so it uses the standard library alone.
"""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stepscope.study.datasets.files import readable
from stepscope.study.definitions import Source, definition
from stepscope.study.method_checks import smallest_latent

MULTIPLE = 8  # of pixels, of any height and width


class Latent(NamedTuple):
    """Height and width of a model's latents, and the pixels of a picture along one cell."""

    height: int
    width: int
    factor: int


def pipeline_class(folder: Path) -> str | None:
    """Name of the pipeline class of a model's folder; None of a judge's, or of a torn one."""
    try:
        return _json(folder / "model_index.json").get("_class_name")
    except ValueError:  # the first job that loads it says so
        return None


def is_distilled(folder: Path) -> bool:
    """Whether a model's network takes guidance as an input and has no unconditional half."""
    config = folder / "unet" / "config.json"
    return config.is_file() and bool(_json(config).get("time_cond_proj_dim"))


def latent_of(folder: Path, height: int | None, width: int | None) -> Latent | None:
    """The latent of a picture of so many pixels, None being the model's own; None if not known."""
    try:
        factor = 2 ** (len(_json(folder / "vae" / "config.json")["block_out_channels"]) - 1)
        network = next(part for part in ("unet", "transformer") if (folder / part).is_dir())
        own = _json(folder / network / "config.json")["sample_size"]
        own_height, own_width = own if isinstance(own, list) else (own, own)
        return Latent(
            height // factor if height else own_height,
            width // factor if width else own_width,
            factor,
        )
    except (ValueError, KeyError, TypeError, StopIteration):  # loading the model says so
        return None


def check_families(models: Mapping[str, dict[str, Any]], source: Source, where: str) -> None:
    """Refuse families of one's own that do not exist, or that are no classes, by their text.

    The ValueError begins with the file `where` and names the key.
    """
    for name, entry in models.items():
        here = f"{where}: models/{name}/family"
        if "family" in entry and isinstance(
            definition(entry["family"], source, here), ast.FunctionDef
        ):
            raise ValueError(f"{here}: {entry['family']} is a function, and a family is a class.")


def check_latents(
    explain: Mapping[str, dict[str, Any]],
    latents: Mapping[str, Latent | None],
    source: Source,
    where: str,
) -> None:
    """Refuse methods for which the latents of one of the models, by name, are too small.

    The ValueError begins with the file `where` and names the method and the smallest size.
    """
    for model, latent in latents.items():
        for name, entry in explain.items():
            least = smallest_latent(name, entry, source, where)
            if latent is not None and min(latent.height, latent.width) < least:
                pixels = -(-least * latent.factor // MULTIPLE) * MULTIPLE
                raise ValueError(
                    f"{where}: explain/{name}: the method needs latents of at least {least} x "
                    f"{least}, and those of the model {model} are {latent.height} x "
                    f"{latent.width}; set height and width to {pixels} or more."
                )


def _json(path: Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object; a ValueError names the file."""
    try:
        with readable(path):
            content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON file ({error}).") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no JSON object.")
    return content
