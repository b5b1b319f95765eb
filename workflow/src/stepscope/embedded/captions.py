"""Captions of scenes: word orders, what they name and leave open, and the roles of the words."""

from collections.abc import Set

from stepscope.embedded.spec import Spec

ORDERS = ("object first", "background first", "details first")
# Families that a caption may leave open, and the share of captions that name each.
OPTIONAL = {
    "size": 0.85,
    "colour": 0.85,
    "texture": 0.85,
    "frame": 0.5,
    "tint": 0.5,
    "mark": 0.5,
    "seal": 0.5,
}
EVERYTHING = frozenset(OPTIONAL)
# Words of captions that stand for no concept.
OTHER_WORDS = ("a", "an", "on", "background", "with", "and", "frame", "mark", "seal", ",")


def caption(spec: Spec, order: str = ORDERS[0], named: Set[str] = EVERYTHING) -> str:
    """The caption of `spec` in one word order; `named` are the optional families that it names."""
    subject, *others = spec.objects
    if others:
        things = f"{_noun(subject)} {spec.relation} {_noun(*others)}"
    else:
        things = _noun(_words(spec, named, "size", noun=subject))
    ground = _words(spec, named, "texture", "colour")
    ground = f"on {_noun(ground)} background" if ground else ""
    details = _details(spec, named)
    # details in another order in each word order, so that place and family are not the same thing
    turn = ORDERS.index(order)
    details = details[turn:] + details[:turn] if turn < len(details) else details[::-1]
    added = f"with {_listed(details)}" if details else ""
    if order == "background first" and ground:
        return f"{ground}, {_joined(things, added)}"
    if order == "details first" and added:
        return f"{added}, {_joined(things, ground)}"
    return _joined(things, ground, added)


def roles(spec: Spec, named: Set[str] = EVERYTHING) -> dict[str, str]:
    """Words of the caption by the role that they play, several separated by blanks."""
    subject, *others = spec.objects
    found = {
        "subject": subject,
        "relation": spec.relation or "",
        "object": "".join(others),
        "attribute": _words(spec, named, "size", "texture"),
        "background": _words(spec, named, "colour"),
        "detail": _words(spec, named, "frame", "tint", "mark", "seal"),
    }
    return {role: words for role, words in found.items() if words}


def _words(spec: Spec, named: Set[str], *families: str, noun: str = "") -> str:
    """Concepts of those families that are named, then the noun, separated by blanks."""
    concepts = [getattr(spec, family) for family in families if family in named]
    return _joined(*(concept for concept in (*concepts, noun) if concept))


def _details(spec: Spec, named: Set[str]) -> list[str]:
    """Named details as phrases: of the mark its tint, its shape or both."""
    phrases = [f"{_noun(spec.frame)} frame"] if "frame" in named else []
    if "tint" in named or "mark" in named:
        noun = spec.mark if "mark" in named else "mark"
        phrases.append(_noun(_words(spec, named, "tint", noun=noun)))
    return [*phrases, f"{_noun(spec.seal)} seal"] if "seal" in named else phrases


def _listed(phrases: list[str]) -> str:
    *first, last = phrases
    return f"{', '.join(first)} and {last}" if first else last


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _noun(words: str) -> str:
    return f"an {words}" if words.startswith(tuple("aeiou")) else f"a {words}"
