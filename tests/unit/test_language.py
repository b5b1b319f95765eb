"""Words of texts in any script, and how they are compared."""

import pytest

from stepscope.language import is_background, key, numbers_of, parts, replaced, spans, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("एक लाल बिल्ली", ["एक", "लाल", "बिल्ली"]),  # Devanagari's vowel signs
        ("ஒரு சிவப்பு பூனை।", ["ஒரு", "சிவப்பு", "பூனை"]),
        ("شَجَرَة خَضراء", ["شَجَرَة", "خَضراء"]),  # Arabic's vowels
        ("כֶּלֶב, צה״ל", ["כֶּלֶב", "צה״ל"]),
        ("แมวตัวใหญ่ สีแดง", ["แมวตัวใหญ่", "สีแดง"]),  # a script without blanks, as the next
        ("猫と犬、car", ["猫と犬", "car"]),
        ("İstanbul", ["i\u0307stanbul"]),  # a mark that small letters bring
        ("a cafe\u0301 and a ＣＡＦÉ", ["a", "café", "and", "a", "café"]),
        ("می\u200cخواهم kit\u00adten", ["میخواهم", "kitten"]),  # invisible inside a word
        # and between words
        ("red\u200bcat \u2764\ufe0f 👨\u200d👩", ["red", "cat"]),
        ("a t\u2011shirt, dog\u2019s col·lecció", ["a", "t-shirt", "dog's", "col·lecció"]),
        ("cat--dog 'cat' -", ["cat", "dog", "cat"]),
        ("... 🐱 !", []),
    ],
)
def test_words_of_every_script_are_whole(text, expected):
    assert words(text) == expected
    assert [key(text[start:end]) for start, end in spans(text)] == expected


def test_words_are_compared_whatever_their_form():
    assert len({key(text) for text in ("Straße", "STRASSE", "stra\u00adsse", "ｓtrasse")}) == 1
    assert key("cat\u2019s") == key("CAT'S")
    assert key("बिल्ली") != key("बल्ल")


def test_compounds_have_parts():
    assert parts("T-shirt, dog\u2019s polka_dot") == ["t", "shirt", "dog", "s", "polka", "dot"]


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        ("a heart next to a mushroom", "next to", "above", "a heart above a mushroom"),
        ("an orange cat, a cat", "orange", "blue", "a blue cat, a cat"),
        ("A red cat on a red hat", "RED", "orange", "An orange cat on an orange hat"),
        ("Red cat, dotted hat", "red", "blue", "Blue cat, dotted hat"),
        ("the dog\u2019s polka-dot bowl", "polka dot", "plain", "the dog\u2019s plain bowl"),
        ("the dog's bowl", "dog", "cat", "the cat's bowl"),
        ("a dotted hat", "dot", "plain", "a dotted hat"),  # within a word there is no concept
        ("on a red background, a cat", "red", "", "on a background, a cat"),
        ("a big owl", "big", "", "an owl"),
        ("un cafe\u0301 rouge", "CAFÉ", "thé", "un thé rouge"),
    ],
)
def test_a_phrase_is_replaced_wherever_its_words_are(text, old, new, expected):
    assert replaced(text, old, new) == expected


def test_backgrounds_and_labels_are_words_like_others():
    assert is_background("ＢＡＣＫＧＲＯＵＮＤ", "")
    numbers = numbers_of({0: "Café; CAFE\u0301 bar", 3: "", 4: "cafés"})
    assert numbers["café"] == numbers["cafés"] == 0
    assert 3 not in numbers.values()  # a label without a name
