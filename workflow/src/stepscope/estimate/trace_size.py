"""What a trace of a model weighs, from the configurations in the model's folder."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepscope.models.families.base import Family
from stepscope.models.families.unet import UNet

# Bytes of a stored number by the model's dtype: zarr has no bfloat16, which is kept as float32.
BYTES = {"float32": 4, "float16": 2, "bfloat16": 4}
STABLE_DIFFUSION_1: dict[str, dict[str, Any]] = {
    "unet": {
        "sample_size": 64,
        "in_channels": 4,
        "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
        "cross_attention_dim": 768,
    },
    "vae": {"block_out_channels": [128, 256, 512, 512]},
}


@dataclass(frozen=True)
class Geometry:
    """Sizes that decide what a trace weighs.

    `latent` (C, h, w); `factor`: pixels along a side of a latent's cell; `grids` (h, w) of
    every resolution that attends to the text; `conditioning`: values that replay needs of a
    sample, both guidance halves; `texts`: how often the network reads a prompt.
    """

    latent: tuple[int, int, int]
    factor: int
    grids: tuple[tuple[int, int], ...]
    conditioning: int
    texts: int


def of_folder(
    folder: str | Path,
    family: type[Family],
    keys: Sequence[int],
    height: int | None = None,
    width: int | None = None,
) -> Geometry:
    """Geometry of the pipeline in a folder, for pictures of a size in pixels or the model's own.

    `keys` are the numbers of keys of the texts that its network attends to.
    """
    configs = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in Path(folder).glob("*/config.json")
    }
    return of_configs(configs, family, keys, height, width)


def of_configs(
    configs: Mapping[str, dict[str, Any]],
    family: type[Family],
    keys: Sequence[int],
    height: int | None,
    width: int | None,
) -> Geometry:
    """Geometry of a pipeline from the configurations of its parts, by their names."""
    factor = 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
    network = configs[family.attribute]
    own = network["sample_size"]
    own_height, own_width = (own, own) if isinstance(own, int) else own
    latent = height // factor if height else own_height, width // factor if width else own_width
    return Geometry(
        latent=(network["in_channels"], *latent),
        factor=factor,
        grids=family.text_grids(network, latent),
        conditioning=2 * family.conditioning_values(configs, sum(keys)),
        texts=len(keys),
    )


def stable_diffusion_1(height: int | None = None, width: int | None = None) -> Geometry:
    """Geometry of CompVis/stable-diffusion-v1-4, for models that are not at hand."""
    return of_configs(STABLE_DIFFUSION_1, UNet, [77], height, width)


def tokens(prompt: str) -> int:
    """About how many rows a prompt's attention has: words, punctuation, start, end and padding."""
    return len(re.findall(r"\w+|[^\w\s]", prompt)) + 3


def trace_bytes(
    geometry: Geometry, *, steps: int, rows: int, order: int, dtype: str, derived: str
) -> int:
    """Bytes of a sample's trace before compression, as `generation.arrays` makes it.

    Latents before each step and after the last, both raw halves, a multistep solver's history and
    conditioning in the model's dtype; clean predictions and attention in the dtype `derived`.
    """
    latent = math.prod(geometry.latent)
    exact = latent * (steps + 1 + 2 * steps + (order - 1) * steps) + geometry.conditioning
    cells = sum(map(math.prod, geometry.grids))
    return exact * BYTES[dtype] + (latent + rows * cells) * steps * BYTES[derived]
