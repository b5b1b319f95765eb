"""What is run again after an edit, and what is not."""

import pytest

from stepscope.store.error_left import read_curve
from stepscope.store.maps import open_dataset
from support.workflow import Study, copied_code

ALL = ("all",)
TRACES = ("results/tiny/traces/tiny/pairs/uniform/0.zarr",)
PREVIEWS = ("results/tiny/previews/tiny/pairs/uniform/0.zarr",)
END = '"""\n'  # of a module's docstring
ADDED = f"{END}\nADDED = 1\n"
COLUMNS = 'columns=(*KEYS, "masks", "prediction", "region", "band", "recovered"'  # of rq1_recovery
TRACED = {"generate": 1}
FIGURED = {"recover": 3, "merge_table": 1, "summarise": 1, "test_claims": 1, "all": 1}
FIGURED |= {"plot_rq1_recovery": 1, "plot_claims": 1}
FIGURED |= {"measure_sensitivity": 1, "plot_rq1_sensitivity": 1}
# A module, what is replaced in it and by what, what is asked for, and what is then planned.
EDITS = {
    "a family traces its own models": ("models/families/unet.py", (END, ADDED), TRACES, TRACED),
    "another family changes nothing": ("models/families/sd3.py", (END, ADDED), ALL, {}),
    "a score is one table's": ("scores/recovery.py", (END, ADDED), ALL, FIGURED),
    "a replay generates nothing": ("diffusion/denoiser.py", (END, ADDED), TRACES, {}),
    "a replay decodes": ("diffusion/denoiser.py", (END, ADDED), PREVIEWS, {"decode": 1}),
    "claims are last": (
        "statistics/claims.py",
        (END, ADDED),
        ALL,
        {"test_claims": 1, "plot_claims": 1, "all": 1},
    ),
    "columns are one table's": (
        "table_registry.py",
        (COLUMNS, f'{COLUMNS}, "added"'),
        ALL,
        FIGURED,
    ),
}


@pytest.fixture(scope="module")
def edited(finished, tmp_path_factory) -> Study:
    """A copy of the finished study and of its code, which a test leaves as it was."""
    folder = tmp_path_factory.mktemp("edited")
    study = finished.copy(folder / "study")
    study.root = copied_code(folder / "code")
    return study


@pytest.mark.parametrize(("name", "edit", "asked", "jobs"), EDITS.values(), ids=EDITS)
def test_an_edit_of_code_plans_what_uses_it_alone(edited, name, edit, asked, jobs):
    module = edited.root / "workflow" / "src" / "stepscope" / name
    text = module.read_text()
    old, new = edit
    assert old in text
    module.write_text(text.replace(old, new, 1))
    try:
        assert edited.planned(*asked) == jobs
    finally:
        module.write_text(text)


def test_finished_study_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake("--dry-run", "all")


def test_one_edited_prompt_reruns_one_batch_of_each_sampling(study):
    study.edit("config/prompts.tsv", "a small dog\t0\tdog", "a small fish\t0\tfish")
    jobs = study.planned("all")
    assert jobs["generate"] == jobs["decode"] == jobs["ground"] == 3
    assert jobs["explain"] == 3 + 5  # one method on three samplings, five on one
    assert jobs["play_games"] == 2 + 1  # a method with maps at the played step, the baselines


def test_prompts_in_another_batch_leave_the_first_alone(study):
    table = study.folder / "config" / "prompts.tsv"
    head, *rows = table.read_text().splitlines()
    rows = [f"{row}\t0" for row in rows] + [rows[0].replace("big-cat", "new") + "\t1"]
    table.write_text("\n".join([f"{head}\tbatch", *rows]) + "\n")
    assert study.planned("all")["generate"] == 3


def test_one_edited_parameter_of_a_method_generates_nothing(study):
    study.edit("config/config.yaml", "masks: 20", "masks: 21")
    jobs = study.planned("all")
    assert jobs["explain"] == jobs["play_games"] == 1
    assert not jobs.keys() & {"generate", "decode", "ground"}


def test_a_method_gets_the_objects_region_and_steps_by_the_error_left_where_it_asks_for_them(study):
    study.edit(
        "config/config.yaml",
        "steps: [1, 3], samples: 2}\n  df_cam_word",
        "steps: {left: [0.5, 1.0e-3]}, samples: 2, target: region}\n  df_cam_word",
    )
    maps = "results/tiny/maps/tiny/pairs/uniform/0/df_cam.zarr"
    assert study.planned(maps) == {"measure_error_left": 1, "explain": 1}
    study.snakemake(maps)
    curve = study.folder / "results/tiny/error_left/tiny/pairs/uniform.json"
    left = read_curve(str(curve))["error_left"]
    steps = {next(k for k, value in enumerate(left, 1) if value <= share) for share in (0.5, 1e-3)}
    explained = open_dataset(str(study.folder / maps))["df_cam"].notnull().any(["layer", "y", "x"])
    assert {int(k) for k in explained["step"][explained.any("sample")]} == steps
    # other shares are looked up in the same curve
    study.edit("config/config.yaml", "[0.5, 1.0e-3]", "[0.9]")
    assert study.planned(maps) == {"explain": 1}


def test_one_removed_method_reruns_no_other(study):
    lines = (study.folder / "config" / "config.yaml").read_text().splitlines(keepends=True)
    kept = [line for line in lines if "information:" not in line]
    (study.folder / "config" / "config.yaml").write_text("".join(kept))
    assert not study.planned("all").keys() & {"generate", "explain"}


def test_comments_docstrings_and_time_stamps_plan_nothing(own_code):
    module = own_code.root / "workflow" / "src" / "stepscope" / "tracing" / "call.py"
    module.write_text("# a comment\n" + module.read_text().replace('"""\n', ' More words."""\n', 1))
    (own_code.root / "workflow" / "scripts" / "generate.py").touch()
    assert own_code.planned("all") == {}


def test_edited_code_reruns_what_uses_it(own_code):
    module = own_code.root / "workflow" / "src" / "stepscope" / "methods" / "df_rise.py"
    module.write_text(module.read_text() + "\n\nADDED = 1\n")
    jobs = own_code.planned("all")
    assert jobs["explain"] == 1
    assert not jobs.keys() & {"generate", "decode", "probe"}
