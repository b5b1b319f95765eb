"""Attention to the prompt's tokens, computed beside the library's own attention.

The library's processor still computes the output; hooks on each module and on its projections see
the same queries and keys.
"""

import functools
from collections.abc import Hashable, Sequence

import torch
from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from stepscope.diffusion.probabilities import CHUNK, KEYS, Call, by_head, probabilities
from stepscope.models.families.base import Family
from stepscope.models.words import Reading


class AttentionHooks:
    """Hooks on every attention that reads the prompt; they gather one map per row and resolution.

    As a context manager it removes what it hooked.
    """

    def __init__(self, family: Family, heads: torch.dtype | None = None) -> None:
        """Find the attention modules; one that cannot be hooked raises a ValueError.

        `heads` is the number format in which each head's maps are kept too; None keeps none.
        """
        self.family = family
        self.heads = heads
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
        self.parts = ("to_q", *KEYS[family.joint])
        self.projected: dict[str, dict[str, Tensor]] = {name: {} for name in self.reading}
        # of the current step: calls still to be computed, and sums by number of queries
        self.waiting: list[Call] = []
        self.scores = 0  # of all that wait
        self.sums: dict[int, Tensor] = {}
        self.names: dict[int, dict[str, None]] = {}
        self.calls = dict.fromkeys(self.reading, 0)
        self.maps: dict[int, list[Tensor]] = {}
        self.of_layers: dict[str, list[Tensor]] = {}  # of each head
        self.counts: dict[str, int] = {}  # of heads, in forward order
        self.problem = ""
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> "AttentionHooks":
        """Hook every attention that reads the prompt, and its projections."""
        for name, module in self.reading.items():
            for part in self.parts:
                keep = functools.partial(self._keep, name, part)
                self.handles.append(getattr(module, part).register_forward_hook(keep))
            called = functools.partial(self._called, name)
            self.handles.append(module.register_forward_hook(called, with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks."""
        for handle in self.handles:
            handle.remove()
        self.projected, self.waiting = {}, []

    def begin(self, readings: Sequence[Reading]) -> None:
        """Say how the network reads each sample's prompt."""
        self.readings = readings
        # by number of keys, which is that of all layers unless joint
        self.merging: dict[int, Tensor] = {}

    def _keep(self, name: str, part: str, module: object, args: object, output: Tensor) -> None:
        self.projected[name][part] = output

    def _called(self, name: str, module: Attention, args: tuple, kwargs: dict, out: object) -> None:
        projected, self.projected[name] = self.projected[name], {}
        if kwargs.get("encoder_hidden_states") is None or len(projected) < len(self.parts):
            return  # no call of which the text's share could be seen: the audit will miss it
        mask = kwargs.get("attention_mask")
        if mask is not None and (mask.ndim != 3 or mask.shape[1] != 1):
            self.problem = f"{name}: a mask of shape {tuple(mask.shape)} cannot be traced"
            return
        self.calls[name] += 1
        self.counts[name] = module.heads
        call = Call(name, module, projected, mask)
        self.waiting.append(call)
        self.scores += call.scores
        if self.scores > CHUNK:
            self._compute()

    def _compute(self) -> None:
        """Add the calls that wait to the sums of their resolutions."""
        alike: dict[Hashable, list[Call]] = {}
        for call in self.waiting:
            alike.setdefault(call.kind, []).append(call)
        self.waiting, self.scores = [], 0
        for calls in alike.values():
            size, keys = calls[0].sizes
            if keys not in self.merging:
                merging = _merging(self.readings, keys)
                self.merging[keys] = merging.to(calls[0].projected["to_q"].device)
            found = probabilities(calls, self.merging[keys])
            for call in calls if self.heads else ():
                by_itself = by_head(call, self.merging[keys]).to(self.heads).cpu()
                self.of_layers.setdefault(call.name, []).append(by_itself)  # (B, H, J, queries)
            self.sums[size] = self.sums[size] + found if size in self.sums else found
            self.names.setdefault(size, {}).update(dict.fromkeys(call.name for call in calls))

    def step_ended(self) -> None:
        """Turn the sums of a network call into means over the layers of a resolution."""
        self._compute()
        for queries, total in self.sums.items():
            mean = (total / len(self.names[queries])).cpu()
            self.maps.setdefault(queries, []).append(mean)  # (B, J, queries)
        self.sums = {}

    def result(
        self, steps: int, size: tuple[int, int]
    ) -> tuple[dict[tuple[int, int], Tensor], dict[str, Tensor], dict]:
        """Maps {(h, w): (sample, step, row, y, x)}, {layer: (..., head, row, y, x)}, and the audit.

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
            "layers": {f"{h}x{w}": [*self.names[queries]] for queries, (h, w) in grids.items()},
            "heads": self.counts,
        }
        maps = {
            grid: self._with_gaps(self.maps[queries]).unflatten(-1, grid)
            for queries, grid in grids.items()
        }
        grid_of = {name: grids[queries] for queries, names in self.names.items() for name in names}
        heads = {
            name: self._with_gaps(self.of_layers[name]).unflatten(-1, grid_of[name])
            for name in self.counts
            if name in self.of_layers
        }
        return maps, heads, audit

    def _with_gaps(self, maps: list[Tensor]) -> Tensor:
        """Maps (sample, step, ..., row, queries) of all steps, NaN beyond a prompt's rows."""
        whole = torch.stack(maps, 1)
        for sample, reading in enumerate(self.readings):
            whole[sample, ..., len(reading.names) :, :] = torch.nan
        return whole


def _remedy(family: Family) -> str:
    """What makes an attention traceable: the library's processor, which takes no arguments."""
    fused = (kind for kind in family.processors if kind.__name__.endswith("2_0"))
    default = next(fused, family.processors[0])
    return (
        f"call pipeline.{family.attribute}.set_attn_processor({default.__name__}()), with that of "
        f"{default.__module__}"
    )


def _merging(readings: Sequence[Reading], keys: int) -> Float[Tensor, "sample row key"]:
    """Matrix that takes keys to rows: image keys, which come first, and padding are added up."""
    merging = torch.zeros(len(readings), max(len(reading.names) for reading in readings), keys)
    for sample, reading in enumerate(readings):
        image = keys - len(reading.rows)
        merging[sample, reading.rows, range(image, keys)] = 1
        merging[sample, len(reading.names) - 1, :image] = 1
    return merging
