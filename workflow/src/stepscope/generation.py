"""The generate job: check the prompts, trace them in forward batches, store the traces."""

import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from stepscope import devices, families, inversion, memory, models, tracing, words, writing

DERIVED = ("denoised", "attn")


def generate(
    path: str, *, results: str, model: dict, study: dict, prompts: list[dict], code: str
) -> None:
    """Trace every prompt x seed of ``prompts`` and write the trace store ``path``.

    ``study`` has sampling, scheduler, guidance, negative_prompt, height, width, storage and, for
    real pictures, trace: how they are traced (see ``inversion``). Forward batches have a fixed
    composition, the order of the table, because kernels need not agree bitwise between batch sizes.
    One that does not fit into memory is split; the store lists the real sizes.
    """
    family, texts = models.load_texts(model)
    for record in prompts:
        text = family.prepared(record["prompt"])
        words.check(texts, text, f"prompt_id {record['prompt_id']}")
    wanted = [(record, seed) for record in prompts for seed in record["seeds"]]
    made_from = {key: value for key, value in model.items() if key != "folder"}
    key = writing.digest(model=made_from, study=study, samples=wanted, code=code)
    loaded, batches, fitting = [], [], memory.Fitting()

    def pipeline() -> object:
        if not loaded:
            loaded.append(models.load(model))
        return loaded[0]

    def traced(batch: Sequence[tuple[dict, int]], sampling: dict) -> tuple[tracing.Trace, dict]:
        return inversion.traced(
            study.get("trace", "generate"),
            pipeline(),
            [record["prompt"] for record, _ in batch],
            [seed for _, seed in batch],
            [record.get("image") for record, _ in batch],
            sampling=sampling,
            guidance=study["guidance"],
            negative_prompt=study["negative_prompt"],
            height=study["height"],
            width=study["width"],
            scheduler=study["scheduler"],
            roles=[record["roles"] for record, _ in batch],
        )

    def one() -> None:
        longest = max(wanted, key=lambda sample: len(sample[0]["prompt"]))
        traced([longest], tracing.SHORTEST)

    def fitting_size() -> int:
        pipeline()  # what it takes is no longer free
        return memory.fitting_size(one, devices.device())

    def piece(batch: Sequence[tuple[dict, int]]) -> tuple[dict[str, np.ndarray], dict]:
        trace, told = traced(batch, study["sampling"])
        return arrays(trace, study["storage"]["derived"]), described(trace, batch) | told

    def make(index: int) -> tuple[dict[str, np.ndarray], dict]:
        found, told = joined(fitting.run(piece, batches[index]))
        return found, {
            **told,
            "model": made_from,
            "negative_prompt": study["negative_prompt"],
            "sampling": study["sampling"],
            "scheduler": study["scheduler"],
            "trace": study.get("trace", "generate"),
            "code": code,
            **provenance(pipeline()),
        }

    chosen = Path(f"{results}/.partial/{key}.size")

    def count() -> int:
        """Compose the forward batches; under the store's lock, since a size is chosen only once."""
        size = study["storage"]["forward_batch"]
        if size == "auto":
            size = remembered(chosen, fitting_size)
        batches.extend(wanted[start : start + size] for start in range(0, len(wanted), size))
        return len(batches)

    writing.write_in_parts(path, f"{results}/.partial", key, count, make)
    chosen.unlink(missing_ok=True)


def remembered(path: Path, choose: Callable[[], int]) -> int:
    """A number chosen once for a store: a resumed job keeps the composition of what is done."""
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        temporary.write_text(str(choose()))
        temporary.replace(path)
    return int(path.read_text())


def joined(
    pieces: Sequence[tuple[dict[str, np.ndarray], dict]],
) -> tuple[dict[str, np.ndarray], dict]:
    """One forward batch from the pieces that it had to be split into."""
    if len(pieces) == 1:
        return pieces[0]
    all_arrays, all_told = zip(*pieces, strict=True)
    first = all_told[0]
    lists = writing.per_sample(all_told)
    tokens = max(map(len, lists["token_text"]))
    found = dict(all_arrays[0])
    for name in found:
        if "/" in name:
            values = [some[name] for some in all_arrays]
            if name.startswith("attn"):
                values = [_padded(some, tokens) for some in values]
            found[name] = np.concatenate(values)
    return found, {**first, **lists, "split": [len(told["prompts"]) for told in all_told]}


def _padded(attention: np.ndarray, tokens: int) -> np.ndarray:
    """Attention (sample, step, word_token, y, x) with NaN for the tokens that are missing."""
    widths = [(0, 0)] * attention.ndim
    widths[2] = (0, tokens - attention.shape[2])
    return np.pad(attention, widths, constant_values=np.nan)


def arrays(trace: tracing.Trace, derived: str) -> dict[str, np.ndarray]:
    """A trace's tensors as the arrays of the store; derived ones in the dtype ``derived``."""
    tensors = {
        "latent/value": trace.latents,
        "output/value": trace.outputs,
        "denoised/value": trace.denoised,
        **{f"attn_{h}x{w}/value": value for (h, w), value in trace.attention.items()},
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


def described(trace: tracing.Trace, batch: list[tuple[dict, int]]) -> dict:
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
        "dtype": str(families.of(pipeline).network.dtype).removeprefix("torch."),
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
