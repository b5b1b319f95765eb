"""What a study's local models and judges must be, known when the study is parsed.

A Snakefile imports this module, so it uses the standard library alone.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stepscope.models import folders, noise_levels, processes
from stepscope.models.families.names import FAMILIES, uncovered
from stepscope.models.sizes import check_size
from stepscope.models.weight_files import read_json


def check_models(config: Mapping[str, Any], folder_at: Callable[[str], Path], where: str) -> None:
    """Refuse pipelines and judges in folders that no job could load, without importing any library.

    `folder_at` finds a folder that the config names. The ValueError begins with the file `where`
    and names the key, and the file of the model.
    """
    for name, entry in config["models"].items():
        if "folder" in entry:
            folder = folder_at(entry["folder"])
            with _named(f"{where}: models/{name}"):
                parts = _pipeline(folder, entry)
                processes.check_folder(folder, config["scheduler"], config["samplings"])
                noise_levels.check_samplings(folder, config["samplings"])
            if parts is not None:
                of_vae, of_network = parts
                sides = config["height"], config["width"]
                check_size(
                    *sides, _factor(of_vae), _patch(of_network), f"the model {name}", f"{where}: "
                )
    ground, clip = config["ground"], config["probe"]["model"]
    if "folder" in ground and ground["kind"] in folders.SEGMENTERS:
        with _named(f"{where}: ground"):
            folders.check_segmenter(folder_at(ground["folder"]), ground["kind"])
    if "folder" in clip:
        with _named(f"{where}: probe/model"):
            folders.check_clip(folder_at(clip["folder"]))


def _pipeline(folder: Path, entry: Mapping[str, Any]) -> tuple[dict, dict] | None:
    """Configurations of a pipeline's autoencoder and network; None where a family is one's own."""
    file = folder / "model_index.json"
    kind = folders.read_index(folder)["_class_name"]
    if kind not in FAMILIES and "family" not in entry:
        raise ValueError(f"{file}: {uncovered(kind, FAMILIES)}")
    folders.check_folder(folder, entry.get("variant"))
    if kind not in FAMILIES:
        return None
    names = {name for name, _, _ in folders.components(folder)}
    network = "transformer" if "transformer" in names else "unet"
    for part in (network, "vae", "scheduler"):
        if part not in names:
            raise ValueError(f"{file}: the pipeline has no {part}.")
    return read_json(folder / "vae" / "config.json"), read_json(folder / network / "config.json")


def _factor(vae: Mapping[str, Any]) -> int:
    """How many pixels of a side are one latent, from an autoencoder's configuration."""
    levels = vae.get("block_out_channels")
    return 2 ** (len(levels) - 1) if isinstance(levels, list) and levels else 1


def _patch(network: Mapping[str, Any]) -> int:
    """Side of a network's image tokens in latents."""
    patch = network.get("patch_size")
    return patch if isinstance(patch, int) and patch > 0 else 1


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Put a key in front of what is wrong with its model."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
