"""The generate job: check the prompts, trace them in forward batches, store the traces."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import torch

from stepscope import families, models, tracing, words, writing
from stepscope.datasets import samples

DERIVED = ("denoised", "attn")


def generate(
    path: str, *, results: str, model: dict, study: dict, prompts: list[dict], code: str
) -> None:
    """Trace every prompt x seed of ``prompts`` and write the trace store ``path``.

    ``study`` has sampling, scheduler, guidance, negative_prompt, height, width and storage. Forward
    batches have a fixed composition, the order of the table, because kernels need not agree bitwise
    between batch sizes.
    """
    family, texts = models.load_texts(model)
    for record in prompts:
        text = family.prepared(record["prompt"])
        words.check(texts, text, f"prompt_id {record['prompt_id']}")
    wanted = samples(prompts)
    size = study["storage"]["forward_batch"]
    batches = [wanted[start : start + size] for start in range(0, len(wanted), size)]
    made_from = {key: value for key, value in model.items() if key != "folder"}
    key = writing.digest(model=made_from, study=study, samples=wanted, code=code)
    loaded = []

    def make(index: int) -> tuple[dict[str, np.ndarray], dict]:
        if not loaded:
            loaded.append(models.load(model))
        (pipeline,) = loaded
        _, trace = tracing.generate(
            pipeline,
            [record["prompt"] for record, _ in batches[index]],
            [seed for _, seed in batches[index]],
            sampling=study["sampling"],
            guidance=study["guidance"],
            negative_prompt=study["negative_prompt"],
            height=study["height"],
            width=study["width"],
            scheduler=study["scheduler"],
            roles=[record["roles"] for record, _ in batches[index]],
        )
        return arrays(trace, study["storage"]["derived"]), {
            **described(trace, batches[index]),
            "model": made_from,
            "negative_prompt": study["negative_prompt"],
            "sampling": study["sampling"],
            "scheduler": study["scheduler"],
            "code": code,
            **provenance(pipeline),
        }

    writing.write_in_parts(path, f"{results}/.partial", key, len(batches), make)


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
    used = models.device()
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
