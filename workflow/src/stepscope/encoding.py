"""Encoding a prompt as a pipeline does, with some of its tokens replaced by padding."""

from collections.abc import Sequence

import torch
from diffusers import DiffusionPipeline
from torch import Tensor


def encode(
    pipeline: DiffusionPipeline, prompt: str, padded: Sequence[int] = ()
) -> dict[str, Tensor]:
    """Conditioning of one prompt without a batch axis, token positions ``padded`` filled.

    Every text encoder takes part, in the layer that its pipeline reads: the last hidden state, or
    of XL's two the one before it, (token, channel), and the second's pooled text, (channel,).
    """
    prompt = pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer)
    if getattr(pipeline, "text_encoder_2", None) is None:
        return {"prompt_embeds": _encoded(pipeline, "", prompt, padded)[0][0]}
    first, second = (
        _encoded(pipeline, suffix, prompt, padded, output_hidden_states=True)
        for suffix in ("", "_2")
    )
    embeds = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
    return {"prompt_embeds": embeds[0], "text_embeds": second[0][0]}


def _encoded(
    pipeline: DiffusionPipeline, suffix: str, prompt: str, padded: Sequence[int], **options
):
    tokenizer = getattr(pipeline, f"tokenizer{suffix}")
    encoder = getattr(pipeline, f"text_encoder{suffix}")
    inputs = tokenizer(
        prompt,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    ids = inputs.input_ids
    ids[:, list(padded)] = tokenizer.pad_token_id
    if getattr(encoder.config, "use_attention_mask", False):
        options["attention_mask"] = inputs.attention_mask.to(encoder.device)
    return encoder(ids.to(encoder.device), **options)
