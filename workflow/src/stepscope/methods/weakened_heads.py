"""A step in which some attention heads are weakened: they read the prompt as if it lacked words.

A weakened head is not scaled to 0, nor to a mean: its keys and values are those of another text,
its queries stay. Scaled to 0 it would also lose what it adds whatever it reads, and later layers
would get what they never met; with a word's attention set to 0 all other tokens would get more of
it. A head that reads another text does what it does for such a prompt, and both ends are known:
with no head weakened the step is itself, with all of them it is that of the other prompt.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from stepscope.diffusion.denoiser import Denoiser
from stepscope.diffusion.step import Step
from stepscope.methods import removals
from stepscope.methods.attention_heads import reading_layers
from stepscope.methods.method import HEAD
from stepscope.models.families.base import Family

# Projections of a text's keys and values; in joint attention the text has its own.
PARTS = {False: ("to_k", "to_v"), True: ("add_k_proj", "add_v_proj")}
MASK = "attention_mask"
# Of a layer's name, a part or the mask, and what the layer has there; None leaves it as it is.
Change: TypeAlias = Callable[[str, str, Tensor], Tensor | None]


def head_names(family: Family) -> list[str]:
    """Names of all attention heads that read the prompt, layer after layer."""
    layers = reading_layers(family)
    return [f"{name}{HEAD}{i}" for name, layer in layers.items() for i in range(layer.heads)]


class Weakening:
    """A step's conditional output with its prompt, with another text, and with each for some heads.

    `own` and `other` (C, h, w) float32 are the raw outputs of the first two. What the network takes
    of a prompt beside its keys, such as pooled text, stays the step's own in all of them.
    """

    def __init__(self, denoiser: Denoiser, step: Step, other: Mapping[str, Tensor]) -> None:
        """`other` is conditioning (2, ...) as the step's, of the text that weakened heads read."""
        self.denoiser, self.step = denoiser, step
        self.layers = reading_layers(denoiser.family)
        self.heads = sum(layer.heads for layer in self.layers.values())
        self.theirs: dict[tuple[str, str], Tensor] = {}

        def keep(layer: str, part: str, values: Tensor) -> None:
            self.theirs[layer, part] = values[-1:]

        by_key = {name: other[name] for name in denoiser.family.by_key if name in other}
        given = [step.conditioning, {**step.conditioning, **by_key}]
        with reading(denoiser.family, self.layers, keep):
            self.own, self.other = removals.outputs_of(denoiser, [step, step], given)

    def outputs(self, weakened: Tensor) -> Tensor:
        """Outputs (row, C, h, w) float32; `weakened` (row, head) bool says which heads, by row."""
        counts = [layer.heads for layer in self.layers.values()]
        of_layers = dict(zip(self.layers, weakened.split(counts, 1), strict=True))
        done = 0  # rows of calls that have ended: what does not fit into memory is called again

        def swapped(layer: str, part: str, values: Tensor) -> Tensor:
            theirs = self.theirs[layer, part]
            weak = of_layers[layer][done : done + len(values)].to(values.device)
            if part == MASK:  # one row for all heads becomes one a head
                every = values.repeat_interleave(weak.shape[1], 0)
                return torch.where(weak.flatten()[:, None, None], theirs, every)
            width = values.shape[-1] // weak.shape[1]
            return torch.where(weak.repeat_interleave(width, 1)[:, None], theirs, values)

        def called(_module: object, _inputs: object, output: tuple[Tensor]) -> None:
            nonlocal done
            done += len(output[0])

        hook = self.denoiser.network.register_forward_hook(called)
        rows = len(weakened)
        try:
            with reading(self.denoiser.family, self.layers, swapped):
                given = [self.step.conditioning] * rows
                return removals.outputs_of(self.denoiser, [self.step] * rows, given)
        finally:
            hook.remove()

    def lost(self, outputs: Tensor) -> Tensor:
        """What outputs (row, C, h, w) lack of the whole effect own - other, float64 (row, 2).

        The share of the effect that is gone, by projection on it, and the squared change over the
        effect's. Of `own` both are 0, of `other` 1; all are 0 where there is no effect.
        """
        change = (self.own - outputs).double().flatten(1)
        effect = (self.own - self.other).double().flatten()
        size = effect @ effect
        both = torch.stack([change @ effect, (change**2).sum(1)], 1)
        return both / size.where(size > 0, torch.inf)


@contextmanager
def reading(family: Family, layers: Mapping[str, Attention], change: Change) -> Iterator[None]:
    """Let `change` see what layers read of a text: keys, values, and a mask where there is one.

    Of a call's rows keys and values (row, key, channel) are before they are split into heads, the
    mask (row, 1, key) is added to the scores. What `change` returns is used in their place.
    """

    def projected(layer: str, part: str) -> Callable[..., Tensor | None]:
        return lambda _module, _inputs, output: change(layer, part, output)

    def masked(layer: str) -> Callable[..., tuple | None]:
        def hook(_module: object, inputs: tuple, named: dict) -> tuple | None:
            mask = named.get(MASK)
            changed = None if mask is None else change(layer, MASK, mask)
            return None if changed is None else (inputs, named | {MASK: changed})

        return hook

    with ExitStack() as stack:
        for name, layer in layers.items():
            for part in PARTS[family.joint]:
                hook = getattr(layer, part).register_forward_hook(projected(name, part))
                stack.callback(hook.remove)
            hook = layer.register_forward_pre_hook(masked(name), with_kwargs=True)
            stack.callback(hook.remove)
        yield
