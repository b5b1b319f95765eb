"""The figure of probes has a panel a family and half, and says what is behind each."""

import numpy as np
import pandas as pd

from stepscope.figures import probes
from stepscope.scores.probe_courses import LATENT, SEEN
from stepscope.table_columns import PROBES, PROBES_SUMMARY
from support.drawings import UNIT, crossed, drawn

LEVELS = np.linspace(-6, 4, 4)


def frames(halves=("uncond", "cond"), readers=("clip", "untrained")):
    table = crossed(
        family=["colour", "seal"],
        prompts=["all", "open"],
        reader=readers,
        half=halves,
        layer=["down", "mid"],
        step=[1, 2, 3, 4],
    )
    one = table[(table["half"] == halves[-1]) & (table["layer"] == "mid")].assign(half="")
    table = pd.concat([table, one.assign(layer=LATENT), one.assign(layer=SEEN)])
    table = table[(table["family"] != "seal") | (table["reader"] == "clip")]
    table = table.assign(**UNIT, sampling="log_snr", timestep=1.0, n=24, samples=48, noises=48)
    table["log_snr"] = LEVELS[table["step"] - 1]
    table = table.assign(classes=4, left_out="", chance=0.25, accuracy=0.5, control_mean=0.25)
    table = table.assign(control_high=0.4, balanced_accuracy=table["step"] / 5)
    summary = table[table["step"] == 3].assign(
        quantity="log_snr", compared="", estimate=LEVELS[2], ci_low=LEVELS[1], ci_high=np.nan
    )
    return table[[*PROBES]], summary[[*PROBES_SUMMARY]]


def test_every_family_and_half_has_a_panel_with_its_layers():
    figure = probes.draw(*frames(), "untrained")
    text = drawn(figure)
    assert "colour (untrained), 4 concepts" in text
    assert "seal (clip), 4 concepts" in text  # which the other reader does not read
    assert "colour (clip)" not in text
    assert "n = 24 prompts, 48 noises" in text
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == [probes.NAMES["uncond"], probes.NAMES["cond"]]
    first, second = (part.axes[0] for part in figure.subfigs)
    for axes in (first, second):
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == [LATENT, "down", "mid", SEEN]
    dots = first.collections[0].get_offsets()
    assert set(dots[:, 0].tolist()) == {2, 3}  # of accuracies 0.6 and 0.8, above 0.4
    assert {line.get_xdata()[0] for line in first.lines[:-1]} == {1.5}  # where step 3 begins


def test_without_guidance_there_is_one_half():
    table, summary = frames(halves=("cond",))
    (part,) = probes.draw(table, summary).subfigs
    assert part.get_suptitle() == probes.NAMES["cond"]
    assert "colour (clip)" in drawn(probes.draw(table, summary))
