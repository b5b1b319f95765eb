"""How texts are split into words, and the roles that words of a prompt play.

A Snakefile imports this module, so it uses the standard library alone.
"""

import re
import unicodedata

# A hyphen or apostrophe stays inside a word; any other sign separates words.
WORD = re.compile(r"\w+(?:[-'\u2019]\w+)*")
ROLES = ("subject", "relation", "object", "attribute", "background")
OBJECTS = ("subject", "object")  # roles of words that name a thing with a region of its own


def composed(text: str) -> str:
    """The text with each accented letter as one character, as tokenizers read it."""
    return unicodedata.normalize("NFC", text)


def words(text: str) -> list[str]:
    """Words of a text in lower case, without punctuation."""
    return WORD.findall(text.lower())
