"""What the steps of a run came to as JUnit XML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.junit import cleaned, write_suite
from runner.cli.sofar import workflow_of
from runner.workflows.nodes import CONTAINERS

if TYPE_CHECKING:
    from runner.model import Task


def write_junit(name: str, task: Task) -> None:
    """A testcase for each step that does something; failed steps are failures, the ones that did not run skipped."""
    from xml.etree.ElementTree import Element, SubElement  # here: few calls write a report

    result = task.result or {}
    flow = workflow_of(task)
    cases = []
    for step in result.get("steps") or ():
        if step["kind"] in CONTAINERS:
            continue
        attributes = {"classname": flow, "name": step["path"], "time": f"{step.get('duration_s') or 0.0:.3f}"}
        case = Element("testcase", {key: cleaned(value) for key, value in attributes.items()})
        summary = cleaned(str(step.get("summary") or step["status"]))
        if step["status"] == "failed":
            SubElement(case, "failure", {"message": summary, "type": str(step.get("outcome") or "failed")})
        elif step["status"] != "done":
            SubElement(case, "skipped", {"message": summary})
        cases.append(case)
    write_suite(Path(name), f"workflow {flow}", cases)
