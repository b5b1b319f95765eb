"""The documents say what the code, the schemas and the files say, and their skeletons fit."""

import ast
import re
import shlex
import textwrap
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from snakemake import cli

from stepscope import table_registry
from stepscope.statistics import findings_rq1
from stepscope.study import digests
from stepscope.study.datasets.row import Row
from support import commands, key_tables, synthetic
from support.workflow import ROOT

PACKAGE = ROOT / "workflow" / "src" / "stepscope"
PAGES = ["README.md", "CONTRIBUTING.md", "config/README.md", "workflow/README.md"]
PAGES += ["config/reading_maps.md"]
CONFIGS = [f"config/{name}.yaml" for name in ("config", "full", "onsets", "paper")]
CONFIGS += ["tests/support/study/config/config.yaml"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
EXAMPLES = ("animals.tsv", "contrast")  # in names of files that only the examples make
BOOTSTRAP = {"draws": 50, "confidence": 0.95, "seed": 0}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def skeletons(language: str = "python") -> list[str]:
    """Code of CONTRIBUTING.md, in the order of the page."""
    blocks = re.findall(
        rf"^ *```{language}\n(.*?)^ *```$", text_of("CONTRIBUTING.md"), re.MULTILINE | re.DOTALL
    )
    return [textwrap.dedent(block) for block in blocks]


def skeleton(name: str) -> str:
    """The only skeleton that defines a function or class of this name."""
    (block,) = (block for block in skeletons() if re.search(rf"^(def|class) {name}\b", block, re.M))
    return block


def module(name: str) -> ModuleType:
    """A skeleton's module, executed."""
    made = ModuleType(name)
    exec(skeleton(name), vars(made))
    return made


def keys_of(part: dict, where: str = "") -> Iterator[tuple[str, dict]]:
    """Every key of a schema with what it says."""
    for key, inner in part.get("properties", {}).items():
        yield f"{where}/{key}", inner
        yield from keys_of(inner, f"{where}/{key}")
    if isinstance(part.get("additionalProperties"), dict):
        yield from keys_of(part["additionalProperties"], f"{where}/*")


def test_tables_of_keys_are_written_from_the_schemas():
    page = key_tables.PAGE.read_text(encoding="utf-8")
    stale = f"the tables of config/README.md are stale: run `{key_tables.COMMAND}`"
    assert key_tables.renewed(page) == page, stale


def test_every_key_of_a_study_has_a_description_and_a_table():
    schema = key_tables.schema("config")
    parts = [schema, *schema["$defs"].values()]
    assert not [key for part in parts for key, inner in keys_of(part) if "description" not in inner]
    marked = set(re.findall(r"<!-- keys: (\S+) -->", text_of("config/README.md")))
    for key, part in schema["properties"].items():
        holds_keys = part.get("type") == "object" and key != "training"  # the config explains it
        assert (key in marked) == holds_keys, key


@pytest.mark.parametrize("config", CONFIGS)
def test_configs_name_the_schema_for_editors(config):
    found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text_of(config))
    assert found
    schema = (ROOT / config).parent / found[1]
    assert yaml.safe_load(schema.read_text(encoding="utf-8"))["$id"] == "urn:stepscope:config"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in headings]
            assert heading in anchors, link


@pytest.mark.parametrize("page", PAGES)
def test_files_of_the_repository_that_a_page_names_exist(page):
    top = r"(?:workflow|tests|config|envs|profiles)"
    for path in re.findall(rf"`({top}/[\w./-]+)`", text_of(page)):
        assert (ROOT / path).exists() or any(name in path for name in EXAMPLES), path


@pytest.fixture
def snakemake(tmp_path, monkeypatch, capsys):
    """Snakemake's command line in a folder like the clone's, where each run is a dry run."""
    commands.stand_in(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(arguments: list[str]) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        out, err = capsys.readouterr()
        assert ended.value.code == 0, f"{shlex.join(arguments)}: {out + err}"
        return out + err

    return run


@pytest.mark.parametrize("page", commands.PAGES)
def test_command_lines_run_as_they_stand(page, snakemake, tmp_path):
    for number, line in enumerate(commands.of_page(page)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for program, *arguments in commands.started(line, folder):
            if program == "snakemake" and "--report" not in arguments:  # it needs results
                snakemake(arguments)
            elif program == "make":
                assert set(arguments) <= set(
                    re.search(r"^.PHONY: (.*)$", MAKEFILE, re.M)[1].split()
                )
            for name in arguments:
                made = f"python {name}\n" in text_of(page)  # by an example
                if program != "snakemake" and re.search(r"/|\.py$", name) and not made:
                    assert (ROOT / name).exists(), line


def test_a_page_without_commands_is_one_that_was_not_read():
    found = {page: commands.of_page(page) for page in commands.PAGES}
    assert "snakemake estimate --configfile config/paper.yaml" in found["config/paper.yaml"]
    assert "make check" in " ".join(found["CONTRIBUTING.md"])
    assert "snakemake --workflow-profile profiles/slurm all" in found["profiles/slurm/profile.yaml"]
    assert len(found["README.md"]) > 15


@pytest.mark.parametrize(
    "line",
    [
        "--configfile my_study.yaml all",  # an option that takes several values eats the target
        "--config guidance=4 all",
        "--forcerun play_games all_of_it",
        "rq4",
        "all --configfile missing.yaml",
        "results/paper/tables/rq1_auc.tsv",  # of another study
    ],
)
def test_command_lines_that_do_not_work_are_noticed(line, snakemake):
    with pytest.raises(AssertionError):
        snakemake(shlex.split(line))


def test_imports_follow_the_arrows_that_the_architecture_draws():
    drawn = re.search(r"^flowchart TD\n(.*?)^```", text_of("workflow/README.md"), re.M | re.S)[1]
    arrows = {}
    for line in drawn.splitlines():
        name, _, others = line.strip().partition(" --> ")
        arrows[name] = {name, *filter(None, others.split(" & "))}
    assert arrows.keys() == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    shared = {path.stem for path in PACKAGE.glob("*.py")}
    for path in PACKAGE.glob("*/**/*.py"):
        folder = path.relative_to(PACKAGE).parts[0]
        bases = (base for base, _ in digests.imports(ast.parse(path.read_text(encoding="utf-8"))))
        used = {base.split(".")[1] for base in bases if base.startswith("stepscope.")}
        assert used <= arrows[folder] | shared, path


def test_the_skeleton_of_a_method_makes_a_map():
    outputs = torch.stack([torch.zeros(4, 3, 5), torch.full((4, 3, 5), 2.0)])
    map_ = module("prompt_energy").prompt_energy(None, SimpleNamespace(outputs=outputs), power=1)
    assert map_.shape == (3, 5)
    assert (map_ == 8).all()


def test_the_skeleton_of_a_family_lacks_nothing():
    family = module("Name").Name
    assert not family.__abstractmethods__


def test_the_skeleton_of_a_source_makes_rows(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("a cat\na dog\n")
    (first, second) = module("rows").rows({"lines": str(path)})
    assert isinstance(first, Row)
    assert (second.prompt_id, second.prompt) == ("2", "a dog")
    path.write_text("a cat\n\n")
    with pytest.raises(ValueError, match=r"captions\.txt, line 2: the caption is empty"):
        list(module("rows").rows({"lines": str(path)}))


@pytest.fixture
def contrast_table(monkeypatch) -> pd.DataFrame:
    """What the skeletons of a table measure on a made-up trace."""
    (entry,) = (block for block in skeletons() if block.startswith('"rq1_contrast"'))
    tables = eval(f"{{{entry}}}", vars(table_registry))
    monkeypatch.setitem(table_registry.TABLES, "rq1_contrast", tables["rq1_contrast"])
    return module("contrast_table").contrast_table(synthetic.trace(), synthetic.KEYS)


def test_the_skeletons_of_a_table_and_its_figure_fit(contrast_table):
    assert len(contrast_table) == 2 * 4
    assert contrast_table["contrast"].gt(0).all()
    (code,) = (block for block in skeletons() if "def _part(" in block)
    figure_module = ModuleType("contrast")
    exec(code, vars(figure_module))
    (panel,) = figure_module.contrast(contrast_table, **BOOTSTRAP).subfigs
    assert panel.axes[0].get_xlabel() == "log-SNR (nats)"


def test_the_skeleton_of_a_claim_yields_a_finding(contrast_table):
    made = dict(vars(findings_rq1))
    exec(skeleton("contrast_grows"), made)
    (finding,) = made["contrast_grows"]({"rq1_contrast": contrast_table})
    assert len(finding.values) == contrast_table["prompt_id"].nunique()
