"""PixArt-Sigma: a transformer with cross-attention to a T5 text, whose padding is masked."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor

from stepscope.models.families.base import Family


class PixArt(Family):
    """PixArt-Sigma; the variances that its network learned are left out, as samplers do."""

    pipelines = ("PixArtSigmaPipeline",)
    texts = ((("tokenizer",), 300),)
    encoded: ClassVar[dict[str, int]] = {"prompt_embeds": 0, "prompt_attention_mask": 1}
    # without binning, which would change the size that was asked for
    options: ClassVar[dict[str, object]] = {
        "use_resolution_binning": False,
        "clean_caption": False,
    }
    encode_options: ClassVar[dict[str, object]] = {"max_sequence_length": 300}

    @classmethod
    def prepared(cls, prompt: str) -> str:
        """The prompt in lower case, as the pipeline makes it."""
        return prompt.lower().strip()

    def check_call(self, arguments: Mapping[str, Any]) -> None:
        """Refuse captions whose words cleaning, which is on by default, would change."""
        super().check_call(arguments)
        prompts = arguments["prompt"]
        for prompt in [prompts] if isinstance(prompts, str) else prompts or ():
            cleaned = self.pipeline._text_preprocessing(prompt, arguments["clean_caption"])[0]
            if cleaned != self.prepared(prompt):
                raise ValueError(
                    f"trace: clean_caption, which is the pipeline's default, makes {cleaned!r} of "
                    f"{prompt!r}, whose words are traced; call it with clean_caption=False."
                )

    def guidance(self, arguments: Mapping[str, Any]) -> tuple[bool, float]:
        """From the call's arguments: this pipeline keeps neither."""
        return arguments["guidance_scale"] > 1, float(arguments["guidance_scale"])

    def listen(self, arguments: dict, ended: Callable[[Tensor], Tensor]) -> None:
        """By the older callback, whose latents can only be changed in place."""
        theirs, interval = arguments.get("callback"), arguments["callback_steps"]

        def called(index: int, timestep: Tensor, latents: Tensor) -> None:
            following = ended(latents)
            if following is not latents:
                latents.copy_(following)
            if theirs is not None and index % interval == 0:
                theirs(index, timestep, latents)

        arguments["callback"], arguments["callback_steps"] = called, 1

    def conditioning(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Text and the mask of its padding."""
        conditioning = {
            "prompt_embeds": call["encoder_hidden_states"],
            # as the network makes it a bias, and as the empty half can be NaN
            "prompt_attention_mask": call["encoder_attention_mask"].to(call["hidden_states"].dtype),
        }
        conditioning |= call.get("added_cond_kwargs") or {}
        for name in ("cross_attention_kwargs", "attention_mask"):
            conditioning[name] = call.get(name)
        return {name: value for name, value in conditioning.items() if value is not None}

    def run(self, z: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """Raw output of the transformer for latents (B, C, h, w)."""
        return self.network(
            z,
            encoder_hidden_states=conditioning["prompt_embeds"],
            encoder_attention_mask=conditioning["prompt_attention_mask"],
            timestep=timestep.expand(len(z)),
            added_cond_kwargs={
                name: conditioning.get(name) for name in ("resolution", "aspect_ratio")
            },
            return_dict=False,
        )[0]
