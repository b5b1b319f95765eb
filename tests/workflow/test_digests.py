"""Every rule's digest is of all that its script imports."""

import re

import pytest

from stepscope.study import digests
from support.workflow import ROOT, package_text, rule_texts, script_closure

# Modules in the digests that a function makes.
FUNCTIONS = {
    "method_code": ["methods.explain"],
    "control_code": ["controls.job"],
    "generation_code": ["tracing.generate", "tracing.call"],
}
# A log and names on disk change no result.
AROUND = {"script.py", "stepscope/joblog.py", "stepscope/outputs.py"}
# They use names of the registry that no table's columns change; a method that learns from a table
# has its columns in `method_code`, and no controls.
NO_TABLE = {"merge_table", "plot_rq3_clocks", "plot_claims", "explain", "explain_controls"}
NO_TABLE |= {"plot_rq1_sensitivity", "write_verdicts", "publish_verdicts"}
RULES = rule_texts()
SCRIPTS = {
    path.stem: path
    for path in sorted((ROOT / "workflow" / "scripts").glob("*.py"))
    if path.stem not in ("estimate", "provenance")  # no output that could be out of date
}


@pytest.mark.parametrize("rule", SCRIPTS)
def test_every_rule_has_the_digest_of_all_that_its_script_imports(rule):
    codes = re.findall(r"code=(?:code\(([^()]*(?:\([^)]*\))?)\)|(\w+))", RULES[rule])
    assert codes, f"{rule} has no parameter code"
    arguments, function = codes[-1]  # the last is its own, the one before it is inherited
    names = FUNCTIONS.get(function) or re.findall(r'"([\w.]+)"', arguments.split("tables=")[0])
    used = script_closure(SCRIPTS[rule])
    digested = digests.closure([f"stepscope.{name}" for name in names], package_text)
    missing = used.keys() - digested.keys() - AROUND
    assert not missing, f"{missing} are not in the digest of {rule}"
    if "stepscope/table_registry.py" in used:
        assert "tables=" in arguments or "about=" in RULES[rule] or rule in NO_TABLE
