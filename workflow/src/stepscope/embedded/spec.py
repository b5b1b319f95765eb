"""What a scene shows, before it is drawn or described."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """What a scene shows: one object with a size, or two with a relation, and the details."""

    objects: tuple[str, ...]
    colour: str
    texture: str
    size: str | None = None
    relation: str | None = None
    frame: str = "white"
    tint: str = "golden"
    mark: str = "ring"
    seal: str = "bar"
