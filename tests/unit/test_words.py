"""Words are found by character offsets and keep their own tokens."""

import pytest

import tiny
from stepscope import datasets
from stepscope.words import check_length, token_text, words

TOKENIZER = tiny.tokenizer()


def spelled(prompt, word):
    names = token_text(TOKENIZER, prompt)
    return "".join(names[token] for token in word.tokens)


@pytest.mark.parametrize(
    "prompt",
    [
        "a red cat on a blue background",
        "A Red  zebra, and\ta   GIRAFFE!",
        "on a plain background, a cat-like dog: isn't it?",
        "cat cat cat",
        "2 dogs, 31 boats",
        "(the) 'cat'",
    ],
)
def test_tokens_spell_their_word(prompt):
    found = words(TOKENIZER, prompt)
    assert [word.text.lower() for word in found] == datasets.words(prompt)
    assert [spelled(prompt, word) for word in found] == datasets.words(prompt)
    assert [word.index for word in found] == list(range(len(found)))
    tokens = [token for word in found for token in word.tokens]
    assert tokens == sorted(set(tokens))


def test_words_outside_the_vocabulary_have_several_tokens():
    a, red, zebra = words(TOKENIZER, "a red zebra")
    assert (a.tokens, red.tokens) == ((1,), (2,))
    assert zebra.tokens == (3, 4, 5, 6, 7)


def test_offsets_survive_accents_and_scripts():
    prompt = "Ça naïve İstanbul, cat 猫 cat\u2019s"
    found = words(TOKENIZER, prompt)
    assert [word.text for word in found] == ["Ça", "naïve", "İstanbul", "cat", "猫", "cat\u2019s"]
    assert spelled(prompt, found[3]) == "cat"
    assert all(word.tokens for word in found)


def test_every_occurrence_gets_the_role():
    found = words(TOKENIZER, "A Cat and a red cat", {"subject": "cat", "attribute": "red"})
    assert [word.role for word in found] == ["", "subject", "", "", "attribute", "subject"]


def test_a_role_may_have_several_words():
    found = words(TOKENIZER, "a cat next to a dog", {"relation": "next to"})
    assert [word.text for word in found if word.role == "relation"] == ["next", "to"]


def test_rows_of_attention_are_start_tokens_end_and_padding():
    assert token_text(TOKENIZER, "a cat") == [tiny.START, "a", "cat", tiny.END, "<padding>"]


def test_length_counts_start_and_end():
    check_length(TOKENIZER, "cat " * 22, "row 2")
    with pytest.raises(ValueError, match=r"^row 3: the prompt .* has 25 tokens .* takes 24\.$"):
        check_length(TOKENIZER, "cat " * 23, "row 3")
