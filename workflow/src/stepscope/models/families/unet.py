"""Stable Diffusion 1, 2 and XL: U-Nets with cross-attention."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from stepscope.models.families.architecture import Grid, Passage
from stepscope.models.families.base import Family


class UNet(Family):
    """Stable Diffusion 1 and 2: one CLIP text encoder."""

    pipelines = ("StableDiffusionPipeline",)
    attribute = "unet"
    output = ("conv_norm_out", "conv_out")
    refused: ClassVar[tuple[str, ...]] = (
        "prompt_embeds",
        "clip_skip",
        "ip_adapter_image",
        "ip_adapter_image_embeds",
        "eta",  # noise of DDIM's steps
    )
    negative = None  # on XL None is what its default, zeros, stands for, and "" is not

    def conditioning(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Text, added conditioning, and a distilled model's embedded guidance."""
        conditioning = {"prompt_embeds": call["encoder_hidden_states"]}
        conditioning |= call.get("added_cond_kwargs") or {}
        plain = {"self", "sample", "timestep", "encoder_hidden_states", "added_cond_kwargs"}
        others = {name: call[name] for name in call.keys() - plain - {"return_dict"}}
        return conditioning | {name: value for name, value in others.items() if value is not None}

    def run(self, z: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """Raw output of the U-Net for latents (B, C, h, w)."""
        added = dict(conditioning)
        text = added.pop("prompt_embeds")
        embedded = {"timestep_cond": added.pop("timestep_cond")} if "timestep_cond" in added else {}
        return self.network(
            z,
            timestep,
            encoder_hidden_states=text,
            **embedded,
            added_cond_kwargs=added or None,
            return_dict=False,
        )[0]

    def predicted(self, output: Tensor) -> Tensor:
        """The output itself."""
        return output

    @classmethod
    def _halvings(cls, size: Grid, levels: int) -> list[Grid]:
        sizes = [size]
        for _ in range(levels - 1):
            height, width = sizes[-1]
            sizes.append((-(-height // 2), -(-width // 2)))
        return sizes

    @classmethod
    def text_grids(cls, config: Mapping[str, Any], size: Grid) -> tuple[Grid, ...]:
        """Levels with cross-attention: each halves the latent and rounds up."""
        levels = cls._halvings(size, len(config["down_block_types"]))
        kinds = zip(config["down_block_types"], levels, strict=True)
        grids = [grid for kind, grid in kinds if "CrossAttn" in kind]
        if "CrossAttn" in (config.get("mid_block_type", "UNetMidBlock2DCrossAttn") or ""):
            grids.append(levels[-1])
        return tuple(dict.fromkeys(grids))

    @classmethod
    def conditioning_values(cls, configs: Mapping[str, Mapping[str, Any]], keys: int) -> int:
        """Numbers of a prompt's text."""
        return keys * configs["unet"]["cross_attention_dim"]

    def token_grid(self, size: Grid) -> Grid:
        """The latent itself."""
        return size

    def grid(self, queries: int, size: Grid) -> Grid:
        """Height and width of a level's tokens: each level halves the latent and rounds up."""
        for height, width in self._halvings(size, len(self.config.block_out_channels)):
            if height * width == queries:
                return height, width
        raise ValueError(f"{queries} queries are no level of a latent of {size[0]} x {size[1]}.")

    def passages(self) -> list[Passage]:
        """Down, middle and up; a skip connection leaves each resnet and downsampler on the way."""
        unet: Any = self.network
        passages = [Passage(sized_by=unet.down_blocks[0].resnets[0], leaves=True)]
        for block in unet.down_blocks:
            for index, resnet in enumerate(block.resnets):
                passages.append(Passage(resnet, attention=_attention(block, index), leaves=True))
            passages += [Passage(sampler, leaves=True) for sampler in block.downsamplers or []]
        middle = range(len(getattr(unet.mid_block, "attentions", [])))
        passages += [Passage(attention=_attention(unet.mid_block, index)) for index in middle]
        for block in unet.up_blocks:
            for index, resnet in enumerate(block.resnets):
                passages.append(Passage(resnet, joins=True, attention=_attention(block, index)))
            passages += [Passage(sampler) for sampler in block.upsamplers or []]
        return passages

    def layers(self) -> dict[str, nn.Module]:
        """Layers in forward order: all of the down and up blocks, and the mid resnets."""
        unet: Any = self.network
        layers: dict[str, nn.Module] = {}
        for name, block in (
            *((f"down_blocks.{i}", block) for i, block in enumerate(unet.down_blocks)),
            *((f"up_blocks.{i}", block) for i, block in enumerate(unet.up_blocks)),
        ):
            attentions = getattr(block, "attentions", [])
            for i, resnet in enumerate(block.resnets):
                layers[f"{name}.resnets.{i}"] = resnet
                if i < len(attentions):
                    layers[f"{name}.attentions.{i}"] = attentions[i]
            for kind in ("downsamplers", "upsamplers"):
                for i, sampler in enumerate(getattr(block, kind, None) or []):
                    layers[f"{name}.{kind}.{i}"] = sampler
            if name == f"down_blocks.{len(unet.down_blocks) - 1}" and unet.mid_block is not None:
                for i, resnet in enumerate(unet.mid_block.resnets):
                    layers[f"mid_block.resnets.{i}"] = resnet
        return layers

    def stages(self) -> list[str]:
        """Levels down, the middle, levels up."""
        unet: Any = self.network
        return [
            *(f"down_blocks.{i}" for i in range(len(unet.down_blocks))),
            "mid_block",
            *(f"up_blocks.{i}" for i in range(len(unet.up_blocks))),
        ]

    def feature_map(self, activation: Tensor, size: Grid) -> Tensor:
        """The activation itself, (B, C, y, x)."""
        return activation


def _attention(block: Any, index: int) -> frozenset[nn.Module]:
    """Modules of a block's attention with an index; none where it has none."""
    attentions = getattr(block, "attentions", [])
    return frozenset(attentions[index].modules() if index < len(attentions) else ())


class UNetXL(UNet):
    """Stable Diffusion XL: two CLIP text encoders side by side, pooled text, sizes."""

    pipelines = ("StableDiffusionXLPipeline",)
    texts = ((("tokenizer", "tokenizer_2"), None),)
    encoders = (("text_encoder", "text_encoder_2"),)
    encoded: ClassVar[dict[str, int]] = {"prompt_embeds": 0, "text_embeds": 2}
    refused = (*UNet.refused, "prompt_2", "negative_prompt_2")

    @classmethod
    def conditioning_values(cls, configs: Mapping[str, Mapping[str, Any]], keys: int) -> int:
        """Numbers of a prompt's text, its pooled text and six sizes."""
        pooled = configs["text_encoder_2"]["projection_dim"]
        return super().conditioning_values(configs, keys) + pooled + 6
