"""The generate job: check the prompts, trace them in forward batches, store the traces."""

import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline

from stepscope.models import devices, memory, pipelines, words
from stepscope.models.families import registry
from stepscope.plugins import resolve
from stepscope.store import parts
from stepscope.store.trace_layout import per_sample
from stepscope.tracing.call import SHORTEST, heads_format, trace_prompts
from stepscope.tracing.trace import Trace, heads_by_grid

Samples = Sequence[tuple[dict, int]]  # (prompt record, seed) pairs
DERIVED = ("denoised", "attn", "heads")


def generate(
    path: str,
    *,
    partial: str,
    model: dict,
    study: dict,
    prompts: list[dict],
    code: str,
    dataset: dict | None = None,
) -> None:
    """Trace every prompt x seed of `prompts` and write the trace store `path`.

    `partial` is a folder of this store alone; finished forward batches are kept there.

    `study` has sampling, scheduler, guidance, negative_prompt, height, width, storage and, for
    real pictures, trace: how they are traced (see `real_pictures`). `dataset` is the entry that the
    prompts come from, for errors alone. Forward batches have a fixed composition, the order of the
    table, because kernels need not agree bitwise between batch sizes. One that does not fit into
    memory is split; the store lists the real sizes.
    """
    check_prompts(model, study["negative_prompt"], prompts, dataset)
    job = Generation(model, study, prompts, code)
    names = job.compose(Path(partial))
    parts.write_in_parts(path, partial, job.key, names, job.make)


def check_prompts(
    model: dict, negative_prompt: str, prompts: list[dict], dataset: dict | None
) -> None:
    """Refuse prompts that the model's text encoders would cut, before its weights load.

    The ValueError names the file and row of the `dataset`, or the key negative_prompt.
    """
    family, texts = pipelines.load_texts(model)
    words.check_length(texts, family.prepared(negative_prompt), "negative_prompt")
    for record in prompts:
        name = record["prompt_id"]
        try:
            words.check(texts, family.prepared(record["prompt"]), f"prompt_id {name}")
        except ValueError as error:
            if dataset is None:
                raise
            # by name: what reads datasets must not regenerate what was made from their prompts
            place = resolve("stepscope.study.datasets.published:place")
            raise ValueError(f"{place(dataset, name)}: {error}") from None


class Generation:
    """The forward batches of one trace store; the pipeline loads when the first is made."""

    def __init__(self, model: dict, study: dict, prompts: list[dict], code: str) -> None:
        """`key` is the digest of all that the store is made from."""
        self.model, self.study, self.code = model, study, code
        self.samples = [(record, seed) for record in prompts for seed in record["seeds"]]
        self.made_from = {key: value for key, value in model.items() if key != "folder"}
        self.key = parts.store_key(
            model=self.made_from, study=study, samples=self.samples, code=code
        )
        self.batches: list[Samples] = []
        self.fitting = memory.Fitting()

    @cached_property
    def pipeline(self) -> DiffusionPipeline:
        """The model, loaded at the first use."""
        return pipelines.load(self.model)

    def compose(self, kept: Path) -> list[str]:
        """Divide the samples into forward batches, named by their first sample and their size.

        A size that memory decides is chosen only once, and remembered in the folder `kept`.
        """
        size = self.study["storage"]["forward_batch"]
        if size == "auto":
            size = remembered(kept / f"{self.key}.size", self.fitting_size)
        starts = range(0, len(self.samples), size)
        self.batches = [self.samples[start : start + size] for start in starts]
        return [f"{start}+{len(batch)}" for start, batch in zip(starts, self.batches, strict=True)]

    def fitting_size(self) -> int:
        """How many samples fit into memory together, from the peak of the longest prompt."""
        longest = max(self.samples, key=lambda sample: len(sample[0]["prompt"]))
        traced = partial(self.traced, [longest], SHORTEST)
        # the pipeline is loaded before it is asked what is free
        return memory.fitting_size(traced, self.pipeline._execution_device)

    def make(self, index: int) -> tuple[dict[str, np.ndarray], dict]:
        """Arrays and attributes of a forward batch, in one call or in the pieces that fit."""
        arrays, attrs = joined(self.fitting.run(self.piece, self.batches[index]))
        return arrays, {
            **attrs,
            "model": self.made_from,
            "negative_prompt": self.study["negative_prompt"],
            "sampling": self.study["sampling"],
            "scheduler": self.study["scheduler"],
            "trace": self.study.get("trace", "generate"),
            "code": self.code,
            **provenance(self.pipeline),
        }

    def piece(self, batch: Samples) -> tuple[dict[str, np.ndarray], dict]:
        """Arrays and attributes of samples that fit into memory together."""
        trace, attrs = self.traced(batch, self.study["sampling"])
        arrays = stored_arrays(trace, self.study["storage"]["derived"])
        return arrays, sample_attributes(trace, batch) | attrs

    def traced(self, batch: Samples, sampling: dict) -> tuple[Trace, dict]:
        """Trace of some samples, and what else the store says of them."""
        names = ("guidance", "negative_prompt", "height", "width", "scheduler")
        prompts, seeds = [record["prompt"] for record, _ in batch], [seed for _, seed in batch]
        settings = {name: self.study[name] for name in names} | {
            "sampling": sampling,
            "roles": [record["roles"] for record, _ in batch],
            "heads": heads_format(self.study["storage"]),
        }
        kind = self.study.get("trace", "generate")
        if kind == "generate":
            return trace_prompts(self.pipeline, prompts, seeds, **settings), {}
        # by name: what only pictures need must not regenerate what is made from prompts
        trace_pictures = resolve("stepscope.tracing.real_pictures:trace_pictures")
        images = [record["image"] for record, _ in batch]
        return trace_pictures(kind, self.pipeline, prompts, seeds, images, **settings)


def remembered(path: Path, choose: Callable[[], int]) -> int:
    """A number chosen once for a store: a resumed job keeps the composition of what is done."""
    kept = path.read_text() if path.exists() else ""
    if not kept.isdecimal():
        kept = str(choose())
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(kept)
        temporary.replace(path)
    return int(kept)


def joined(
    pieces: Sequence[tuple[dict[str, np.ndarray], dict]],
) -> tuple[dict[str, np.ndarray], dict]:
    """One forward batch from the pieces that it had to be split into."""
    if len(pieces) == 1:
        return pieces[0]
    all_arrays, all_attrs = zip(*pieces, strict=True)
    first = all_attrs[0]
    lists = per_sample(all_attrs)
    tokens = max(map(len, lists["token_text"]))
    whole = dict(all_arrays[0])
    for name in whole:
        if "/" in name:
            values = [arrays[name] for arrays in all_arrays]
            if name.startswith(("attn", "heads")):
                values = [_padded(attention, tokens) for attention in values]
            whole[name] = np.concatenate(values)
    return whole, {**first, **lists, "split": [len(attrs["prompts"]) for attrs in all_attrs]}


def _padded(attention: np.ndarray, tokens: int) -> np.ndarray:
    """Attention (..., word_token, y, x) with NaN for the tokens that are missing."""
    widths = [(0, 0)] * attention.ndim
    widths[-3] = (0, tokens - attention.shape[-3])
    return np.pad(attention, widths, constant_values=np.nan)


def stored_arrays(trace: Trace, derived: str) -> dict[str, np.ndarray]:
    """A trace's tensors as the arrays of the store; derived ones in the dtype `derived`."""
    tensors = {
        "latent/value": trace.latents,
        "output/value": trace.outputs,
        "denoised/value": trace.denoised,
        **{f"attn_{h}x{w}/value": value for (h, w), value in trace.attention.items()},
        **{f"heads_{grid}/value": value for grid, value in heads_by_grid(trace).items()},
        **{f"conditioning/{name}": value for name, value in trace.conditioning.items()},
        **{f"solver/{name}": value for name, value in trace.solver.items()},
    }
    plain = {name: _numpy(tensor) for name, tensor in tensors.items()}
    for name in plain:
        if name.startswith(DERIVED):
            plain[name] = plain[name].astype(derived)
    return plain | {
        "timesteps": _numpy(trace.timesteps),
        "sigmas": _numpy(trace.sigmas),
        "log_snr": _numpy(trace.log_snr),
    }


def _numpy(values: torch.Tensor | np.ndarray) -> np.ndarray:
    """Copy a tensor to the host; bfloat16, which zarr lacks, becomes float32."""
    if isinstance(values, np.ndarray):
        return values
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def sample_attributes(trace: Trace, batch: Samples) -> dict:
    """What else a store says about the samples of a forward batch, as plain JSON types."""
    return {
        "prompts": [record["prompt"] for record, _ in batch],
        "prompt_ids": [record["prompt_id"] for record, _ in batch],
        "seeds": [seed for _, seed in batch],
        "words": [[vars(word) for word in row] for row in trace.words],
        "token_text": trace.token_text,
        "guidance": trace.guidance,
        "guidance_rescale": trace.guidance_rescale,
        "prediction_type": trace.prediction_type,
        "audit": trace.audit,
    }


def provenance(pipeline: object) -> dict:
    """Where and with what a forward batch was computed."""
    used = devices.device()
    return {
        "dtype": str(registry.family_of(pipeline).network.dtype).removeprefix("torch."),
        "device": torch.cuda.get_device_name(used) if used.type == "cuda" else used.type,
        "gpu_bytes": torch.cuda.max_memory_allocated(used) if used.type == "cuda" else 0,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "attention": "scaled_dot_product_attention",
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("torch", "diffusers", "transformers", "zarr", "numpy")
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
