"""Scenes of a dataset, drawn before they are painted: what each shows, and how its caption says it.

A Snakefile imports this module, so nothing here may import the science stack.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepscope.embedded import captions
from stepscope.embedded.spec import Spec
from stepscope.embedded.vocabulary import DETAILS, FAMILIES, OBJECTS, held_out


@dataclass(frozen=True)
class Drawn:
    """A scene of a dataset before it is painted; `roles` are the caption's words by role."""

    seed: int
    number: int
    spec: Spec
    caption: str
    roles: dict[str, str]

    @property
    def prompt_id(self) -> str:
        """What tables and files call it."""
        return f"scene-{self.seed}-{self.number}"


def drawn(count: int, seed: int) -> Iterator[Drawn]:
    """`count` scenes of combinations that training never shows, captioned as those of training.

    A scene depends on `seed` and its number, from 1, alone: fewer are the beginning of more.
    """
    for number in range(1, count + 1):
        rng = random.Random(f"scene/{seed}/{number}")
        spec = _spec(rng)
        while not held_out(spec):
            spec = _spec(rng)
        named = frozenset(name for name, share in captions.OPTIONAL.items() if rng.random() < share)
        caption = captions.caption(spec, _one_of(rng, captions.ORDERS), named)
        yield Drawn(seed, number, spec, caption, captions.roles(spec, named))


def _one_of(rng: random.Random, names: Sequence[str]) -> str:
    """One of the names; by `random`, which is the same in every version of Python."""
    return names[int(rng.random() * len(names))]


def _spec(rng: random.Random) -> Spec:
    """A specification drawn from all that there are, one object or two, held out or not."""
    shown = {family: _one_of(rng, FAMILIES[family]) for family in ("colour", "texture", *DETAILS)}
    subject = _one_of(rng, OBJECTS)
    if rng.random() < 0.5:
        other = _one_of(rng, [name for name in OBJECTS if name != subject])
        return Spec((subject, other), relation=_one_of(rng, FAMILIES["relation"]), **shown)
    return Spec((subject,), size=_one_of(rng, FAMILIES["size"]), **shown)
