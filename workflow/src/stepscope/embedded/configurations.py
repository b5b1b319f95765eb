"""A scene as a row of numbers: which of its values each part of the scene has.

Parts are the concepts, and the places of sprites, mark and seal, whose jitter no caption names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepscope.embedded import details, scenes

SECOND = "second object"
MOST = max(scenes.JITTERS.values())
SMALL_PLACES = ("mark row", "mark column", "seal row", "seal column")


@dataclass(frozen=True)
class Space:
    """All scenes with a number of objects, which is given: a caption always says it."""

    objects: int

    @property
    def families(self) -> tuple[str, ...]:
        """Families of which such a scene shows one concept: of two objects, neither is read."""
        kind = ("object", "size") if self.objects == 1 else ("relation",)
        return (*kind, "colour", "texture", *scenes.DETAILS)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts, in the order of a row."""
        pair = ("object", SECOND) if self.objects == 2 else ()
        places = [
            f"{number} {axis}" for number in range(self.objects) for axis in ("row", "column")
        ]
        return (*self.families, *pair, *places, *SMALL_PLACES)

    @property
    def sizes(self) -> np.ndarray:
        """Number of values of each part, int (parts,)."""
        return np.array([len(self.values(part)) for part in self.parts])

    def values(self, part: str) -> Sequence[str | int]:
        """Values of a part: concepts of a family, or pixels from the usual place."""
        if part == SECOND:
            return scenes.OBJECTS
        if part in scenes.FAMILIES:
            return scenes.FAMILIES[part]
        most = details.JITTER if part in SMALL_PLACES else self._farthest
        return range(-most, most + 1)

    @property
    def _farthest(self) -> int:
        return MOST if self.objects == 1 else scenes.JITTERS[None]

    def log_prior(self, rows: np.ndarray) -> np.ndarray:
        """Log-probability of configurations (n, parts) up to a constant, float64 (n,)."""
        if self.objects == 2:
            same = rows[:, self.parts.index("object")] == rows[:, self.parts.index(SECOND)]
            return np.where(same, -np.inf, 0.0)
        size = rows[:, self.parts.index("size")]
        jitter = np.array([scenes.JITTERS[name] for name in scenes.FAMILIES["size"]])[size]
        places = rows[:, [self.parts.index(part) for part in ("0 row", "0 column")]] - MOST
        inside = (abs(places) <= jitter[:, None]).all(1)
        return np.where(inside, -2 * np.log(2.0 * jitter + 1), -np.inf)

    def row(self, spec: scenes.Spec, rng: np.random.Generator) -> np.ndarray:
        """The configuration of a specification, at places drawn from `rng`, int (parts,)."""
        jitter = scenes.JITTERS[spec.size]
        chosen: dict[str, str | int] = {
            family: getattr(spec, family, "") for family in self.families
        }
        chosen |= dict(zip(("object", SECOND), spec.objects, strict=False))
        for part in self.parts:
            if part not in chosen:
                most = details.JITTER if part in SMALL_PLACES else jitter
                chosen[part] = int(rng.integers(-most, most + 1))
        return np.array([list(self.values(part)).index(chosen[part]) for part in self.parts])

    def picture(self, row: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """The composed scene, uint8 (64, 64, 3): with grain and tinge drawn from `rng`, if any."""
        chosen = {
            part: self.values(part)[number] for part, number in zip(self.parts, row, strict=True)
        }
        shown = {name: chosen.get(name) for name in ("size", "relation", "colour", "texture")}
        shown |= {name: chosen[name] for name in scenes.DETAILS}
        objects = [chosen[part] for part in ("object", SECOND) if part in chosen]
        spec = scenes.Spec(tuple(objects), **shown)  # type: ignore[arg-type]
        places = [
            chosen[part] for part in self.parts if part not in scenes.FAMILIES and part != SECOND
        ]
        moved = np.array(places, int).reshape(-1, 2)  # of the sprites, then of mark and seal
        tinge = rng.normal(0, scenes.TINGE, 3) if rng else 0.0
        picture, _, _ = scenes.paint(spec, moved[:-2], tinge)
        if rng:
            picture = picture + details.grain(rng, details.WORLD.grain)
        picture, _ = details.paint(picture, spec, moved[-2:])
        return (picture.clip(0, 1) * 255).round().astype(np.uint8)

    def pictures(self, rows: np.ndarray) -> np.ndarray:
        """The composed scenes without grain and tinge, uint8 (n, 64, 64, 3)."""
        return np.stack([self.picture(row) for row in rows])
