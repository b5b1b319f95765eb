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
    """Family of a pipeline, by its class or a class that it derives from.

    A pipeline whose network is compiled is a ValueError: what reads layers would not be called.
    """
    names = [kind.__name__ for kind in type(pipeline).__mro__]
    known = next((name for name in names if name in _own or name in FAMILIES), names[0])
    family = named(known)(pipeline)
    check_eager(family)
    return family


def check_eager(family: Family) -> None:
    """Refuse a network that was compiled, or whose parts were, with a way out."""
    attribute = f"pipeline.{family.attribute}"
    if hasattr(family.network, "_orig_mod"):
        raise ValueError(
            f"{attribute} is compiled, and hooks do not see the layers in it; set {attribute} = "
            f"{attribute}._orig_mod, and compile it again later."
        )
    for name, module in family.network.named_modules():
        if module._compiled_call_impl is not None:
            raise ValueError(
                f"{'.'.join(filter(None, [attribute, name]))} is compiled, and hooks do not see "
                "the layers in it; load the pipeline again and do not compile it."
            )


def add(reference: str) -> None:
    """Add a family of one's own, "package.module:Class"; it goes before a shipped one."""
    family = resolve(reference)
    _own.update(dict.fromkeys(family.pipelines, family))
