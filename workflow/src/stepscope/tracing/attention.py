"""Attention to the prompt's tokens, computed beside the library's own attention.

The library's processor still computes the output; hooks on each module and on its projections see
the same queries and keys.
"""

import functools
from collections.abc import Sequence

import torch
from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from stepscope.models.families.base import Family
from stepscope.models.words import Reading

CHUNK = 2**24  # scores computed at a time, which bounds the memory of large pictures
# projections of the keys, in the order in which a processor joins them
KEYS = {False: ("to_k",), True: ("to_k", "add_k_proj")}
NORMS = {"to_q": "norm_q", "to_k": "norm_k", "add_k_proj": "norm_added_k"}


def probabilities(
    attention: Attention,
    queries: Float[Tensor, "sample query inner"],
    keys: dict[str, Float[Tensor, "sample _ inner"]],
    mask: Float[Tensor, "sample 1 key"] | None,
) -> Float[Tensor, "sample query key"]:
    """Softmax over the whole key axis in float32, averaged over heads, in query chunks.

    `keys` are by the name of their projection, `mask` is what the library adds to the scores.
    """

    def heads(name: str, tensor: Tensor) -> Tensor:  # (sample, head, query | key, channel)
        tensor = tensor.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        norm = getattr(attention, NORMS[name], None)
        return (tensor if norm is None else norm(tensor)).float()

    queries = heads("to_q", queries)
    joined = torch.cat([heads(name, tensor) for name, tensor in keys.items()], 2)
    transposed = joined.transpose(-1, -2) * attention.scale
    bias = 0.0 if mask is None else mask.float()[:, None]
    rows = max(1, CHUNK // (joined.shape[0] * joined.shape[1] * joined.shape[2]))
    return torch.cat(
        [
            torch.softmax(chunk @ transposed + bias, -1).mean(1)
            for chunk in queries.split(rows, dim=2)
        ],
        1,
    )


class AttentionHooks:
    """Hooks on every attention that reads the prompt; they gather one map per row and resolution.

    As a context manager it removes what it hooked.
    """

    def __init__(self, family: Family) -> None:
        """Find the attention modules; one that cannot be hooked raises a ValueError."""
        self.family = family
        modules = family.attention()
        self.reading = {n: m for n, m in modules.items() if family.reads_text(m)}
        self.total = len(modules)
        for name, module in self.reading.items():
            if not isinstance(module.processor, family.processors) or module.norm_cross is not None:
                raise ValueError(
                    f"{name}: attention to the prompt with {type(module.processor).__name__} "
                    f"cannot be traced; {_remedy(family)}."
                )
        if not self.reading:
            raise ValueError(
                f"{type(family.network).__name__} has no attention to a prompt to be traced."
            )
        self.projected: dict[tuple[str, str], Tensor] = {}
        self.sums: dict[int, Tensor] = {}  # of the current step, by number of queries
        self.names: dict[int, list[str]] = {}
        self.calls = dict.fromkeys(self.reading, 0)
        self.maps: dict[int, list[Tensor]] = {}
        self.problem = ""
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> "AttentionHooks":
        """Hook every attention that reads the prompt, and its projections."""
        for name, module in self.reading.items():
            for part in ("to_q", *KEYS[self.family.joint]):
                keep = functools.partial(self._keep, name, part)
                self.handles.append(getattr(module, part).register_forward_hook(keep))
            called = functools.partial(self._called, name)
            self.handles.append(module.register_forward_hook(called, with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks."""
        for handle in self.handles:
            handle.remove()
        self.projected.clear()

    def begin(self, readings: Sequence[Reading]) -> None:
        """Say how the network reads each sample's prompt."""
        self.readings = readings
        self.merging: dict[
            int, Tensor
        ] = {}  # by number of keys, which is that of all layers unless joint

    def _keep(self, name: str, part: str, module: object, args: object, output: Tensor) -> None:
        self.projected[name, part] = output.detach()

    @torch.no_grad()
    def _called(self, name: str, module: Attention, args: tuple, kwargs: dict, out: object) -> None:
        parts = ("to_q", *KEYS[self.family.joint])
        if kwargs.get("encoder_hidden_states") is None or not all(
            (name, part) in self.projected for part in parts
        ):
            return  # no call of which the text's share could be seen: the audit will miss it
        count = len(self.readings)
        mask = kwargs.get("attention_mask")
        if mask is not None and (mask.ndim != 3 or mask.shape[1] != 1):
            self.problem = f"{name}: a mask of shape {tuple(mask.shape)} cannot be traced"
            return
        # the conditional half comes last
        projected = {part: self.projected.pop((name, part))[-count:] for part in parts}
        queries = projected.pop("to_q")
        own_mask = None if mask is None else mask[-count:]
        attention = probabilities(module, queries, projected, own_mask)
        total = attention.shape[2]
        if total not in self.merging:
            self.merging[total] = _merging(self.readings, total).to(attention.device)
        attention = attention @ self.merging[total]
        size = attention.shape[1]
        self.sums[size] = self.sums[size] + attention if size in self.sums else attention
        self.calls[name] += 1
        names = self.names.setdefault(size, [])
        if name not in names:
            names.append(name)

    def step_ended(self) -> None:
        """Turn the sums of a network call into means over the layers of a resolution."""
        for queries, total in self.sums.items():
            mean = (total / len(self.names[queries])).transpose(1, 2).cpu()
            self.maps.setdefault(queries, []).append(mean)  # (B, J, queries)
        self.sums = {}

    def result(
        self, steps: int, size: tuple[int, int]
    ) -> tuple[dict[tuple[int, int], Tensor], dict]:
        """Maps {(h, w): (sample, step, row, y, x)} and the audit.

        `size` is the latent's height and width. A ValueError of one sentence when anything
        expected was not seen.
        """
        for name, calls in self.calls.items():
            if calls != steps:
                raise ValueError(f"{name}: attention ran {calls} times in {steps} steps.")
        if self.problem:
            raise ValueError(f"{self.problem}.")
        grids = {queries: self.family.grid(queries, size) for queries in self.maps}
        audit = {
            "attention_modules": self.total,
            "self_attention": self.total - len(self.reading),
            "cross_attention": len(self.reading),
            "traced": sum(map(len, self.names.values())),
            "unsupported": 0,  # one would have stopped the run before its first step
            "steps": steps,
            "calls_expected": len(self.reading) * steps,
            "calls_seen": sum(self.calls.values()),
            "layers": {f"{h}x{w}": self.names[queries] for queries, (h, w) in grids.items()},
        }
        maps = {}
        for queries, grid in grids.items():
            maps[grid] = torch.stack(self.maps[queries], 1).unflatten(-1, grid)
            for sample, reading in enumerate(self.readings):
                maps[grid][sample, :, len(reading.names) :] = torch.nan
        return maps, audit


def _remedy(family: Family) -> str:
    """What makes an attention traceable: the library's processor, which takes no arguments."""
    fused = (kind for kind in family.processors if kind.__name__.endswith("2_0"))
    default = next(fused, family.processors[0])
    return (
        f"call pipeline.{family.attribute}.set_attn_processor({default.__name__}()), with that of "
        f"{default.__module__}"
    )


def _merging(readings: Sequence[Reading], keys: int) -> Float[Tensor, "sample key row"]:
    """Matrix that takes keys to rows: image keys, which come first, and padding are added up."""
    merging = torch.zeros(len(readings), keys, max(len(reading.names) for reading in readings))
    for sample, reading in enumerate(readings):
        image = keys - len(reading.rows)
        merging[sample, range(image, keys), reading.rows] = 1
        merging[sample, :image, len(reading.names) - 1] = 1
    return merging
