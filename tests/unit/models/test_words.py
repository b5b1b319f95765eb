"""Words are found by character offsets and keep their own tokens."""

import pytest

from stepscope.language import words
from stepscope.models.words import Padded, Text, check, check_length, positions, read
from support import tiny

CLIP = (Text(tiny.tokenizer(), tiny.LENGTH, (tiny.tokenizer("!"),)),)
T5 = (Text(tiny.t5_tokenizer(), 300),)
TEXTS = {"clip": CLIP, "t5": T5}


def words_of(prompt, roles=None, texts=CLIP):
    return read(texts, prompt, roles).words


def spelled(prompt, word, texts=CLIP):
    names = read(texts, prompt).names
    return "".join(names[token] for token in word.tokens)


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize(
    "prompt",
    [
        "a red cat on a blue background",
        "a red  zebra, and\ta   giraffe!",
        "on a plain background, a cat-like dog: isn't it?",
        "cat cat cat",
        "2 dogs, 31 boats",
        "(the) 'cat' \U0001f431",
    ],
)
def test_tokens_spell_their_word(prompt, texts):
    found = words_of(prompt, texts=texts)
    assert [word.text.lower() for word in found] == words(prompt)
    assert [spelled(prompt, word, texts) for word in found] == words(prompt)
    assert [word.index for word in found] == list(range(len(found)))
    tokens = [token for word in found for token in word.tokens]
    assert tokens == sorted(set(tokens))


def test_words_outside_the_vocabulary_have_several_tokens():
    a, red, zebra = words_of("a red zebra")
    assert (a.tokens, red.tokens) == ((1,), (2,))
    assert zebra.tokens == (3, 4, 5, 6, 7)


def test_offsets_survive_accents_and_scripts():
    prompt = "Ça naïve İstanbul, cat 猫 cat\u2019s"
    found = words_of(prompt)
    assert [word.text for word in found] == ["Ça", "naïve", "İstanbul", "cat", "猫", "cat\u2019s"]
    assert spelled(prompt, found[3]) == "cat"
    assert all(word.tokens for word in found)


@pytest.mark.parametrize("prompt", ["एक लाल बिल्ली", "a cafe\u0301\u0301 on", "می\u200cخواهم cat"])
def test_tokens_of_marks_belong_to_the_word_they_are_on(prompt):
    found = words_of(prompt, {"subject": prompt.split()[-1]})
    assert [word.text for word in found] == prompt.split()
    assert [word.role for word in found] == [""] * (len(found) - 1) + ["subject"]
    tokens = [token for word in found for token in word.tokens]
    assert tokens == list(range(1, len(read(CLIP, prompt).names) - 2))  # all but the start and end


@pytest.mark.parametrize(
    ("name", "text"), [("<cat-toy>", "cat-toy"), ("<my big cat>", "my big cat"), ("<*>", "<*>")]
)
@pytest.mark.parametrize("vectors", [1, 3])
def test_a_name_of_textual_inversion_is_one_word_with_all_its_tokens(name, text, vectors):
    own = tiny.tokenizer()
    learned = [name, *(f"{name}_{number}" for number in range(1, vectors))]
    own.add_tokens(learned)
    prompt = f"a {' '.join(learned)} on a ball, {' '.join(learned)}"
    found = words_of(prompt, {"object": "ball", "subject": text.split()[-1]}, (Text(own, 24),))
    assert [word.text for word in found] == ["a", text, "on", "a", "ball", text]
    assert found[1].tokens == tuple(range(2, 2 + vectors))
    tokens = [token for word in found for token in word.tokens]
    assert len(tokens) == len(set(tokens)) == 4 + 2 * vectors
    assert found[4].role == "object"
    assert found[1].role == found[5].role == ("" if text == "<*>" else "subject")
    assert positions(own, prompt) == {word.index: word.tokens for word in found}


def test_every_occurrence_gets_the_role():
    found = words_of("A Cat and a red cat", {"subject": "cat", "attribute": "red"})
    assert [word.role for word in found] == ["", "subject", "", "", "attribute", "subject"]


def test_a_role_may_have_several_words():
    found = words_of("a cat next to a dog", {"relation": "next to"})
    assert [word.text for word in found if word.role == "relation"] == ["next", "to"]


def test_capitals_are_the_same_words():
    found = words_of("A Red  ZEBRA")
    assert [spelled("A Red  ZEBRA", word) for word in found] == ["a", "red", "zebra"]


def test_rows_of_attention_are_start_tokens_end_and_padding():
    found = read(CLIP, "a cat")
    assert found.names == (tiny.START, "a", "cat", tiny.END, "<padding>")
    assert found.rows == (0, 1, 2, 3, *[4] * (tiny.LENGTH - 4))


def test_a_text_of_t5_has_no_start():
    found = read(T5, "a cat")
    assert found.names == ("a", "cat", "</s>", "<padding>")
    assert found.rows == (0, 1, 2, *[3] * 297)


def test_a_prompt_read_twice_has_both_rows_and_the_image_last():
    found = read(CLIP + T5, "a cat", image=True)
    assert found.names == (*read(CLIP, "a cat").names, *read(T5, "a cat").names, "<image>")
    assert found.words[1].tokens == (2, 6)
    assert len(found.rows) == tiny.LENGTH + 300
    assert found.rows[tiny.LENGTH :] == (5, 6, 7, *[8] * 297)


def test_a_text_encoder_left_out_is_all_padding():
    found = read((*CLIP, Text(None, 3)), "a cat")
    assert found.names[-1] == "<padding>"
    assert found.rows[-3:] == (5, 5, 5)


def test_length_counts_start_and_end():
    check(CLIP, "cat " * 22, "row 2")
    with pytest.raises(ValueError, match=r"^row 3: the prompt .* has 25 tokens .* takes 24\.$"):
        check(CLIP, "cat " * 23, "row 3")
    check((Text(tiny.t5_tokenizer(), 5),), "a cat a dog", "row 2")
    with pytest.raises(ValueError, match=r"has 6 tokens"):
        check((Text(tiny.t5_tokenizer(), 5),), "a cat a dog a", "row 3")


def test_a_negative_prompt_is_as_long_as_a_prompt():
    twins = (Text(tiny.tokenizer(), 24, (tiny.t5_tokenizer(),)), Text(None, 3))
    check_length(twins, "cat " * 22, "negative_prompt")  # they need not split it alike
    with pytest.raises(ValueError, match=r"^negative_prompt: the prompt .* has 25 tokens"):
        check_length(twins, "cat " * 23, "negative_prompt")


def test_twins_that_split_a_prompt_differently_are_refused():
    with pytest.raises(ValueError, match=r"^row 2: the two tokenizers split"):
        check((Text(tiny.tokenizer(), 24, (tiny.t5_tokenizer(),)),), "a cat", "row 2")


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS.keys())
def test_padding_takes_a_words_place_and_mask(texts):
    prompt, own = "a zebra and a cat", texts[0].tokenizer
    options = {"padding": "max_length", "max_length": 20, "return_tensors": "pt"}
    plain, padded = own([prompt], **options), Padded(own, [[1]])([prompt], **options)
    changed = (plain.input_ids != padded.input_ids)[0].nonzero().flatten().tolist()
    zebra = read((Text(own, 20),), prompt).words[1]
    assert changed == list(zebra.tokens)
    assert (padded.input_ids[0, changed] == own.pad_token_id).all()
    assert (padded.attention_mask[0, changed] == 0).all()
    assert Padded(own, [[1]]).model_max_length == own.model_max_length


def test_a_word_that_is_subject_and_object_is_the_one_then_the_other():
    found = words_of(
        "a bear next to a bear", {"subject": "bear", "relation": "next to", "object": "bear"}
    )
    assert [word.role for word in found] == ["", "subject", "relation", "relation", "", "object"]
    found = words_of("a bear and a bear and a bear", {"subject": "bear", "object": "bear"})
    assert [word.role for word in found if word.text == "bear"] == ["subject", "object", "object"]
