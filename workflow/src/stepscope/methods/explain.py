"""The explain job: one method on the stored steps of a batch, gathered into maps."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import tee
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from stepscope.joblog import bar
from stepscope.methods import batches
from stepscope.methods.gathered import Gathered
from stepscope.methods.method import parameters_of
from stepscope.methods.replaying import replaying
from stepscope.methods.results import checked, told
from stepscope.models import memory
from stepscope.pictures import regions
from stepscope.store.attention import heads_of, keeps_heads
from stepscope.store.error_left import named_steps
from stepscope.store.maps import open_masks, write_maps
from stepscope.store.traces import (
    chosen_steps,
    latent_size,
    model_of,
    open_trace,
    prompt_ids_of,
    read_pairs,
    read_step,
    word_counts,
)

if TYPE_CHECKING:
    from stepscope.diffusion.step import Step

FORWARD_BATCH = 8  # the config's default, for an entry that does not say


def budget(
    tree: xr.DataTree,
    function: Callable[..., Any],
    parameters: dict[str, Any],
    pairs: Sequence[tuple[int, int]],
) -> str:
    """One line that says what a method will cost on the chosen (sample, step number) pairs."""
    where = f"{len({sample for sample, _ in pairs})} samples, {len(pairs)} steps"
    if not hasattr(function, "calls"):
        return f"Budget: {where}; the method does not state its denoiser calls."
    words = word_counts(tree)
    total = sum(function.calls(words[sample], parameters) for sample, _ in pairs)
    return f"Budget: {where}, {total:,.0f} guided denoiser calls."


def explain_batch(
    traces: str,
    *,
    model: dict[str, Any],
    method: str,
    entry: dict[str, Any],
    mask_path: str | None = None,
    error_left: str | None = None,
    heads: str | None = None,
    moments: str | None = None,
    clip: dict[str, Any] | None = None,
) -> tuple[dict[str, xr.DataArray], xr.DataTree, dict[str, Any]]:
    """Maps of one method on a trace store: {name: (sample, step, [word | layer], y, x) float32}.

    `entry` is the method's part of the config; what a method may return says `results.checked`.
    `error_left` is the curve by which it may name steps (see `store.error_left`), `heads` the part
    of rq2_heads from which it learns, `moments` the file of those that an entry with the `denoiser`
    gaussian_null needs, `clip` the model by whose features it compares pictures. Also returns the
    opened trace and what the maps' store says about them. What the method raises, and a result that
    is refused, names it as the config does, the sample and the step.
    """
    tree = open_trace(traces)
    with told(f"explain/{method}"):
        function, parameters = parameters_of(entry)
        steps = named_steps(entry.get("steps"), error_left)
    pairs = chosen_steps(tree, steps, entry.get("samples"))
    kept = keeps_heads(tree) and getattr(function, "stored", lambda _: False)(parameters)
    said = "Read from the trace, which keeps attention by head: no model is loaded."
    print(said if kept else budget(tree, function, parameters, pairs), flush=True)
    if (moments is None) != (entry.get("denoiser") is None):
        raise ValueError(f"explain/{method}/denoiser: gaussian_null goes with a file of moments.")
    replays = getattr(function, "replays", True) and not kept
    denoiser = replaying(model, tree, moments, clip) if replays else None
    objects = object_masks(mask_path, tree) if mask_path else {}
    call, fitting = batches.Explaining(method, function, denoiser, parameters), memory.Fitting()
    size = size_together(call, entry, tree, pairs, objects)
    ranked = ranks_of(heads, parameters, tree) if heads else {}
    steps_read = read(tree, pairs, objects, ranked, kept)
    maps = maps_of(call, tree, pairs, steps_read, size, fitting)
    attrs = about(call, entry, tree) | {"forward_batch": min(size, fitting.limit or size)}
    attrs |= {"clip": clip} if clip else {}
    return maps, tree, attrs


def read(
    tree: xr.DataTree,
    pairs: Sequence[tuple[int, int]],
    objects: dict[int, torch.Tensor],
    ranked: Mapping[str, Mapping[str, tuple[str, ...]]],
    by_head: bool,
) -> "Iterator[Step]":
    """Steps of (sample, step number) pairs, with ranks of heads and, if asked, their attention."""
    for (sample, number), step in zip(pairs, read_pairs(tree, pairs, objects), strict=True):
        kept = heads_of(tree, sample, number) if by_head else {}
        maps = {layer: torch.from_numpy(values).float() for layer, values in kept.items()}
        yield replace(step, heads=ranked.get(step.prompt_id, {}), by_head=maps)


def size_together(
    call: batches.Explaining,
    entry: dict[str, Any],
    tree: xr.DataTree,
    pairs: Sequence[tuple[int, int]],
    objects: dict[int, torch.Tensor],
) -> int:
    """How many steps of the (sample, step number) pairs a method takes at once, by its entry."""
    size = entry.get("forward_batch", FORWARD_BATCH) if call.together else 1
    if size == "auto" and call.denoiser is None:
        return FORWARD_BATCH
    if size == "auto":
        words = word_counts(tree)
        sample, number = max(pairs, key=lambda pair: words[pair[0]])
        longest = read_step(tree, sample, number, objects.get(sample))
        size = call.fitting_size(longest, f"explain/{call.name}/forward_batch")
    return size


def maps_of(
    call: batches.Explaining,
    tree: xr.DataTree,
    pairs: Sequence[tuple[int, int]],
    steps: "Iterable[Step]",
    size: int,
    fitting: memory.Fitting,
) -> dict[str, xr.DataArray]:
    """Maps of a method on the axes of a trace, from the step of each (sample, step number) pair."""
    steps, keyed = tee(steps)
    results = batches.results(call, steps, size, fitting)
    gathered = Gathered(tree)
    every = zip(pairs, keyed, results, strict=True)
    for (sample, number), step, result in bar(every, call.name, len(pairs)):
        with told(f"explain/{call.name}: {step.prompt_id}, seed {step.seed}, step {number}"):
            gathered.put(sample, number, checked(result, call.name, gathered.size, len(step.words)))
    return gathered.arrays()


def about(call: batches.Explaining, entry: dict[str, Any], tree: xr.DataTree) -> dict[str, Any]:
    """What a store of maps says of the method that made them."""
    stated = {"target": inspect.getdoc(call.function) or "not stated"}
    return {
        "method": call.name,
        "function": entry["function"],
        "parameters": call.parameters,
        "model": model_of(tree),
        **{key: entry[key] for key in ("denoiser",) if key in entry},
        "forward_limit": call.denoiser and call.denoiser.fitting_calls.limit,
        **getattr(call.function, "about", stated),
    }


def explain(
    path: str,
    *,
    traces: str,
    model: dict[str, Any],
    method: str,
    entry: dict[str, Any],
    mask_path: str | None,
    error_left: str | None = None,
    heads: str | None = None,
    moments: str | None = None,
    clip: dict[str, Any] | None = None,
    code: str,
) -> None:
    """Write the map store of one method and batch (see `explain_batch`)."""
    maps, tree, attrs = explain_batch(
        traces,
        model=model,
        method=method,
        entry=entry,
        mask_path=mask_path,
        error_left=error_left,
        heads=heads,
        moments=moments,
        clip=clip,
    )
    write_maps(path, maps, tree, attrs | {"code": code})


def object_masks(path: str, tree: xr.DataTree) -> dict[int, torch.Tensor]:
    """Share of each latent cell that objects cover, (h, w) for each sample that has any mask."""
    size = latent_size(tree)
    shares = regions.onto(regions.object_mask(open_masks(path)), size)
    return {
        sample: torch.from_numpy(share)
        for sample, share in enumerate(shares)
        if not np.isnan(share).any()
    }


def ranks_of(
    path: str, parameters: dict[str, Any], tree: xr.DataTree
) -> dict[str, Mapping[str, tuple[str, ...]]]:
    """Attention heads by prompt and role, ranked on other prompts (see `ranked_heads`)."""
    from stepscope.methods.selected_heads import ranked_heads
    from stepscope.store import tables

    return ranked_heads(tables.read(path), parameters["learnt_from"], list(prompt_ids_of(tree)))
