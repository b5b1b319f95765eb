"""R2a and R2b measure their statements: what would look like them, and is not, is undecided."""

import numpy as np
import pandas as pd
import pytest

from stepscope.language import slots, word_order
from stepscope.statistics import findings_rq2, findings_rq2_regions, word_courses
from stepscope.statistics.verdicts import with_verdicts
from support.synthetic import KEYS

FIRST = ("attribute", "subject", "attribute", "background")
SECOND = ("attribute", "background", "attribute", "subject")
STEPS = np.arange(12)
SLOTS = {"attribute of subject": 2, "subject": 8, "attribute of background": 10, "background": 5}


def bump(at, width=3.0):
    return np.exp(-((STEPS - at) ** 2) / width)


def measured(curve, prompts=8, method="relevance", noise=1):
    """Tables of prompts of two word orders; `curve(prompt, role, slot)` is a word's relevance."""
    rng = np.random.default_rng(noise)
    relevance, order = [], []
    for number in range(prompts):
        roles = (FIRST, SECOND)[number % 2]
        for seed in (0, 1):
            values = np.stack(
                [curve(number, *word) for word in zip(roles, slots(roles), strict=True)]
            )
            values = values * np.exp(0.05 * rng.normal(size=values.shape))
            share = values / values.sum(0)
            centre = (share * STEPS).sum(1) / share.sum(1)
            who = {**KEYS, "prompt_id": f"p{number}", "seed": seed, "method": method}
            for index, role in enumerate(roles):
                word = who | {"word_index": index, "word": role, "role": role}
                relevance.append(
                    pd.DataFrame(
                        word
                        | {"step": STEPS, "log_snr": STEPS}
                        | {"relevance": values[index], "share": share[index]}
                    )
                )
                order.append(word | {"centre_rank": float((centre < centre[index]).sum())})
    return {"rq2_relevance": pd.concat(relevance), "rq2_order": pd.DataFrame(order)}


def verdicts(findings, source):
    """Verdicts of the findings of one source, in their order."""
    of = [finding for finding in findings if finding.reason.find(source) > 0 or source == "all"]
    return with_verdicts(of, 200, 0.95, 0)["verdict"].tolist()


def of_words(tables, source="relevance"):
    return verdicts(findings_rq2.words(tables, 499, 0), source)


def by_slot(prompt, role, slot):
    return bump(SLOTS[slot])


def by_prompt(prompt, role, slot):
    return bump((SLOTS[slot] * (3 + prompt)) % 11)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        # one generic curve a slot: words have an order, which is that of every prompt
        (by_slot, ["undecided", "undecided", "supported", "undecided"]),
        (by_prompt, ["supported"] * 4),
        (lambda prompt, role, slot: np.ones(12), ["undecided"] * 4),
    ],
    ids=["generic", "own", "noise"],
)
def test_an_order_of_prompts_own_is_told_from_one_generic_curve_a_slot(curve, expected):
    assert of_words(measured(curve)) == expected


def test_word_removal_is_judged_in_the_place_of_relevance():
    removal = measured(by_prompt, method="word_removal")
    assert of_words(removal, "word_removal") == ["supported"] * 4
    assert set(of_words(removal)) == {"not_testable"}


@pytest.mark.parametrize(
    ("roles", "expected", "order"),
    [
        (
            FIRST,
            ["attribute of subject", "subject", "attribute of background", "background"],
            "subject, background",
        ),
        (
            SECOND,
            ["attribute of background", "background", "attribute of subject", "subject"],
            "background, subject",
        ),
        (("", "detail", "detail", ""), ["", "detail", "detail 2", ""], "detail"),
        (("subject", "attribute"), ["subject", "attribute"], "subject"),
    ],
)
def test_a_slot_is_what_a_word_is_of_whatever_the_order(roles, expected, order):
    assert slots(roles) == expected
    assert word_order(roles) == order


def lit(high, method="relevance"):
    """Tables in which a word's gain is 1 where its share is above its median, times `high`."""
    tables = measured(by_prompt, method=method)
    relevance = tables["rq2_relevance"]
    keys = ["prompt_id", "seed", "word_index"]
    total = relevance.groupby(["prompt_id", "seed", "step"])["relevance"].transform("sum")
    share = relevance["relevance"] / total
    above = share > share.groupby([relevance[key] for key in keys]).transform("median")
    noise = np.random.default_rng(1).normal(size=len(relevance))
    gain = high(above, relevance["step"]) + 0.1 * noise
    regions = relevance.assign(method="df_cam_word", gain=gain, mass=gain)
    return tables | {"rq2_regions": regions, "rq2_grounding": regions}


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (lambda above, step: 1.0 * above, ["supported"] * 3),
        (lambda above, step: 1.0 + 0 * step, ["undecided", "supported", "undecided"]),  # always
        (lambda above, step: 0.2 * step - 1.1, ["undecided"] * 3),  # all words later
        (lambda above, step: -1.0 * above, ["contradicted"] * 3),
    ],
    ids=["at its steps", "at all steps", "late", "elsewhere"],
)
def test_a_region_is_lit_at_the_words_own_steps_or_it_is_not(gain, expected):
    source = "word_removal" if expected[0] == "supported" else "relevance"
    findings = findings_rq2_regions.df_cam_follows_relevance(lit(gain, source), 499, 0)
    assert verdicts(findings, source) == expected


@pytest.mark.parametrize("count", [2, 256, 257, 1000])
def test_partners_are_swapped_among_few(count):
    group = [f"p{number}" for number in range(count)]
    parts = word_courses.divided(group)
    assert sorted(prompt for part in parts for prompt in part) == sorted(group)
    assert max(map(len, parts)) <= word_courses.AMONG
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
