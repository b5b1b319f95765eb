"""Reading trace stores.

torch is imported only where tensors are asked for: tables and figures do without it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from stepscope.store.checked import CheckedStore

if TYPE_CHECKING:
    from torch import Tensor

    from stepscope.diffusion.step import Step
    from stepscope.models.words import Word

REPLAYED = ("sampling", "scheduler", "guidance", "guidance_rescale")


def open_trace(path: str) -> xr.DataTree:
    """Open a trace store lazily; a torn one raises ValueError.

    So does the reading of a chunk that is missing or damaged.
    """
    store: Any = CheckedStore(path)  # xarray's annotation leaves out what its engine takes
    tree = xr.open_datatree(store, engine="zarr", consolidated=True, chunks=None)
    if "latent" not in tree:
        raise ValueError(f"{path}: this is a zarr store, but not one of traces.")
    return tree


def _array(tree: xr.DataTree, path: str) -> xr.DataArray:
    """The array at a path of a trace, lazily."""
    array = tree[path]
    assert isinstance(array, xr.DataArray), f"{path} is a group"
    return array


def latent_size(tree: xr.DataTree) -> tuple[int, int]:
    """Height and width of the latent grid, in cells."""
    height, width = tree["latent/value"].shape[-2:]
    return height, width


def sample_and_step_counts(tree: xr.DataTree) -> tuple[int, int]:
    """Numbers of samples and of steps."""
    return tree.sizes["sample"], tree.sizes["step"]


def clean_predictions(tree: xr.DataTree) -> np.ndarray:
    """Clean latents (sample, step, channel, y, x) that each step predicts, as stored."""
    return _array(tree, "denoised/value").to_numpy()


def final_latents(tree: xr.DataTree) -> np.ndarray:
    """Latents (sample, channel, y, x) after the last step, as stored."""
    return _array(tree, "latent/value").isel(state=-1).to_numpy()


def predictions_and_finals(tree: xr.DataTree) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Clean predictions (step, channel, y, x) and final latent of each sample, read one by one."""
    for sample in range(tree.sizes["sample"]):
        denoised, latents = (
            _array(tree, path).isel(sample=sample) for path in ("denoised/value", "latent/value")
        )
        yield denoised.to_numpy(), latents.isel(state=-1).to_numpy()


class Recorded(NamedTuple):
    """What a trace holds of a sample, as stored.

    Latents (state, C, y, x), raw outputs (step, half, C, y, x), guided clean ones (step, C, y, x).
    """

    latents: np.ndarray
    outputs: np.ndarray
    denoised: np.ndarray


def recorded_samples(tree: xr.DataTree) -> Iterator[Recorded]:
    """What a trace holds of each sample, read one by one."""
    paths = ("latent/value", "output/value", "denoised/value")
    for sample in range(tree.sizes["sample"]):
        yield Recorded(*(_array(tree, path).isel(sample=sample).to_numpy() for path in paths))


def times_of(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """Number, time step and log-SNR of each step, (step,) each."""
    return {name: _array(tree, name).to_numpy() for name in ("step", "timestep", "log_snr")}


def prompts_of(tree: xr.DataTree) -> list[str]:
    """Prompt of each sample."""
    return tree.attrs["prompts"]


def prompt_ids_of(tree: xr.DataTree) -> np.ndarray:
    """prompt_id of each sample, (sample,) of text."""
    return _array(tree, "prompt_id").to_numpy()


def seeds_of(tree: xr.DataTree) -> np.ndarray:
    """Seed of each sample, (sample,) i8."""
    return _array(tree, "seed").to_numpy()


def words_of(tree: xr.DataTree) -> "list[tuple[Word, ...]]":
    """Words of each sample's prompt."""
    from stepscope.models.words import Word

    return [
        tuple(Word(**{**word, "tokens": tuple(word["tokens"])}) for word in words)
        for words in tree.attrs["words"]
    ]


def word_counts(tree: xr.DataTree) -> list[int]:
    """Number of words of each sample's prompt."""
    return [len(words) for words in tree.attrs["words"]]


def model_of(tree: xr.DataTree) -> dict[str, Any]:
    """What a trace says of the model that it was made with."""
    return tree.attrs["model"]


def is_guided(tree: xr.DataTree) -> bool:
    """Whether a trace has unconditional outputs, without which guidance is off."""
    return tree.attrs["guidance"] > 1


def replay_settings(tree: xr.DataTree) -> dict[str, Any]:
    """What a denoiser needs to replay a trace: its sampling, scheduler and guidance."""
    return {name: tree.attrs[name] for name in REPLAYED}


def read_step(tree: xr.DataTree, sample: int, number: int, mask: "Tensor | None" = None) -> "Step":
    """Step `number` (1..N) of a sample as tensors; `mask` (h, w) is the objects' share."""
    (step,) = read_steps(tree, sample, mask, [number])
    return step


def read_steps(
    tree: xr.DataTree,
    sample: int,
    mask: "Tensor | None" = None,
    numbers: Sequence[int] | None = None,
) -> "list[Step]":
    """Steps of a sample, all from the noisiest or those of some numbers; `mask` as of `read_step`.

    A sample is a chunk of its arrays, so that each is read once for all of its steps.
    """
    import torch

    from stepscope.diffusion.step import Step

    def read(path: str) -> torch.Tensor:
        return torch.from_numpy(_array(tree, path).isel(sample=sample).to_numpy())

    latents, outputs, denoised = map(read, ("latent/value", "output/value", "denoised/value"))
    conditioning = {name: read(f"conditioning/{name}") for name in tree["conditioning"]}
    attention = {
        _size(name): read(f"{name}/value") for name in tree.children if name.startswith("attn_")
    }
    history = read("solver/model_outputs") if "solver" in tree else None
    timesteps, log_snr = (_array(tree, name).to_numpy() for name in ("timestep", "log_snr"))
    words, seed = words_of(tree)[sample], int(seeds_of(tree)[sample])
    prompt_id = str(prompt_ids_of(tree)[sample])
    return [
        Step(
            number=number,
            timestep=float(timesteps[number - 1]),
            log_snr=float(log_snr[number - 1]),
            latent=latents[number - 1],
            after=latents[number],
            outputs=outputs[number - 1],
            denoised=denoised[number - 1].float(),
            conditioning=dict(conditioning),
            words=words,
            prompt=prompts_of(tree)[sample],
            negative_prompt=tree.attrs["negative_prompt"],
            prompt_id=prompt_id,
            seed=seed,
            attention={size: maps[number - 1].float() for size, maps in attention.items()},
            mask=mask,
            history=None if history is None else history[number - 1],
        )
        for number in numbers or _step_numbers(tree)
    ]


def read_pairs(
    tree: xr.DataTree,
    pairs: Sequence[tuple[int, int]],
    masks: "Mapping[int, Tensor] | None" = None,
) -> "Iterator[Step]":
    """Steps of (sample, step number) pairs in their order, `masks` by sample; read when needed."""
    for sample, of_sample in groupby(pairs, key=itemgetter(0)):
        mask = (masks or {}).get(sample)
        yield from read_steps(tree, sample, mask, [number for _, number in of_sample])


def _step_numbers(tree: xr.DataTree) -> list[int]:
    """Numbers of a trace's steps, from 1."""
    return _array(tree, "step").to_numpy().tolist()


def _size(group: str) -> tuple[int, int]:
    """Height and width in the name of a group of attention maps."""
    height, width = group.removeprefix("attn_").split("x")
    return int(height), int(width)


def chosen_steps(
    tree: xr.DataTree, steps: Sequence[int] | None, samples: int | None
) -> list[tuple[int, int]]:
    """(sample, step number) pairs of a batch: the first `samples` seed by seed, named steps only.

    None takes all. A step that the trace lacks raises ValueError.
    """
    order = seed_by_seed(tree)[:samples]
    numbers = _step_numbers(tree)
    if missing := sorted(set(steps or []) - set(numbers)):
        raise ValueError(f"steps: {missing[0]} is not among the trace's steps 1 to {numbers[-1]}.")
    return [(sample, number) for sample in sorted(order) for number in steps or numbers]


def seed_by_seed(tree: xr.DataTree) -> list[int]:
    """Samples with every prompt's first seed before every second one: n are spread over prompts."""
    seen: Counter[str] = Counter()
    ranks = []
    for sample, prompt_id in enumerate(prompt_ids_of(tree)):
        ranks.append((seen[prompt_id], sample))
        seen[prompt_id] += 1
    return [sample for _, sample in sorted(ranks)]
