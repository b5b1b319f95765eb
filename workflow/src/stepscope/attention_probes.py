"""Cross-attention probabilities, computed beside the library's own attention.

The library's processor still computes the output; hooks on each module and on its two projections
see the same queries and keys.
"""

import functools

import torch
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor,
    AttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
)
from jaxtyping import Float
from torch import Tensor

# processors that take queries and keys from to_q and to_k and attend over all keys at once
SUPPORTED = (AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor, XFormersAttnProcessor)
CHUNK = 2**24  # scores computed at a time, which bounds the memory of large pictures


def probabilities(
    attention: Attention,
    queries: Float[Tensor, "sample query inner"],
    keys: Float[Tensor, "sample key inner"],
) -> Float[Tensor, "sample query key"]:
    """Softmax over the whole key axis in float32, averaged over heads, in query chunks."""
    queries, keys = (  # (sample, head, query | key, channel)
        tensor.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for tensor in (queries, keys)
    )
    if attention.norm_q is not None:
        queries = attention.norm_q(queries)
    if attention.norm_k is not None:
        keys = attention.norm_k(keys)
    transposed = keys.float().transpose(-1, -2) * attention.scale
    rows = max(1, CHUNK // (keys.shape[0] * keys.shape[1] * keys.shape[2]))
    return torch.cat(
        [
            torch.softmax(chunk.float() @ transposed, -1).mean(1)
            for chunk in queries.split(rows, dim=2)
        ],
        1,
    )


class AttentionProbes:
    """Hooks on every cross-attention of a U-Net that gather one map per token and resolution.

    As a context manager it removes what it hooked. Cross-attention is what the module says it is,
    not what it is called: with only_cross_attention, attn1 is cross too.
    """

    def __init__(self, unet: torch.nn.Module) -> None:
        """Find the attention modules; one that cannot be probed raises a ValueError."""
        self.levels = len(unet.config.block_out_channels)
        modules = {n: m for n, m in unet.named_modules() if isinstance(m, Attention)}
        self.cross = {n: m for n, m in modules.items() if m.is_cross_attention}
        self.found = len(modules)
        for name, module in self.cross.items():
            if not isinstance(module.processor, SUPPORTED) or module.norm_cross is not None:
                raise ValueError(
                    f"{name}: cross-attention with {type(module.processor).__name__} cannot be "
                    "traced, set the library's AttnProcessor2_0."
                )
        if not self.cross:
            raise ValueError(f"{type(unet).__name__} has no cross-attention that could be traced.")
        self.projected: dict[tuple[str, str], Tensor] = {}
        self.sums: dict[int, Tensor] = {}  # of the current step, by number of queries
        self.names: dict[int, list[str]] = {}
        self.calls = dict.fromkeys(self.cross, 0)
        self.maps: dict[int, list[Tensor]] = {}
        self.problem = ""
        self.hooks = []

    def __enter__(self) -> "AttentionProbes":
        """Hook every cross-attention and its projections."""
        for name, module in self.cross.items():
            for part in ("to_q", "to_k"):
                keep = functools.partial(self._keep, name, part)
                self.hooks.append(getattr(module, part).register_forward_hook(keep))
            called = functools.partial(self._called, name)
            self.hooks.append(module.register_forward_hook(called, with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks."""
        for hook in self.hooks:
            hook.remove()
        self.projected.clear()

    def begin(self, ends: list[int]) -> None:
        """Say where each sample's padding begins: after start, its tokens and the end token."""
        self.ends = ends
        self.merging = None

    def _keep(self, name: str, part: str, module: object, args: object, output: Tensor) -> None:
        self.projected[name, part] = output.detach()

    @torch.no_grad()
    def _called(self, name: str, module: Attention, args: tuple, kwargs: dict, out: object) -> None:
        parts = {(name, "to_q"), (name, "to_k")}
        if kwargs.get("encoder_hidden_states") is None or not parts <= self.projected.keys():
            return  # no call of which the text's share could be seen: the audit will miss it
        if kwargs.get("attention_mask") is not None:
            self.problem = f"{name}: cross-attention with a mask cannot be traced"
        count = len(self.ends)
        queries, keys = (
            self.projected.pop((name, part))[-count:]  # the conditional half comes last
            for part in ("to_q", "to_k")
        )
        if self.merging is None:
            self.merging = _merging(self.ends, keys.shape[1]).to(keys.device)
        found = probabilities(module, queries, keys) @ self.merging
        size = found.shape[1]
        self.sums[size] = self.sums[size] + found if size in self.sums else found
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

    def _grid(self, queries: int, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of a token grid; each level halves the latent and rounds up."""
        h, w = size
        for _ in range(self.levels):
            if h * w == queries:
                return h, w
            h, w = -(-h // 2), -(-w // 2)
        raise ValueError(f"{queries} queries are no level of a latent of {size[0]} x {size[1]}.")

    def result(
        self, steps: int, size: tuple[int, int]
    ) -> tuple[dict[tuple[int, int], Tensor], dict]:
        """Maps {(h, w): (sample, step, row, y, x)} and the audit.

        ``size`` is the latent's height and width. A ValueError of one sentence when anything
        expected was not seen.
        """
        for name, calls in self.calls.items():
            if calls != steps:
                raise ValueError(f"{name}: cross-attention ran {calls} times in {steps} steps.")
        if self.problem:
            raise ValueError(f"{self.problem}.")
        grids = {queries: self._grid(queries, size) for queries in self.maps}
        audit = {
            "attention_modules": self.found,
            "self_attention": self.found - len(self.cross),
            "cross_attention": len(self.cross),
            "traced": sum(map(len, self.names.values())),
            "unsupported": 0,  # one would have stopped the run before its first step
            "steps": steps,
            "calls_expected": len(self.cross) * steps,
            "calls_seen": sum(self.calls.values()),
            "layers": {f"{h}x{w}": self.names[queries] for queries, (h, w) in grids.items()},
        }
        maps = {}
        for queries, grid in grids.items():
            maps[grid] = torch.stack(self.maps[queries], 1).unflatten(-1, grid)
            for sample, end in enumerate(self.ends):
                maps[grid][sample, :, end + 1 :] = torch.nan
        return maps, audit


def _merging(ends: list[int], keys: int) -> Float[Tensor, "sample key row"]:
    """Matrix that keeps start, tokens and end of each sample and adds up its padding."""
    merging = torch.zeros(len(ends), keys, max(ends) + 1)
    for sample, end in enumerate(ends):
        merging[sample, range(end), range(end)] = 1
        merging[sample, end:, end] = 1
    return merging
