"""Layers that a study names, by themselves or by the group that they are in."""

from collections.abc import Iterable, Sequence


def chosen(names: Iterable[str], layers: Sequence[str] | None) -> list[str]:
    """The names that `layers` stand for, in their own order; None takes all.

    A layer is named in full or by a beginning of whole parts ("up_blocks.1"); "down", "mid" and
    "up" are the blocks of a U-Net. What stands for none is a ValueError.
    """
    names = list(names)
    if layers is None:
        return names
    for layer in layers:
        if not any(stands_for(layer, name) for name in names):
            raise ValueError(f"layers: {layer!r} is none of {', '.join(names)}.")
    return [name for name in names if any(stands_for(layer, name) for layer in layers)]


def stands_for(layer: str, name: str) -> bool:
    """Whether a layer of a study, or a group, stands for a name."""
    return name == layer or name.startswith((f"{layer}.", f"{layer}_block"))
