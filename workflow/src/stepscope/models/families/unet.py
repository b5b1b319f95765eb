"""Stable Diffusion 1, 2 and XL: U-Nets with cross-attention."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from stepscope.models.families.base import Family


class UNet(Family):
    """Stable Diffusion 1 and 2: one CLIP text encoder."""

    pipelines = ("StableDiffusionPipeline",)
    attribute = "unet"
    refused = (
        "prompt_embeds",
        "clip_skip",
        "ip_adapter_image",
        "ip_adapter_image_embeds",
        "eta",  # noise of DDIM's steps
    )
    negative = None  # on XL None is what its default, zeros, stands for, and "" is not

    def conditioning(self, call: Mapping[str, object]) -> dict[str, object]:
        """Text, added conditioning, and a distilled model's embedded guidance."""
        given = {"prompt_embeds": call["encoder_hidden_states"]}
        given |= call.get("added_cond_kwargs") or {}
        plain = {"self", "sample", "timestep", "encoder_hidden_states", "added_cond_kwargs"}
        rest = {name: call[name] for name in call.keys() - plain - {"return_dict"}}
        return given | {name: value for name, value in rest.items() if value is not None}

    def run(self, z: Tensor, timestep: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Raw output of the U-Net for latents (B, C, h, w)."""
        added = dict(given)
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
    def _halvings(cls, size: tuple[int, int], levels: int) -> list[tuple[int, int]]:
        sizes = [size]
        for _ in range(levels - 1):
            sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
        return sizes

    def grid(self, queries: int, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of a level's tokens: each level halves the latent and rounds up."""
        for h, w in self._halvings(size, len(self.network.config.block_out_channels)):
            if h * w == queries:
                return h, w
        raise ValueError(f"{queries} queries are no level of a latent of {size[0]} x {size[1]}.")

    def layers(self) -> dict[str, nn.Module]:
        """Layers in forward order: all of the down and up blocks, and the mid resnets."""
        unet, found = self.network, {}
        for place, block in (
            *((f"down_blocks.{i}", block) for i, block in enumerate(unet.down_blocks)),
            *((f"up_blocks.{i}", block) for i, block in enumerate(unet.up_blocks)),
        ):
            attentions = getattr(block, "attentions", [])
            for i, resnet in enumerate(block.resnets):
                found[f"{place}.resnets.{i}"] = resnet
                if i < len(attentions):
                    found[f"{place}.attentions.{i}"] = attentions[i]
            for kind in ("downsamplers", "upsamplers"):
                for i, sampler in enumerate(getattr(block, kind, None) or []):
                    found[f"{place}.{kind}.{i}"] = sampler
            if place == f"down_blocks.{len(unet.down_blocks) - 1}" and unet.mid_block is not None:
                for i, resnet in enumerate(unet.mid_block.resnets):
                    found[f"mid_block.resnets.{i}"] = resnet
        return found

    def feature_map(self, activation: Tensor, size: tuple[int, int]) -> Tensor:
        """The activation itself, (B, C, y, x)."""
        return activation


class UNetXL(UNet):
    """Stable Diffusion XL: two CLIP text encoders side by side, pooled text, sizes."""

    pipelines = ("StableDiffusionXLPipeline",)
    texts = ((("tokenizer", "tokenizer_2"), None),)
    encoders = (("text_encoder", "text_encoder_2"),)
    encoded: ClassVar[dict[str, int]] = {"prompt_embeds": 0, "text_embeds": 2}
    refused = (*UNet.refused, "prompt_2", "negative_prompt_2")
