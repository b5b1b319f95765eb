"""Probabilities of attention to words in a replayed step, by layer and head."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser, stacked
from stepscope.diffusion.probabilities import KEYS, Call, by_head
from stepscope.diffusion.step import Step
from stepscope.methods.differences import latents_of
from stepscope.models.families.base import Family
from stepscope.models.words import Reading

Tokens = Sequence[Sequence[int]]  # rows of attention that each word is made of


def reading_layers(family: Family) -> dict[str, Attention]:
    """Attention modules that read the prompt, by name."""
    return {name: one for name, one in family.attention().items() if family.reads_text(one)}


@contextmanager
def recorded_calls(family: Family, layers: Mapping[str, Attention]) -> Iterator[dict[str, Call]]:
    """What the layers compared in the last call of the network, by the layers' names."""
    calls: dict[str, Call] = {}
    projected: dict[str, dict[str, Tensor]] = {name: {} for name in layers}

    def keep(name: str, part: str) -> Any:
        def hook(_module: object, _inputs: object, output: Tensor) -> None:
            projected[name][part] = output

        return hook

    def called(name: str) -> Any:
        def hook(module: Attention, _inputs: object, named: dict[str, Any], _out: object) -> None:
            calls[name] = Call(name, module, projected[name], named.get("attention_mask"))
            projected[name] = {}

        return hook

    with ExitStack() as stack:
        for name, layer in layers.items():
            for part in ("to_q", *KEYS[family.joint]):
                hook = getattr(layer, part).register_forward_hook(keep(name, part))
                stack.callback(hook.remove)
            handle = layer.register_forward_hook(called(name), with_kwargs=True)
            stack.callback(handle.remove)
        yield calls


def of_own_words(
    denoiser: Denoiser,
    steps: Sequence[Step],
    layers: Mapping[str, Attention],
    readings: Sequence[Reading],
    tokens: Sequence[Tokens],
    conditioning: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Attention (step, head, word, h, w) of each layer to words of the texts that are replayed.

    `readings` and `tokens` are of each step's text: the prompt, or what `conditioning` has in the
    place of its half. A layer that was not called, as behind a model without a text, is left out.
    """
    with recorded_calls(denoiser.family, layers) as calls:
        denoiser.conditional(latents_of(denoiser, steps), steps, conditioning)
    return _maps(denoiser.family, steps, calls, list(zip(readings, tokens, strict=True)))


def of_other_texts(
    denoiser: Denoiser, steps: Sequence[Step], layers: Mapping[str, Attention], texts: Sequence[str]
) -> dict[str, Tensor]:
    """Attention (step, head, text, h, w) of each layer to texts that were not given to the step.

    The step's own queries meet the keys of each text, encoded by itself, in one softmax over it
    (open-vocabulary attribution: Marcos-Manchon et al., arXiv 2403.14291). Joint attention, whose
    text changes from block to block with the picture, is a ValueError.
    """
    family, count = denoiser.family, len(steps)
    if family.joint:
        raise ValueError(
            "open_vocabulary: keys of another text need cross-attention, and this model's text and "
            "picture attend jointly."
        )
    rows = [step for _ in range(1 + len(texts)) for step in steps]
    conditioning = stacked([step.conditioning for step in rows])
    for name, encoded in denoiser.encode_each([(text, ()) for text in texts]).items():
        others = encoded.to(conditioning[name]).repeat_interleave(count, 0)
        conditioning[name] = conditioning[name].clone()
        conditioning[name][count:, 1] = others
    with recorded_calls(family, layers) as calls:
        denoiser.conditional(latents_of(denoiser, rows), rows, conditioning)
    found: dict[str, list[Tensor]] = {name: [] for name in calls}
    for index, text in enumerate(texts, 1):
        reading = family.reading(text)
        together = [token for word in reading.words for token in word.tokens]
        for name, maps in _maps(
            family,
            steps,
            {name: _paired(call, index, count) for name, call in calls.items()},
            [(reading, [together])] * count,
        ).items():
            found[name].append(maps)
    return {name: torch.cat(maps, 2) for name, maps in found.items()}


def of_stored(
    steps: Sequence[Step], layers: Sequence[str], tokens: Sequence[Tokens]
) -> dict[str, Tensor]:
    """Attention (step, head, word, h, w) of named layers to words, as `of_own_words`, as stored.

    Zeros stand beyond a step's last word.
    """
    most = max(map(len, tokens))
    found = {}
    for layer in layers:
        of_steps = []
        for step, of_words in zip(steps, tokens, strict=True):
            maps = [step.by_head[layer][:, list(rows)].sum(1) for rows in of_words]
            nothing = [torch.zeros_like(maps[0])] * (most - len(maps))
            of_steps.append(torch.stack([*maps, *nothing], 1))
        found[layer] = torch.stack(of_steps)
    return found


def _paired(call: Call, index: int, count: int) -> Call:
    """A call with the queries of its first `count` rows and the keys of those of a later text."""
    theirs = slice(index * count, (index + 1) * count)
    projected = {
        part: values[:count] if part == "to_q" else values[theirs]
        for part, values in call.projected.items()
    }
    return call._replace(projected=projected, mask=None if call.mask is None else call.mask[theirs])


def _maps(
    family: Family,
    steps: Sequence[Step],
    calls: Mapping[str, Call],
    read: Sequence[tuple[Reading, Tokens]],
) -> dict[str, Tensor]:
    """Attention (step, head, word, y, x) on each layer's own grid."""
    height, width = steps[0].latent.shape[-2:]
    maps = {}
    for name, call in calls.items():
        queries, keys = call.sizes
        merging = torch.stack([_merging(*of_text, keys, read) for of_text in read])
        found = by_head(call, merging.to(call.projected["to_q"].device))
        maps[name] = found.unflatten(-1, family.grid(queries, (height, width)))
    return maps


def _merging(
    reading: Reading, tokens: Tokens, keys: int, read: Sequence[tuple[Reading, Tokens]]
) -> Tensor:
    """Matrix (word, key) that adds up the text keys of each word; zeros beyond the last word."""
    merging = torch.zeros(max(len(words) for _, words in read), keys)
    rows = torch.tensor(reading.rows)
    for word, of_word in enumerate(tokens):
        merging[word, keys - len(rows) :] = torch.isin(rows, torch.tensor([*of_word])).float()
    return merging


def on_latent(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (step, head, word, y, x) brought to the latent grid bilinearly."""
    grown = F.interpolate(maps.flatten(0, 1), size=size, mode="bilinear")
    return grown.unflatten(0, maps.shape[:2])


def mean_over_layers(found: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
    """Mean (step, word, h, w) over heads and layers of each resolution, then over resolutions."""
    by_grid: dict[tuple[int, ...], list[Tensor]] = {}
    for maps in found.values():
        by_grid.setdefault(tuple(maps.shape[-2:]), []).append(maps.mean(1, keepdim=True))
    grown = [on_latent(torch.stack(maps).mean(0), size)[:, 0] for maps in by_grid.values()]
    return torch.stack(grown).mean(0)
