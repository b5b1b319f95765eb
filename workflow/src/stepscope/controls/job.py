"""The job of the negative controls: maps of one method under each of them, for a batch.

A control changes the network or the step, and the method that explains it is the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import xarray as xr

from stepscope.controls.steps import partner, recorded, with_latent, with_prompt
from stepscope.controls.weights import first_weights
from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import explain
from stepscope.methods.batches import Explaining
from stepscope.methods.method import parameters_of
from stepscope.methods.replaying import replaying
from stepscope.methods.results import told
from stepscope.models import memory
from stepscope.models.families.base import Family
from stepscope.store.error_left import named_steps
from stepscope.store.maps import write_maps
from stepscope.store.traces import (
    chosen_steps,
    open_trace,
    prompt_ids_of,
    read_pairs,
    read_step,
    seeds_of,
)

Maps: TypeAlias = dict[str, xr.DataArray]


class Control(NamedTuple):
    """A control: its kind; of a cascade, the last block that was drawn anew, and how many were."""

    kind: str
    block: str = ""
    depth: int = 0


SEED = Control("seed")  # the method itself with another seed: what a control is held against
CHANGES = {"prompt": with_prompt, "latent": with_latent}


def shared_pairs(
    tree: xr.DataTree, entry: Mapping[str, Any], controls: Mapping[str, Any], curve: str | None
) -> list[tuple[int, int]]:
    """(sample, step number) pairs that a method explains and the controls ask for.

    `curve` is the one by which either names steps. ValueError if there are none.
    """
    explained, asked = (
        chosen_steps(tree, named_steps(each.get("steps"), curve), each.get("samples"))
        for each in (entry, controls)
    )
    if pairs := [pair for pair in asked if pair in set(explained)]:
        return pairs
    numbers = ", ".join(str(number) for number in sorted({number for _, number in asked}))
    raise ValueError(f"steps: the method explains none of {numbers}.")


def under_weights(
    family: Family, kinds: Sequence[str], seed: int, explained: Callable[[], Maps]
) -> Iterator[tuple[Control, Maps]]:
    """Maps while the network's weights are drawn anew: block after block, and all of them.

    A cascade keeps what it has drawn, and ends with all weights, which are drawn once.
    """
    blocks = family.blocks()
    with first_weights(family, seed) as draw:
        for depth, (block, names) in enumerate(blocks.items(), 1):
            draw(names)
            last = depth == len(blocks)
            found = explained() if last or "cascade" in kinds else {}
            if "cascade" in kinds:
                yield Control("cascade", block, depth), found
            if last and "weights" in kinds:
                yield Control("weights", depth=depth), found


def control_maps(
    explained: Callable[[Iterable[Step]], Maps],
    steps: Callable[[], Iterable[tuple[Step, Step]]],
    denoiser: Denoiser,
    kinds: Sequence[str],
    seed: int,
    seeded: bool,
) -> Iterator[tuple[Control, Maps]]:
    """Each control with the maps that `explained` gives of its steps.

    `steps` gives the steps, each with another sample's. Of a method that is `seeded`, the first is
    itself, which `explained` calls with another seed throughout: a control then shares no random
    numbers with the map that it is compared with.
    """

    def made(change: Callable[[Step, Step], Step]) -> Maps:
        return explained(recorded(denoiser, change(step, other)) for step, other in steps())

    if seeded:
        yield SEED, explained(step for step, _ in steps())
    for kind, change in CHANGES.items():
        if kind in kinds:
            with told(f"controls/{kind}"):
                found = made(change)
            yield Control(kind), found
    if {"weights", "cascade"} & set(kinds):
        unchanged = partial(made, lambda step, _: step)
        yield from under_weights(denoiser.family, kinds, seed, unchanged)


def together(found: Iterable[tuple[Control, Maps]], places: Mapping[str, np.ndarray]) -> Maps:
    """Maps (sample, step, control, ...) of all controls, of the samples and steps at `places`."""
    controls, maps = zip(*((control, cut(each, places)) for control, each in found), strict=True)
    columns = dict(zip(Control._fields, zip(*controls, strict=True), strict=True))
    coords = {
        name: ("control", np.array(values, dtype=int if name == "depth" else object))
        for name, values in columns.items()
    }
    return {
        name: xr.concat([each[name] for each in maps], "control")
        .transpose("sample", "step", "control", ...)
        .assign_coords(coords)
        for name in maps[0]
    }


def cut(maps: Maps, places: Mapping[str, np.ndarray]) -> Maps:
    """A copy of maps at some places of their axes, so that the rest need not be kept."""
    return {name: values.isel(places).copy() for name, values in maps.items()}


def control_batch(
    traces: str,
    *,
    model: dict[str, Any],
    method: str,
    entry: dict[str, Any],
    controls: Mapping[str, Any],
    mask_path: str | None = None,
    error_left: str | None = None,
    clip: dict[str, Any] | None = None,
) -> tuple[Maps, xr.DataTree, dict[str, Any]]:
    """Maps (sample, step, control, [word | layer], y, x) float32 of one method under the controls.

    `entry` is the method's part of the config, `controls` theirs: kinds, steps, samples, seed.
    Under another prompt, the map of a word is that of the other prompt's word at its place. Also
    returns the trace and what the maps' store says about them.
    """
    tree = open_trace(traces)
    with told(f"controls/{method}"):
        function, parameters = parameters_of(entry)
        pairs = shared_pairs(tree, entry, controls, error_left)
        kinds, seed = controls["kinds"], controls["seed"]
        who = prompt_ids_of(tree).tolist(), seeds_of(tree).tolist()
        partners = {sample: partner(seed, sample, *who) for sample, _ in pairs}
    denoiser = replaying(model, tree, clip=clip)
    objects = explain.object_masks(mask_path, tree) if mask_path else {}
    if seeded := "seed" in parameters:
        parameters |= {"seed": parameters["seed"] + 1 + seed}
    replays = getattr(function, "replays", True)
    call = Explaining(method, function, denoiser if replays else None, parameters)
    print(f"Each control: {explain.budget(tree, function, parameters, pairs)}", flush=True)
    size, fitting = explain.size_together(call, entry, tree, pairs, objects), memory.Fitting()

    def explained(steps: Iterable[Step]) -> Maps:
        return explain.maps_of(call, tree, pairs, steps, size, fitting)

    def steps() -> Iterator[tuple[Step, Step]]:
        own = read_pairs(tree, pairs, objects)
        for (sample, number), step in zip(pairs, own, strict=True):
            yield step, read_step(tree, partners[sample], number)

    places = {
        "sample": np.unique([sample for sample, _ in pairs]),
        "step": np.unique([number - 1 for _, number in pairs]),
    }
    maps = together(control_maps(explained, steps, denoiser, kinds, seed, seeded), places)
    others = {int(sample): [who[0][other], who[1][other]] for sample, other in partners.items()}
    attrs = explain.about(call, entry, tree) | {
        "forward_batch": min(size, fitting.limit or size),
        "seed": seed,
        "others": {str(sample): other for sample, other in others.items()},
    }
    return maps, tree, attrs


def write_controls(path: str, *, code: str, **arguments: Any) -> None:
    """Write the store of a method's maps under the controls (see `control_batch`)."""
    maps, tree, attrs = control_batch(**arguments)
    write_maps(path, maps, tree, attrs | {"code": code})
