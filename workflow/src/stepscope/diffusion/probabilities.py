"""Probabilities of attention to the prompt, from what the projections of several layers gave.

Layers of one resolution are computed together, the conditional half alone, so that few operations
come on top of the network's own.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import torch
from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from torch import Tensor

CHUNK = 2**24  # scores computed at a time, which bounds the memory of large pictures
# projections of the keys, in the order in which a processor joins them
KEYS = {False: ("to_k",), True: ("to_k", "add_k_proj")}
NORMS = {"to_q": "norm_q", "to_k": "norm_k", "add_k_proj": "norm_added_k"}


class Call(NamedTuple):
    """What a layer compared: outputs of its projections by their names, and its mask."""

    name: str
    layer: Attention
    projected: dict[str, Float[Tensor, "_ _ inner"]]
    mask: Float[Tensor, "_ 1 key"] | None  # added to the scores

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of queries and of keys."""
        lengths = {part: values.shape[1] for part, values in self.projected.items()}
        queries = lengths.pop("to_q")
        return queries, sum(lengths.values())

    @property
    def scores(self) -> int:
        """Number of scores, over all rows and heads."""
        queries, keys = self.sizes
        return len(self.projected["to_q"]) * self.layer.heads * queries * keys

    @property
    def kind(self) -> Hashable:
        """Equal for calls that can be computed together."""
        shapes = (values.shape for values in self.projected.values())
        return self.layer.heads, self.layer.scale, self.mask is None, *shapes

    def heads(self, part: str, count: int) -> Float[Tensor, "sample head _ channel"]:
        """Queries or keys of the last rows by head, normalised as the library does."""
        values = self.projected[part][-count:]
        values = values.unflatten(-1, (self.layer.heads, -1)).transpose(1, 2)
        norm = getattr(self.layer, NORMS[part], None)
        return values if norm is None else norm(values)


@torch.no_grad()
def probabilities(
    calls: Sequence[Call], merging: Float[Tensor, "sample row key"]
) -> Float[Tensor, "sample row query"]:
    """Softmax over all keys in float32, averaged over heads and added up over calls of a kind.

    `merging` adds up the keys of a row. Its samples are the last of a call, the conditional half.
    """
    total = [merging @ of_chunk.sum(1) for of_chunk in _softmax(calls, len(merging))]
    return torch.cat(total, 2) / calls[0].layer.heads


@torch.no_grad()
def by_head(
    call: Call, merging: Float[Tensor, "sample row key"]
) -> Float[Tensor, "sample head row query"]:
    """The same of one call, each of its heads by itself."""
    return torch.cat([merging[:, None] @ chunk for chunk in _softmax([call], len(merging))], 3)


def _softmax(
    calls: Sequence[Call], count: int
) -> Iterator[Float[Tensor, "sample layer_and_head key query"]]:
    """Softmax over all keys of the last `count` samples, in chunks of queries."""
    layer = calls[0].layer

    def stacked(part: str) -> Tensor:  # (sample, layer and head, query | key, channel)
        return torch.stack([call.heads(part, count) for call in calls], 1).flatten(1, 2).float()

    parts = {part: stacked(part) for part in calls[0].projected}
    queries = parts.pop("to_q")
    keys = torch.cat([*parts.values()], 2) * layer.scale
    masks = [call.mask[-count:] for call in calls if call.mask is not None]
    bias = torch.stack(masks, 1).repeat_interleave(layer.heads, 1).float().mT if masks else None
    for chunk in queries.split(max(1, CHUNK // keys.shape[:3].numel()), dim=2):
        # keys before queries: over a few keys, a softmax is faster where they are not the last axis
        scores = keys @ chunk.mT
        if bias is not None:
            scores += bias
        # in place on a CPU, where memory that was just written is at hand
        place = scores if scores.device.type == "cpu" else None
        yield torch.softmax(scores, 2, out=place)
