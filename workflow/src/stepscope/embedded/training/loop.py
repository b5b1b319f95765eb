"""One training loop for all four models: seeded by step, resumed exactly, with a loss curve."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from stepscope import allocator
from stepscope.embedded import scenes

LOG_EVERY = 20  # steps averaged into one row of the loss curve


class Ema:
    """Exponential average of a module's floating-point state, as float32 tensors by name."""

    def __init__(self, module: nn.Module, decay: float):
        self.module, self.decay, self.updates = module, decay, 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the module; early steps weigh more."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def one_cycle(progress: float, warmup: float = 0.05) -> float:
    """Factor of the learning rate: linear warm-up, then cosine to zero at `progress` = 1."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The generator of one step's batch: a resumed run draws what an uninterrupted one does."""
    return np.random.default_rng([seed, step])


def scene_pool(count: int, seed: int, split: str = "train") -> list[scenes.Scene]:
    """`count` scenes of a split; the seeds of different `seed` do not overlap."""
    start = seed * 10_000_000
    return [
        scenes.compose(start + i, split)
        for i in tqdm(range(count), desc=f"compose {split} scenes", mininterval=2)
    ]


def fit(
    state: Path,
    name: str,
    module: nn.Module,
    loss: Callable[[int], dict[str, Tensor]],
    optimizers: Sequence[torch.optim.Optimizer],
    *,
    steps: int,
    seed: int,
    checkpoint_minutes: float,
    ema_decay: float,
) -> dict[str, float]:
    """Train `module` in place for `steps` steps, then load its averaged weights into it.

    `loss(step)` returns its terms by name; the first is minimised. Global random numbers are
    seeded from seed and step before each call. The state is saved as `state/name.pt` every few
    minutes; a later call with the same arguments continues from it to the same bits. The loss
    curve is `state/name.tsv`. Returns steps, seconds and parameters for the model card.
    """
    allocator.keep_pages()
    state.mkdir(parents=True, exist_ok=True)
    path, ema = state / f"{name}.pt", Ema(module, ema_decay)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    start, spent = 0, 0.0
    rows: list[dict[str, float]] = []
    if path.exists():
        saved = torch.load(path, weights_only=True)
        module.load_state_dict(saved["module"])
        for optimizer, values in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        ema.state, ema.updates = saved["ema"], saved["ema_updates"]
        start, spent, rows = saved["step"], saved["seconds"], saved["rows"]

    def save(step: int) -> None:
        values = {
            "module": module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "ema": ema.state,
            "ema_updates": ema.updates,
            "step": step,
            "seconds": spent + time.monotonic() - began,
            "rows": rows,
        }
        part = path.with_suffix(".part")
        with part.open("wb") as file:  # of a path torch does not say that the disk is full
            torch.save(values, file)
        os.replace(part, path)
        write_curve(state / f"{name}.tsv", rows)

    began = saved_at = time.monotonic()
    recent: list[dict[str, float]] = []
    module.train()
    with tqdm(total=steps, initial=start, desc=f"train {name}", mininterval=5) as bar:
        for step in range(start, steps):
            factor = one_cycle((step + 1) / steps)
            for optimizer, base in zip(optimizers, rates, strict=True):
                for group, rate in zip(optimizer.param_groups, base, strict=True):
                    group["lr"] = rate * factor
            torch.manual_seed(seed * 1_000_003 + step)
            terms = loss(step)
            next(iter(terms.values())).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            ema.update()
            recent.append({term: float(value.detach()) for term, value in terms.items()})
            bar.update()
            if (step + 1) % LOG_EVERY == 0 or step + 1 == steps:
                means = {term: float(np.mean([row[term] for row in recent])) for term in terms}
                rows.append({"step": step + 1, "rate": factor, **means})
                bar.set_postfix({term: f"{mean:.4f}" for term, mean in means.items()})
                recent = []
                # only here, so that a resumed run averages the same steps into a row
                if time.monotonic() - saved_at > 60 * checkpoint_minutes and step + 1 < steps:
                    save(step + 1)
                    saved_at = time.monotonic()
    seconds = spent + time.monotonic() - began
    if start < steps:
        save(steps)
    module.load_state_dict(ema.state)
    module.eval()
    parameters = sum(p.numel() for p in module.parameters())
    return {"steps": steps, "seconds": round(seconds, 1), "parameters": parameters}


def write_curve(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """The loss curve as a TSV with one row per `LOG_EVERY` steps."""
    lines = ["\t".join(row) for row in rows[:1]]
    lines += ["\t".join(f"{value:.6g}" for value in row.values()) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_card(
    folder: Path,
    title: str,
    summary: str,
    sections: dict[str, dict[str, Any]],
    curves: Sequence[Path] = (),
) -> None:
    """Model card: `README.md` for people, `card.json` with the same numbers, the loss curves."""
    for curve in curves:
        shutil.copy(curve, folder / f"loss_{curve.name}")
    (folder / "card.json").write_text(json.dumps(sections, indent=2) + "\n", encoding="utf-8")
    lines = ["---", "license: cc-by-sa-4.0", "---", f"# {title}", "", summary, ""]
    for heading, values in sections.items():
        lines += [f"## {heading}", "", "| | |", "|---|---|"]
        lines += [f"| {key} | {_shown(value)} |" for key, value in values.items()]
        lines.append("")
    lines += ["Artwork: OpenMoji (openmoji.org), CC BY-SA 4.0.", "Author: Stepscope developers."]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
