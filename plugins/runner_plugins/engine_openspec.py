"""The engine `openspec`: steps named after the artifacts of an OpenSpec change are told what to write, and checked.

engine: {type: openspec, change_param: change_name}

A step whose id is an artifact of the change gets where to write it, what to read before, the instruction and the
template in its prompt; the check `openspec` looks whether the artifact is there. Other steps are left alone.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner import UsageError, hookimpl
from runner.errors import suggestion
from runner.logtext import last_line
from runner.model import CheckSpec, Verdict
from runner_plugins.gate_process import gate_env, log_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner import Check, Context, Step
    from runner.workflows import Loaded
    from runner.workflows.nodes import Node

TYPE: Final = "openspec"
PARAM: Final = "change_name"
"""The parameter that names the change, when the engine's settings don't."""
_SETTINGS: Final = ("type", "change_param")
_SECONDS: Final = 60.0
"""For one answer of the program."""


# Before a run


@hookimpl
def validate_workflow(workflow: Loaded) -> Sequence[str]:
    """The settings of the engine, and, where the change is known by a default, whether each artifact has a step."""
    source = workflow.source
    engine = source.workflow.engine
    if engine is None or engine.type != TYPE:
        return ()
    settings = engine.model_dump()
    found = [
        f"{source.place('engine', key)}: the engine openspec has no setting '{key}' ({suggestion(key, _SETTINGS)})"
        for key in settings
        if key not in _SETTINGS
    ]
    name = settings.get("change_param", PARAM)
    params = {param.name: param for param in workflow.params}
    if name not in params:
        place = source.place("engine", "change_param")
        hint = suggestion(str(name), params) if params else f"write: params: [{{name: {name}}}]"
        return [*found, f"{place}: the engine openspec takes the change from '{name}', which is no parameter ({hint})"]
    change = params[name].default
    if change:
        try:
            known = _listed(_once(["status", "--change", _safe(change), "--json"]))
        except (UsageError, OSError):
            return found  # the change, or the program, is not there yet
        steps = {node.id for node in _nodes(workflow.root)}
        found += [
            f"{source.place('engine')}: no step makes the artifact '{id}' of the change '{change}' (give one that id)"
            for id in known
            if id not in steps
        ]
    return found


def _nodes(root: Node) -> Iterator[Node]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack += node.children


def _once(words: list[str]) -> Any:
    """The answer of the program where there is no step that it would be part of."""
    import subprocess  # here: 9 ms, and most commands only ask for the checks

    program = shutil.which("openspec")
    if program is None:
        raise UsageError("the program 'openspec' is not on PATH")
    try:
        done = subprocess.run([program, *words], capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError(f"openspec {words[0]} did not end") from None
    if done.returncode:
        raise UsageError(f"openspec {words[0]} ended with {done.returncode}")
    return _json(done.stdout.decode("utf-8", "replace"), words[0])


# In a step


@hookimpl
def enrich_prompt(step: Step, context: Context) -> str | None:
    """What OpenSpec says about the artifact that the step is to write; nothing for other steps."""
    change = _change(context)
    if change is None:
        return None
    try:
        status = _asked(context, ["status", "--change", change, "--json"], "openspec-status", context.env)
    except _Refused as refused:
        # The change may not exist yet: then this step is not the one that writes a part of it.
        context.log(f"{refused.message}; the prompt stays as it is")
        return None
    artifact = _artifact(step)
    if artifact not in _listed(status):
        return None
    words = ["instructions", artifact, "--change", change, "--json"]
    return _told(artifact, change, _asked(context, words, "openspec-instructions", context.env), context.workspace)


def _told(artifact: str, change: str, given: Any, workspace: Path) -> str:
    """The part of the prompt."""
    folder = _folder(given, change, workspace)
    parts = [
        f"This step writes the artifact '{artifact}' of the OpenSpec change '{change}'.",
        f"Write it to: {folder / str(given.get('outputPath') or artifact)}",
    ]
    needed = [one for one in given.get("dependencies") or () if isinstance(one, dict)]
    if needed:
        lines = [
            f"- {folder / str(one.get('path', ''))}"
            + (f": {one['description']}" if one.get("description") else "")
            + ("" if one.get("done", True) else " (not there yet)")
            for one in needed
        ]
        parts.append("\n".join(["Read before:", *lines]))
    for key, what in (("context", "About the project, for you and not for the file:"), ("rules", "Keep to:")):
        value = given.get(key)
        if value:
            text = "\n".join(f"- {line}" for line in value) if isinstance(value, list) else str(value).strip()
            parts.append(f"{what}\n\n{text}")
    if given.get("instruction"):
        parts.append(str(given["instruction"]).strip())
    if given.get("template"):
        parts.append(f"Follow this template:\n\n<template>\n{str(given['template']).strip()}\n</template>")
    return "\n\n".join(parts)


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`openspec`: for the artifact that the step is called after, `openspec: design` for another."""
    return {TYPE: CheckSpec("an artifact of the OpenSpec change is there", parse)}


def parse(value: Any) -> str | None:
    """Nothing (the step's own artifact), or the id of one."""
    if value in (None, "", True, {}):
        return None
    if not isinstance(value, str):
        raise ValueError("it takes the id of an artifact, or nothing")
    return value


@hookimpl
def verify(check: Check, step: Step, context: Context) -> Verdict:
    """OpenSpec counts it as done, and its file is there and not empty. A step that is no artifact is well."""
    change = _change(context)
    if change is None:
        return Verdict(False, "there is no OpenSpec change: the workflow has no `engine: {type: openspec}`")
    given = parse(check.value)
    artifact = given or _artifact(step)
    words = ["status", "--change", change, "--json"]
    status = _asked(context, words, log_name(check, step, context), gate_env(context.env))
    listed = _listed(status)
    if artifact not in listed:
        if given is None:
            return Verdict(True, f"'{artifact}' is no artifact of the change '{change}'")
        return Verdict(False, f"the change '{change}' has no artifact '{artifact}' ({suggestion(artifact, listed)})")
    one = listed[artifact]
    state = str(one.get("status"))
    evidence: dict[str, Any] = {"change": change, "artifact": artifact, "status": state}
    if state == "skipped":
        return Verdict(True, f"the change '{change}' does without '{artifact}'", evidence)
    pattern = str(one.get("outputPath") or "")
    files = _files(_folder(status, change, context.workspace), pattern)
    evidence |= {"expected": pattern, "files": [os.path.relpath(file, context.workspace) for file in files]}
    if state != "done":
        missing = [str(id) for id in one.get("missingDeps") or ()]
        why = f"it is {state}" + (f", for want of {', '.join(missing)}" if missing else "")
        return Verdict(False, f"the artifact '{artifact}' ({pattern}) is not done: {why}", evidence)
    if pattern and not any(file.stat().st_size for file in files):
        what = "is empty" if files else "is not there"
        return Verdict(False, f"the artifact '{artifact}' ({pattern}) {what}", evidence)
    return Verdict(True, f"the artifact '{artifact}' is done", evidence)


def _files(folder: Path, pattern: str) -> list[Path]:
    """What of the change an output path (a file, or a glob) means."""
    if not pattern or os.path.isabs(pattern):
        return [Path(pattern)] if pattern and Path(pattern).is_file() else []
    return sorted(path for path in folder.glob(pattern) if path.is_file())


# What both need


class _Refused(UsageError):
    """The program ran and said no."""


def _change(context: Context) -> str | None:
    """The change that the workflow is about; None when it has another engine or none."""
    flow = getattr(context, "workflow", None)  # a handler may be asked outside of any workflow
    engine: Mapping[str, Any] = (flow or {}).get("engine") or {}
    if flow is None or engine.get("type") != TYPE:
        return None
    name = str(engine.get("change_param") or PARAM)
    change = (flow.get("params") or {}).get(name)
    if not change:
        raise UsageError(f"the engine openspec: the parameter '{name}' names no change", f"give it: {name}=CHANGE")
    return _safe(str(change))


def _safe(change: str) -> str:
    if change.startswith((".", "-")) or any(sign in change for sign in "/\\\0"):
        raise UsageError(f"'{change}' is no name of an OpenSpec change", "use letters, digits and '-'")
    return change


def _artifact(step: Step) -> str:
    return step.id.rpartition("/")[2]


def _folder(given: Any, change: str, workspace: Path) -> Path:
    """The change's folder: what the program says, else where it always is."""
    said = given.get("changeDir") or given.get("changeRoot")
    return workspace / str(said) if said else workspace / "openspec" / "changes" / change


def _asked(context: Context, words: list[str], name: str, env: Mapping[str, str]) -> Any:
    """The program's JSON, asked in the step's workspace."""
    program = shutil.which("openspec", path=env.get("PATH", ""))
    if program is None:
        raise UsageError(
            "the engine openspec needs the program 'openspec' on PATH", "npm install -g @fission-ai/openspec"
        )
    done = context.process([program, *words], env={**env, "NO_COLOR": "1"}, timeout=_SECONDS, name=name)
    if done.limit is not None:
        raise _Refused(f"openspec {words[0]} did not end within {_SECONDS:g} s")
    if done.exit_code != 0:
        why = last_line(done.stderr) or last_line(done.stdout) or f"exit code {done.exit_code}"
        raise _Refused(f"openspec {words[0]}: {why}")
    return _json(done.stdout.read_text(encoding="utf-8", errors="replace"), words[0])


def _json(text: str, word: str) -> Any:
    try:
        found = json.loads(text[text.index("{") :])
    except (ValueError, RecursionError):
        raise UsageError(f"openspec {word} did not answer with JSON", "update it: 1.0 or newer is needed") from None
    return found if isinstance(found, dict) else {}


def _listed(status: Any) -> dict[str, Mapping[str, Any]]:
    """The artifacts of a change by id."""
    return {str(one["id"]): one for one in status.get("artifacts") or () if isinstance(one, dict) and "id" in one}
