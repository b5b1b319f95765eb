"""How texts are split into words and compared, and the roles that words of a prompt play.

A Snakefile imports this module, so it uses the standard library alone.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

# Signs that stay inside a word: hyphens, apostrophes, Catalan's middle dot, Hebrew's two geresh.
JOINERS = "-\u2010\u2011'\u2019\u00b7\u05f3\u05f4"
BLANK = "\u200b"  # invisible, but stands between words
MARK = "\u0300"  # stands for every mark while a text is split
RUN = rf"\w[\w{MARK}]*"
WORD = re.compile(rf"{RUN}(?:[{JOINERS}]{RUN})*")
SPELLINGS = str.maketrans("\u2010\u2019", "-'")  # other signs become these by Unicode's NFKC
ROLES = ("subject", "relation", "object", "attribute", "background", "detail")
OBJECTS = ("subject", "object")  # roles of words that name a thing with a region of its own
NOT_THINGS = ("relation", "attribute", "background")


def composed(text: str) -> str:
    """The text with each accented letter as one character, as tokenizers read it."""
    return unicodedata.normalize("NFC", text)


def spans(text: str) -> list[tuple[int, int]]:
    """Start and end, in characters, of each word of a text; every other sign separates words.

    Combining marks and what is invisible belong to the word that they follow (Unicode's UAX #29,
    rule WB4). A script without blanks is one word up to its next sign.
    """
    if not text.isascii():
        text = "".join(MARK if _follows(character) else character for character in text)
    return [match.span() for match in WORD.finditer(text)]


def _follows(character: str) -> bool:
    """Whether a character is a mark on the one before it, or invisible."""
    category = unicodedata.category(character)
    return category[0] == "M" or (category == "Cf" and character != BLANK)


def key(text: str) -> str:
    """A word as it is compared: whatever its case and Unicode form, without what is invisible."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    seen = (character for character in folded if unicodedata.category(character) != "Cf")
    return "".join(seen).translate(SPELLINGS)


def words(text: str) -> list[str]:
    """Words of a text as they are compared, without punctuation."""
    return [key(text[start:end]) for start, end in spans(text)]


def parts(text: str) -> list[str]:
    """Words of a text as they are compared, with the parts of a compound each by itself."""
    return [part for word in words(text) for part in re.split(rf"[{JOINERS}_]+", word) if part]


def replaced(text: str, old: str, new: str) -> str:
    """A text with another phrase in every place of one, whose words are compared as by `parts`.

    A capital letter stays one, "a" or "an" before it fits what follows, and with an empty phrase
    the blank behind it goes too. Without the old phrase the text is as it was.
    """
    places = [
        (start + match.start(), start + match.end())
        for start, end in spans(text)
        for match in re.finditer(rf"[^{JOINERS}_]+", text[start:end])
    ]
    read, wanted = [key(text[start:end]) for start, end in places], parts(old)
    done, changed = 0, ""
    for first in range(len(places) - len(wanted) + 1):
        start, end = places[first][0], places[first + len(wanted) - 1][1]
        if start < done or read[first : first + len(wanted)] != wanted:
            continue
        if not new:
            end += len(text[end:]) - len(text[end:].lstrip())
        phrase = new[:1].upper() + new[1:] if text[start].isupper() else new
        changed += _fitting_article(text[done:start], new or text[end:]) + phrase
        done = end
    return changed + text[done:]


def _fitting_article(before: str, word: str) -> str:
    """What stands before a word, its indefinite article, if it ends with one, fitting the word."""
    article = "an" if word.lower().startswith(tuple("aeiou")) else "a"
    return re.sub(r"\b([aA])[nN]?(\s+)$", lambda found: found[1] + article[1:] + found[2], before)


def is_background(text: str, role: str) -> bool:
    """Whether a word stands for the background: by its role, or without one by its name."""
    return role == "background" or (not role and key(text) == "background")


def is_thing(text: str, role: str) -> bool:
    """Whether a word may name an object: by its role, or without one unless it is "background".

    Articles and the like pass, and then lack a mask.
    """
    return role not in NOT_THINGS and not is_background(text, role)


def numbers_of(labels: Mapping[int, str]) -> dict[str, int]:
    """Number of a segmenter's label by each word, as it is compared, that names it.

    A label may list synonyms; a word names it by itself or as a plural.
    """
    numbers: dict[str, int] = {}
    for number, label in labels.items():
        names = (key(name.strip()) for name in label.replace(";", ",").split(","))
        for name in filter(None, names):
            for word in (name, f"{name}s", f"{name}es"):
                numbers.setdefault(word, number)
    return numbers


def word_order(roles: Sequence[str]) -> str:
    """How a prompt is built: roles in the order in which they come first, attributes aside."""
    named = (role for role in roles if role not in ("", "attribute"))
    return ", ".join(dict.fromkeys(named))


def slots(roles: Sequence[str]) -> list[str]:
    """What each word of a prompt stands for, "" without a role, so that prompts can be compared.

    Its role, of an attribute also that of the word it is of, the next that has another role; the
    second word of a slot is "detail 2".
    """
    found: list[str] = []
    counts: dict[str, int] = {}
    for place, role in enumerate(roles):
        name = role
        if role == "attribute":
            of = next((other for other in roles[place + 1 :] if other not in ("", role)), "")
            name = f"attribute of {of}" if of else role
        counts[name] = counts.get(name, 0) + 1
        found.append(f"{name} {counts[name]}" if name and counts[name] > 1 else name)
    return found
