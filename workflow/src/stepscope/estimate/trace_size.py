"""What a trace of a model weighs, from the configurations in the model's folder."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    sample, both guidance halves; `texts`: how often the network reads a prompt; `heads`: attention
    heads, over all layers, of each of the grids, where they were counted.
    """

    latent: tuple[int, int, int]
    factor: int
    grids: tuple[tuple[int, int], ...]
    conditioning: int
    texts: int
    heads: tuple[int, ...] = ()


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
    geometry = of_configs(STABLE_DIFFUSION_1, UNet, [77], height, width)
    return replace(geometry, heads=(40, 40, 40, 8))  # 8 in each of 5, 5, 5 and 1 layers


def tokens(prompt: str) -> int:
    """About how many rows a prompt's attention has: words, punctuation, start, end and padding."""
    return len(re.findall(r"\w+|[^\w\s]", prompt)) + 3


def trace_bytes(
    geometry: Geometry,
    *,
    steps: int,
    rows: int,
    order: int,
    dtype: str,
    derived: str,
    by_head: bool,
) -> int:
    """Bytes of a sample's trace before compression, as `generation.arrays` makes it.

    Latents before each step and after the last, both raw halves, a multistep solver's history and
    conditioning in the model's dtype; clean predictions and attention in the dtype `derived`, its
    mean and, `by_head`, that of each head.
    """
    latent = math.prod(geometry.latent)
    exact = latent * (steps + 1 + 2 * steps + (order - 1) * steps) + geometry.conditioning
    maps = [1 + heads for heads in geometry.heads] if by_head else [1] * len(geometry.grids)
    cells = sum(n * math.prod(grid) for n, grid in zip(maps, geometry.grids, strict=True))
    return exact * BYTES[dtype] + (latent + rows * cells) * steps * BYTES[derived]


def counted(geometry: Geometry, audit: Mapping[str, Any]) -> Geometry:
    """The same with the heads of each grid, as a traced call has seen them."""
    layers = [audit["layers"][f"{height}x{width}"] for height, width in geometry.grids]
    return replace(geometry, heads=tuple(sum(map(audit["heads"].get, of)) for of in layers))
