"""Stable Diffusion 3: a transformer whose image and text tokens attend to each other jointly."""

from collections.abc import Mapping
from typing import Any, ClassVar

from diffusers.models.attention_processor import (
    Attention,
    JointAttnProcessor2_0,
    XFormersJointAttnProcessor,
)
from torch import Tensor

from stepscope.models.families.base import Family


class SD3(Family):
    """Stable Diffusion 3 and 3.5: flow matching, two CLIP texts side by side and one of T5."""

    pipelines = ("StableDiffusion3Pipeline",)
    texts = ((("tokenizer", "tokenizer_2"), None), (("tokenizer_3",), 256))
    encoders = (("text_encoder", "text_encoder_2"), ("text_encoder_3",))
    encoded: ClassVar[dict[str, int]] = {"prompt_embeds": 0, "pooled_prompt_embeds": 2}
    refused = (
        "prompt_embeds",
        "prompt_2",
        "prompt_3",
        "negative_prompt_2",
        "negative_prompt_3",
        "clip_skip",
        "skip_guidance_layers",
        "ip_adapter_image",
        "ip_adapter_image_embeds",
    )
    encode_options: ClassVar[dict[str, object]] = {"prompt_2": None, "prompt_3": None}
    schedule = "sigmas"
    joint = True
    processors = (JointAttnProcessor2_0, XFormersJointAttnProcessor)

    def conditioning(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Texts, one after the other, and pooled text."""
        conditioning = {
            "prompt_embeds": call["encoder_hidden_states"],
            "pooled_prompt_embeds": call["pooled_projections"],
        }
        for name in ("block_controlnet_hidden_states", "joint_attention_kwargs", "skip_layers"):
            conditioning[name] = call.get(name)
        return {name: value for name, value in conditioning.items() if value is not None}

    def run(self, z: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """Raw output of the transformer for latents (B, C, h, w)."""
        return self.network(
            hidden_states=z,
            timestep=timestep.expand(len(z)),
            encoder_hidden_states=conditioning["prompt_embeds"],
            pooled_projections=conditioning["pooled_prompt_embeds"],
            return_dict=False,
        )[0]

    def reads_text(self, module: Attention) -> bool:
        """Whether text keys join the image's in a module's softmax."""
        return module.added_kv_proj_dim is not None

    def activation(self, output: Any) -> Tensor:
        """Blocks return text and image."""
        return output[1]
