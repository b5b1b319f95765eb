"""The estimate's arithmetic, without running anything."""

import pytest

from stepscope.estimate import cost, dry_runs
from support.costs import CONFIG, HERE, IMPORTING, MODEL, PROMPTS


def others(maps):
    """States of a step for some maps, with all the games' substrates."""
    return 4 + 3 * 15 * maps


def played(maps):
    """States of two steps of three samples, of which one has more than the first substrates."""
    return 2 * (others(maps) + 2 * (3 + 2 * 15 * maps))


PLAYED = played(2)  # DF-RISE and its variant


def work(**wildcards):
    return cost.Work(CONFIG, PROMPTS, HERE | wildcards, MODEL)


def test_calls_of_each_kind_of_job():
    assert work().needs("generate").calls == 4 * 20
    assert work(method="df_rise").needs("explain").calls == 2 * 3 * 501
    # DF-RISE and its variant, and the three baselines
    for method, maps in (("df_rise", 2), ("baselines", 3)):
        assert work(method=method).needs("play_games").calls == played(maps)
        assert work(method=method, batch="1").needs("play_games").calls == 2 * others(maps)
    few = CONFIG | {"games": CONFIG["games"] | {"moves": 8}}
    needs = cost.Work(few, PROMPTS, HERE | {"method": "df_rise"}, MODEL).needs("play_games")
    assert needs.calls == 2 * ((4 + 3 * 7 * 2) + 2 * (3 + 2 * 7 * 2))
    inverted = CONFIG | {"datasets": {"scenes": {"trace": "invert"}}}
    assert cost.Work(inverted, PROMPTS, HERE, MODEL).needs("generate").calls == 4 * (20 * 6 + 2)
    assert work().needs("decode").calls == 0
    # with another seed, another prompt, and the blocks of a cascade; two samples, one step
    assert work(method="df_rise").needs("explain_controls").calls == (2 + cost.BLOCKS) * 2 * 501
    assert work().needs("contrast_samplings").calls == 2 * 200
    every = cost.Work(CONFIG, PROMPTS, {k: v for k, v in HERE.items() if k != "batch"}, MODEL)
    assert every.needs("probe_activations").calls == 5 * 3  # all of two batches
    both = {"early": {"kind": "early", "steps": 20}, "own": {"kind": "latter", "steps": 9}}
    both["own"]["end"] = "uniform"  # whose own traces are the matched ones
    wider = CONFIG | {"samplings": CONFIG["samplings"] | both}
    needs = cost.Work(wider, PROMPTS, HERE, MODEL).needs("contrast_samplings")
    assert needs.calls == 3 * 20 + 2 * 200
    assert work().needs("measure_convergence").calls == 1 * 2 * (8192 + 3 * 4096)


def test_continuations_are_counted():
    there, back = 20 + 16 + 11 + 6 + 1, 16 + 11 + 6 + 1  # each fifth of 20 steps, and the first
    swaps, drawn = 2 * 1 * (there + back), 2 * 3 * there
    assert work().needs("measure_commitment").calls == swaps + 0.5 * drawn
    assert work().needs("measure_commitment").pictures == 2 * 10 + 2 * 3 * 5
    near = work().needs("measure_earliest")
    assert (near.calls, near.pictures) == (0.5 * 3 * 3 * 20, 3 * 3)
    settings = CONFIG["commitment"]
    both = settings | {"decided": settings["decided"] | {"prompts": ["empty", "without"]}}
    of_both = cost.Work(CONFIG | {"commitment": both}, PROMPTS, HERE, MODEL)
    # without the words of each of two families, with guidance
    assert of_both.needs("measure_commitment").calls == swaps + 2.5 * drawn


def test_what_asks_no_network_makes_no_calls():
    entry = CONFIG["explain"]["df_rise"] | {"denoiser": "gaussian_null"}
    null = cost.Work(CONFIG | {"explain": {"df_rise": entry}}, PROMPTS, HERE, MODEL)
    null.wildcards = HERE | {"method": "df_rise"}
    assert null.needs("explain").calls == 0
    assert null.needs("explain").size > 0
    needs = work().needs("measure_nulls")
    assert (needs.calls, needs.pictures) == (0, 2 * 3 * (20 + 5 * 3))


def test_steps_named_by_the_error_left_are_counted():
    left = {"left": [0.9, 0.5, 0.1, 0.05]}
    config = CONFIG | {"explain": {"df_rise": CONFIG["explain"]["df_rise"] | {"steps": left}}}
    config["games"] = CONFIG["games"] | {"steps": left}
    work = cost.Work(config, PROMPTS, HERE | {"method": "df_rise"}, MODEL)
    assert work.needs("explain").calls == 2 * 4 * 501
    assert work.needs("play_games").calls == 2 * PLAYED


def test_a_job_of_all_batches_is_counted():
    sampling = {name: value for name, value in HERE.items() if name != "batch"}
    job = dry_runs.Planned("measure_error_left", sampling, ("trace",), ("curve",))
    found = cost.cost(job, CONFIG, PROMPTS, {"m": MODEL}, IMPORTING)
    assert (found.calls, found.seconds) == (0, cost.BARE)


def test_pictures_of_each_kind_of_job():
    assert work().needs("decode").pictures == 4 * (3 * 20 + 1)
    job = work(method="df_rise")
    assert job.needs("play_games").pictures == job.needs("play_games").calls > 0
    assert job.needs("explain").pictures == work().needs("generate").pictures == 0


def test_games_by_latents_alone_decode_nothing():
    games = CONFIG["games"] | {"scores": ["latent_error"], "draws": 2}
    needs = cost.Work(CONFIG | {"games": games}, PROMPTS, HERE | {"method": "df_rise"}, MODEL)
    found = needs.needs("play_games")
    assert (found.calls, found.pictures) == (PLAYED, 0)
    assert found.seconds == pytest.approx(PLAYED * MODEL["tracing"])
    baselines = cost.Work(CONFIG | {"games": games}, PROMPTS, HERE | {"method": "none"}, MODEL)
    more = 2 * (3 + 2 * 2) * 15  # another random order in three games, or in two
    assert baselines.needs("play_games").calls == played(3) + more


def test_jobs_that_load_no_model_begin_sooner():
    light = {"light": {"function": "stepscope.methods.cross_attention:cross_attention"}}
    rest = {"samplings": None, "steps": None, "samples": None}
    config = CONFIG | {"explain": {"light": light["light"] | rest}}
    job = dry_runs.Planned("explain", HERE | {"method": "light"}, ("trace",), ("maps",))
    found = cost.cost(job, config, PROMPTS, {"m": MODEL}, IMPORTING)
    assert (found.calls, found.seconds) == (0, cost.BARE)
    substrates = dry_runs.Planned("measure_substrates", HERE, ("trace",), ("part",))
    found = cost.cost(substrates, config, PROMPTS, {"m": MODEL}, IMPORTING)
    assert (found.calls, found.seconds) == (0, IMPORTING + MODEL["loading"])
    score = dry_runs.Planned("score_saliency", HERE, ("trace",), ("table",))
    assert cost.cost(score, config, PROMPTS, {"m": MODEL}, IMPORTING).seconds == cost.BARE


def test_a_method_that_was_not_timed_takes_what_a_traced_call_takes():
    model = MODEL | {"methods": {}}
    needs = cost.Work(CONFIG, PROMPTS, HERE | {"method": "df_rise"}, model).needs("explain")
    assert needs.seconds == pytest.approx(2 * 3 * 501 * MODEL["tracing"])
    own = {"function": "support.costs:plain", "samplings": None, "steps": None, "samples": None}
    config = CONFIG | {"explain": {"own": own}}
    found = cost.Work(config, PROMPTS, HERE | {"method": "own"}, MODEL)
    assert found.needs("explain").calls == 4 * 20


def test_heads_games_are_counted_by_their_states():
    # both ends, 14 heads, and 6 moves within of four methods and two random orders; and relevance
    states = 2 + 14 + 6 * (4 + 2)
    needs = work().needs("play_head_games")
    assert needs.calls == 2 + (1 + 2) * states / 2  # half the three words have a role
    few = CONFIG | {"head_games": CONFIG["head_games"] | {"roles": ["subject"], "samples": None}}
    needs = cost.Work(few, PROMPTS, HERE, MODEL).needs("play_head_games")
    assert needs.calls == 4 * (2 + 2 * states / 2)
    assert needs.loads


def test_attention_by_head_takes_disk_and_no_calls():
    method = {"function": "stepscope.methods.attention:attention", "heads": "all"}
    method |= {"samplings": None, "steps": [2, 8, 15], "samples": None}
    kept = CONFIG["storage"] | {"attention": "heads"}
    config = CONFIG | {"explain": {"by_head": method, "other": method | {"of": "negative_prompt"}}}
    calls = {}
    for storage in (CONFIG["storage"], kept):
        made = cost.Work(
            config | {"storage": storage}, PROMPTS, HERE | {"method": "by_head"}, MODEL
        )
        needs, trace = made.needs("explain"), made.needs("generate")
        calls[storage["attention"]] = (needs.calls, needs.loads, trace.size, trace.files)
    assert calls["mean"][:2] == (4 * 3 * 0.5, True)
    assert calls["heads"][:2] == (0, False)
    # 20 steps of 6 rows in half precision, of 6 heads at 16 x 16 and 8 at 8 x 8; a chunk a step
    assert calls["heads"][2] - calls["mean"][2] == 4 * 2 * 20 * 6 * (6 * 256 + 8 * 64)
    assert calls["heads"][3] - calls["mean"][3] == 4 * 20 * 2
    other = cost.Work(config | {"storage": kept}, PROMPTS, HERE | {"method": "other"}, MODEL)
    assert other.needs("explain").calls == 4 * 3 * 0.5
    by_hand = cost.Work(config | {"storage": kept}, PROMPTS, HERE | {"method": "by_head"}, MODEL)
    assert by_hand.needs("explain_controls").calls > 0  # which have weights of their own


def test_a_trace_is_counted_in_bytes_as_it_is_stored():
    # each: 21 latents, 2 x 20 outputs, 20 of history; 20 clean predictions; "a red cat" and 3 more
    traced = 2 * (1024 * (21 + 40 + 20) + 2 * 24 * 32) + 2 * 20 * (1024 + 6 * (256 + 64))
    assert work().needs("generate").size == pytest.approx(4 * traced)
