"""Everything that can be known to be wrong with a workflow here: by itself, and with what this installation has."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from runner.errors import suggestion
from runner.workflows.check import Problem, check
from runner.workflows.enginecheck import engines
from runner.workflows.leafcheck import look
from runner.workflows.parallel import clashes
from runner.workflows.sessioncheck import sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.app import App
    from runner.workflows.load import Loaded
    from runner.workflows.nodes import Node


def problems(app: App, loaded: Loaded) -> list[Problem]:
    """Errors and warnings in the order of the files, then what plugins say."""
    found = check(loaded.root, loaded.params, literal_expressions=loaded.source.foreign)
    if not loaded.source.foreign:
        found += clashes(loaded.root, loaded.source.workflow.max_concurrency)
    found += sessions(loaded.root, app.config.defaults.agent)
    found += engines(app, loaded)
    missing: set[str] = set()
    for node in _leaves(loaded.root):
        found += _names(app, node, missing)
        found += look(app, node)
    for sentence in loaded.notes:
        found.append(Problem("", sentence, warning=True))
    for answer in app.hook.validate_workflow(workflow=loaded):
        found += [Problem("", str(sentence)) for sentence in answer or ()]
    return list(dict.fromkeys(found))


def _leaves(node: Node) -> Iterator[Node]:
    for child in node.children:
        if child.is_container:
            yield from _leaves(child)
        else:
            yield child


def _names(app: App, node: Node, missing: set[str]) -> Iterator[Problem]:
    """Agents, task types and checks that nobody brings; agents whose program is not here are told once."""
    given = node.definition
    agents = [given.get("cli") or given.get("agent")] if node.kind == "agent" else []
    agents.append((given.get("repairer") or {}).get("agent"))
    rule = given.get("repairable")
    agents.append(rule.get("agent") if isinstance(rule, dict) and "repairer" not in given else None)
    for name in dict.fromkeys(name for name in agents if name and "{{" not in name):
        if name not in app.agents:
            yield Problem(node.place, f"step '{node.id}': no agent is called '{name}'", suggestion(name, app.agents))
        elif name not in missing and shutil.which(app.agents[name].program) is None:
            missing.add(name)
            program = app.agents[name].program
            yield Problem(node.place, f"agent '{name}': '{program}' is not on this machine's PATH", warning=True)
    kind = str(given.get("task"))
    if node.kind == "agent" and (given.get("mode") in ("live", "interactive") or given.get("interactive")):
        said = f"step '{node.id}' is to be a conversation; here it gets one prompt and gives one answer"
        yield Problem(node.place, said, warning=True)
    if node.kind == "task" and kind in app.types and app.types[kind].container:
        yield Problem(node.place, f"step '{node.id}': a workflow is no task of its own here", "write `workflow: NAME`")
    if node.kind == "task" and kind not in app.types:
        yield Problem(node.place, f"step '{node.id}': no task type is called '{kind}'", suggestion(kind, app.types))
