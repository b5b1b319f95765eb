"""The family of a pipeline, shipped or of one's own; base.py says what a family is."""

from diffusers import DiffusionPipeline

from stepscope.models.families.base import Family
from stepscope.models.families.names import FAMILIES, uncovered
from stepscope.plugins import resolve

_own: dict[str, type[Family]] = {}  # by the name of the pipeline class; asked before the shipped


def named(pipeline: str | None, where: str = "") -> type[Family]:
    """Family of a pipeline class by its name; a ValueError with `where` says which there are."""
    if pipeline in _own:
        return _own[pipeline]
    if pipeline in FAMILIES:
        return resolve(FAMILIES[pipeline])
    raise ValueError(f"{where}{uncovered(pipeline, [*_own, *FAMILIES])}")


def family_of(pipeline: DiffusionPipeline) -> Family:
    """Family of a pipeline, by its class or a class that it derives from."""
    for kind in type(pipeline).__mro__:
        if kind.__name__ in _own or kind.__name__ in FAMILIES:
            return named(kind.__name__)(pipeline)
    return named(type(pipeline).__name__)(pipeline)


def add(reference: str) -> None:
    """Add a family of one's own, "package.module:Class"; it goes before a shipped one."""
    family = resolve(reference)
    _own.update(dict.fromkeys(family.pipelines, family))
