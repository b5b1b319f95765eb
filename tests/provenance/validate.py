"""Hold a crate against the profile Workflow Run Crate 0.5; run by tests/provenance/check.py.

Without network: the validator would fetch two contexts, which say what the crate's words mean. They
are made here from the context that comes with rocrate, of RO-Crate 1.3, and from what the profiles'
change log says was another word in 1.1.
"""

import json
import sys
from importlib import resources
from typing import Any

import requests
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

OF_1_1 = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}
OF_RUNS = {
    name: f"https://w3id.org/ro/terms/workflow-run#{name}" for name in ("sha256", "resourceUsage")
}


def context(url: str) -> dict[str, Any]:
    """The JSON-LD context of RO-Crate 1.1, or of the terms of workflow runs."""
    if url == "https://w3id.org/ro/terms/workflow-run/context":
        return {"@context": OF_RUNS}
    if url == "https://w3id.org/ro/crate/1.1/context":
        shipped = resources.files("rocrate").joinpath("data", "ro-crate.jsonld").read_text("utf-8")
        return {"@context": json.loads(shipped)["@context"] | OF_1_1}
    raise ValueError(f"{url}: the crate has a context that is not known here.")


def answer(requester: HttpRequester, url: str, **_: Any) -> requests.Response:
    """What the network would answer the validator."""
    response = requests.Response()
    response.status_code, response.url = 200, url
    response.headers["Content-Type"] = "application/ld+json"
    response._content = json.dumps(context(url)).encode()
    return response


def issues(crate: str, severity: models.Severity) -> list[str]:
    """What a crate lacks of the profile, a sentence each."""
    settings = services.ValidationSettings(
        rocrate_uri=crate,
        profile_identifier="workflow-run-crate-0.5",
        requirement_severity=severity,
    )
    found = services.validate(settings).get_issues()
    return sorted(
        f"{each.severity.name}: {each.message} ({each.violatingEntity})" for each in found
    )


if __name__ == "__main__":
    HttpRequester.get = answer
    required = issues(sys.argv[1], models.Severity.REQUIRED)
    print(*required, sep="\n", end="\n" if required else "")
    print(*issues(sys.argv[1], models.Severity.RECOMMENDED), sep="\n")
    raise SystemExit(bool(required))
