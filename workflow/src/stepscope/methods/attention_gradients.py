"""What attention computes, as part of a call's graph, so that gradients reach its probabilities."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from transformers.models.t5.modeling_t5 import T5Attention

from stepscope.models.families.base import Family

SCORES = 2**24  # computed at a time, over all rows and heads


class Attended(NamedTuple):
    """A call of attention: whether it reads the text, and what it computed from.

    Queries (B, H, n, d), keys and values (B, H, m, d), a mask that is added to the scores, output
    (B, H, n, d) before its projection; all are tensors of the graph.
    """

    module: Attention
    reads_text: bool
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    output: Tensor

    def probabilities(self, rows: slice = slice(None)) -> Tensor:
        """Softmax over all keys, float32 (B, H, rows, m), of some queries."""
        scores = self.query[:, :, rows].float() @ self.key.float().mT * self.module.scale
        return (scores if self.mask is None else scores + self.mask.float()).softmax(-1)

    @torch.no_grad()
    def weights(self, gradient: Tensor | None) -> Tensor:
        """The mean over heads of max(dY/dA x A, 0), float32 (B, n, m), from dY by the output.

        Zeros where Y does not depend on this attention.
        """
        count, _, n, _ = self.query.shape
        found = self.query.new_zeros(count, n, self.key.shape[2], dtype=torch.float32)
        for rows, weighted in self._weighted(gradient):
            found[:, rows] = weighted.mean(1)
        return found

    @torch.no_grad()
    def taken(self, gradient: Tensor | None) -> Tensor:
        """The sum over queries of the same, of each head by itself, float32 (B, H, m)."""
        found = self.query.new_zeros(*self.key.shape[:3], dtype=torch.float32)
        for _, weighted in self._weighted(gradient):
            found += weighted.sum(2)
        return found

    def _weighted(self, gradient: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
        """max(dY/dA x A, 0), float32 (B, H, rows, m), of some queries after others.

        dY/dA is dY/dO V^T; heads and queries come in pieces, since all heads' squares of a large
        picture would not fit. None where Y does not depend on this attention.
        """
        if gradient is None:
            return
        count, heads, n, _ = self.query.shape
        piece = max(1, SCORES // (count * heads * self.key.shape[2]))
        for start in range(0, n, piece):
            rows = slice(start, start + piece)
            change = gradient[:, :, rows].float() @ self.value.float().mT
            yield rows, change.mul_(self.probabilities(rows)).clamp_(min=0)


@dataclass
class Record:
    """Attention calls; feature map sizes."""

    calls: list[Attended] = field(default_factory=list)
    sizes: dict[nn.Module, tuple[int, int]] = field(default_factory=dict)


@contextmanager
def image_attention(family: Family) -> Iterator[Record]:
    """Record the attention of a call with gradients, and each layer's output size."""
    record = Record()
    network: Any = family.network
    before = network.attn_processors
    processor = KeepAttention(record.calls, family.joint)
    network.set_attn_processor(dict.fromkeys(before, processor))
    kinds = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
    layers = [module for module in network.modules() if type(module).__name__ in kinds]

    def keep(module, _inputs, output):
        record.sizes[module] = tuple(output.shape[-2:])

    handles = [module.register_forward_hook(keep) for module in layers]
    # of several calls, the last is the one with the full prompt
    handles.append(network.register_forward_pre_hook(lambda module, inputs: record.calls.clear()))
    try:
        yield record
    finally:
        network.set_attn_processor(before)
        for handle in handles:
            handle.remove()


class KeepAttention:
    """Attention processor that keeps what fused attention computes from, and its output.

    The library's `AttnProcessor2_0`, or for `joint` attention its `JointAttnProcessor2_0`, written
    out. Whether a call reads the text is seen by `encoder_hidden_states`: with
    `only_cross_attention` a module's name does not tell.
    """

    def __init__(self, calls: list[Attended], joint: bool) -> None:
        self.calls = calls
        self.joint = joint

    def __call__(
        self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attention's output for hidden_states (B, n, C) or (B, C, h, w), as the library's."""
        residual = hidden_states
        shape = hidden_states.shape
        if len(shape) == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        reads_text = encoder_hidden_states is not None
        source = encoder_hidden_states if reads_text and not self.joint else hidden_states
        if reads_text and attn.norm_cross:
            source = attn.norm_encoder_hidden_states(source)
        query, key, value = _heads(
            attn, hidden_states, source, ("to_q", "to_k", "to_v"), (attn.norm_q, attn.norm_k)
        )
        if reads_text and self.joint:
            added = _heads(
                attn,
                encoder_hidden_states,
                encoder_hidden_states,
                ("add_q_proj", "add_k_proj", "add_v_proj"),
                (attn.norm_added_q, attn.norm_added_k),
            )
            query, key, value = (
                torch.cat(pair, 2) for pair in zip((query, key, value), added, strict=True)
            )
        mask = attention_mask
        if mask is not None:
            mask = attn.prepare_attention_mask(mask, key.shape[2], len(key))
            mask = mask.unflatten(0, (len(key), -1)).to(query.dtype)
        output = F.scaled_dot_product_attention(query, key, value, mask, scale=attn.scale)
        if output.requires_grad:
            self.calls.append(Attended(attn, reads_text, query, key, value, mask, output))
        hidden_states = output.transpose(1, 2).flatten(2)
        if reads_text and self.joint:
            count = residual.shape[1]
            hidden_states, encoder_hidden_states = hidden_states.split(
                [count, hidden_states.shape[1] - count], 1
            )
            if not attn.context_pre_only:
                encoder_hidden_states = attn.to_add_out(encoder_hidden_states)
        hidden_states = attn.to_out[1](attn.to_out[0](hidden_states))
        if len(shape) == 4:
            hidden_states = hidden_states.transpose(1, 2).reshape(shape)
        if attn.residual_connection:
            hidden_states = hidden_states + residual
        hidden_states = hidden_states / attn.rescale_output_factor
        return (
            (hidden_states, encoder_hidden_states) if reads_text and self.joint else hidden_states
        )


def _heads(
    attn: Attention, queries: Tensor, source: Tensor, names: tuple[str, ...], norms: tuple
) -> list[Tensor]:
    """Queries, keys and values (B, H, n, d) by the named projections, normalised."""
    projections = zip(names, (queries, source, source), (*norms, None), strict=True)
    split = []
    for name, states, norm in projections:
        projected = getattr(attn, name)(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        split.append(projected if norm is None else norm(projected))
    return split


@contextmanager
def text_attention(encoder: Any) -> Iterator[list[Tensor]]:
    """Record the attention probabilities (B, H, n, n) of a text encoder, layer by layer."""
    kept: list[Tensor] = []
    before = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")  # the fused one has no probabilities

    def start(_module, inputs, named):
        # weights are frozen: without this there is no graph
        hidden = inputs[0] if inputs else named["hidden_states"]
        if torch.is_grad_enabled() and not hidden.requires_grad:
            hidden.requires_grad_()

    def keep(_module, _inputs, output):
        if output[-1].requires_grad:  # not of a prompt that is only compared with
            kept.append(output[-1])

    modules = [m for m in encoder.modules() if hasattr(m, "k_proj") or isinstance(m, T5Attention)]
    handles = [modules[0].register_forward_pre_hook(start, with_kwargs=True)]
    handles += [module.register_forward_hook(keep) for module in modules]
    try:
        yield kept
    finally:
        encoder.set_attn_implementation(before)
        for handle in handles:
            handle.remove()
