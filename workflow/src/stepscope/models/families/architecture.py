"""How the network of a family is built: its attention, its grids of image tokens, its layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor,
    AttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
)
from torch import Tensor, nn

Grid = tuple[int, int]  # height and width in tokens, or of a latent


@dataclass(frozen=True)
class Passage:
    """A stretch of a network that the image's tokens pass, with what happens there, in this order.

    They get the size of the output of `sized_by`; a skip connection `joins`; they pass the
    `attention` modules; a skip connection `leaves`.
    """

    sized_by: nn.Module | None = None
    joins: bool = False
    attention: frozenset[nn.Module] = frozenset()
    leaves: bool = False


class Architecture:
    """The network of a pipeline; here a transformer of blocks, as most are."""

    # the pipeline's attribute that holds the network
    attribute: ClassVar[str] = "transformer"
    # whether image keys and text keys compete in one softmax
    joint: ClassVar[bool] = False
    # processors that take queries and keys from the module's projections, over all keys at once
    processors: ClassVar[tuple[type, ...]] = (
        AttnProcessor,
        AttnProcessor2_0,
        SlicedAttnProcessor,
        XFormersAttnProcessor,
    )
    # what stands behind the network's last block, by names of its parts
    output: ClassVar[tuple[str, ...]] = ("norm_out", "proj_out", "scale_shift_table")

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        self.pipeline = pipeline

    @property
    def network(self) -> nn.Module:
        """The denoising network."""
        return getattr(self.pipeline, self.attribute)

    @property
    def dtype(self) -> torch.dtype:
        """The network's number format."""
        network: Any = self.network
        return network.dtype

    @property
    def config(self) -> Any:
        """The network's configuration."""
        network: Any = self.network
        return network.config

    def attention(self) -> dict[str, Attention]:
        """All attention modules of the network by name."""
        named = self.network.named_modules()
        return {name: module for name, module in named if isinstance(module, Attention)}

    def reads_text(self, module: Attention) -> bool:
        """Whether an attention module reads the prompt; it says so itself, whatever its name."""
        return module.is_cross_attention

    @classmethod
    def text_grids(cls, config: Mapping[str, Any], size: Grid) -> tuple[Grid, ...]:
        """Grids of image tokens that attend to the text, from the network's configuration.

        `size` is the latent's height and width.
        """
        side = config["patch_size"]
        return ((size[0] // side, size[1] // side),)

    @classmethod
    def conditioning_values(cls, configs: Mapping[str, Mapping[str, Any]], keys: int) -> int:
        """Numbers that replay needs of a prompt whose texts have so many keys, without its words.

        `configs` are the configurations of the pipeline's parts by name.
        """
        config = configs[cls.attribute]
        channels = config.get("joint_attention_dim") or config["caption_channels"]
        return keys * channels + config.get("pooled_projection_dim", keys)  # or the padding's mask

    def token_grid(self, size: Grid) -> Grid:
        """Grid of the image tokens that the first block gets, for a latent's height and width."""
        side = self.config.patch_size
        return size[0] // side, size[1] // side

    def grid(self, queries: int, size: Grid) -> Grid:
        """Height and width of a grid of image tokens, for a latent's height and width."""
        height, width = self.token_grid(size)
        if height * width != queries:
            raise ValueError(f"{queries} queries are no grid of a latent {size[0]} x {size[1]}.")
        return height, width

    def passages(self) -> list[Passage]:
        """How the image's tokens pass the network, for relevance: here, one block after another."""
        return [Passage(attention=frozenset(self.attention().values()))]

    def layers(self) -> dict[str, nn.Module]:
        """DF-CAM's layers in forward order by name: a transformer's blocks."""
        network: Any = self.network
        blocks = network.transformer_blocks
        return {f"transformer_blocks.{i}": block for i, block in enumerate(blocks)}

    def stages(self) -> list[str]:
        """The network's blocks in forward order, by the names of its parts."""
        return [*self.layers()]

    def blocks(self) -> dict[str, list[str]]:
        """Names of the network's parameters by block, from the output inward.

        The first is the "output", the last the "input": whatever is of no block, such as what
        embeds time steps and text.
        """
        parts = {"output": self.output, **{name: (name,) for name in reversed(self.stages())}}
        of_part = {part: block for block, names in parts.items() for part in names}
        blocks: dict[str, list[str]] = {block: [] for block in (*parts, "input")}
        for name, _ in self.network.named_parameters():
            part = next((part for part in of_part if f"{name}.".startswith(f"{part}.")), None)
            blocks["input" if part is None else of_part[part]].append(name)
        return {block: names for block, names in blocks.items() if names}

    def activation(self, output: Any) -> Tensor:
        """The image's part of what a layer returned."""
        return output if torch.is_tensor(output) else output[0]

    def feature_map(self, activation: Tensor, size: Grid) -> Tensor:
        """A layer's activation, or its gradient, as (B, C, y, x)."""
        return activation.transpose(1, 2).unflatten(2, self.grid(activation.shape[1], size))
