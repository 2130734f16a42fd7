"""Makes a new skill: its handler, its test and its entry in skills.yaml, all of them or none."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import UsageError, suggestion
from runner.project import shown
from runner.skills.files import NewFiles, only_one, replace_text
from runner.skills.registry import FILE, read_text
from runner.skills.yamledit import add_key

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from runner.skills.registry import Skill

_HEAD = """\
# The skills of this project; an entry here replaces the shipped one of its name. Editors: runner schema skills
"""


@dataclass(frozen=True, slots=True)
class NewSkill:
    """What a person says about a new skill; `type` is the task type that it brings."""

    name: str
    type: str
    description: str = ""
    category: str = "custom"
    check: str = ""
    install: Mapping[str, str] = field(default_factory=dict)

    @property
    def handler(self) -> str:
        return f"handlers/{self.type}.py"

    @property
    def test(self) -> str:
        return f"tests/test_handlers_{self.type.replace('-', '_')}.py"

    def entry(self) -> dict[str, Any]:
        """Its entry in skills.yaml; what was left empty is left out."""
        values: dict[str, Any] = {
            "description": self.description,
            "category": self.category,
            "check": self.check,
            "install": {os: command for os, command in self.install.items() if command},
            "task_types": [self.type],
            "handler": self.handler,
        }
        return {key: value for key, value in values.items() if value}


def type_of(name: str) -> str:
    """The task type that a skill's name suggests: `summarise-pr` → `summarise_pr`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def check_new(new: NewSkill, root: Path, skills: Mapping[str, Skill], types: Collection[str]) -> None:
    """A UsageError when the skill can't be made as it is: a name that is no name, or anything that is there already."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", new.name):
        raise UsageError(f"'{new.name}' can't be a skill's name", "use letters, digits, '-', '_' and '.'")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", new.type):
        raise UsageError(f"'{new.type}' can't be a task type", "use letters, digits, '_' and '-'")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", new.category):
        raise UsageError(f"'{new.category}' can't be a category", "use letters, digits, '-' and '_'")
    for what, text in (("the description", new.description), ("the check", new.check), *new.install.items()):
        if any(ord(sign) < 32 or ord(sign) == 127 or 0xD800 <= ord(sign) < 0xE000 for sign in text):
            raise UsageError(f"{what} of '{new.name}' has a line break or a control character", "write one line")
    near = suggestion(new.category, known := {"custom", *(skill.category for skill in skills.values())})
    if new.category not in known and near.startswith("did you mean"):
        raise UsageError(f"no category is called '{new.category}'", near)
    if new.name in skills:
        raise UsageError(f"there is a skill '{new.name}' already ({skills[new.name].place})", "choose another name")
    for file in (new.handler, new.test):
        if (root / file).exists() or (root / file).is_symlink():
            raise UsageError(f"{shown(root / file)} is there already", "choose another name or --task-type")
    if new.type in types:
        raise UsageError(f"there is a task type '{new.type}' already", "choose another one: --task-type")


def create(new: NewSkill, root: Path) -> None:
    """Write handler, test and entry; when one of them can't be, the others are not there either."""
    path = root / FILE
    with only_one(root), NewFiles() as files:
        text = read_text(path)
        changed = add_key(_HEAD if text is None else text, shown(path), ("skills",), new.name, new.entry())
        files.write(root / new.handler, handler_text(new))
        files.write(root / new.test, test_text(new))
        replace_text(path, changed)


def _quoted(text: str) -> str:
    """The text as it may stand inside a docstring."""
    return text.replace("\\", "\\\\").replace('"', "'")


def handler_text(new: NewSkill) -> str:
    """The handler: complete, and the least that shows all a handler may do."""
    summary = _quoted(new.description).rstrip(".") or f"What the task type {new.type} does"
    return f'''"""{summary}."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from runner import Context

requires: list[str] = []
"""What a machine must offer to take these tasks, such as "docker" or "os:macos"."""


class Payload(BaseModel):
    """What a task of this type is given. `runner submit` checks it before the task is queued."""

    # With extra="forbid" a misspelled field is an error.
    model_config = ConfigDict(extra="allow")

    message: str = Field("hello", description="what the script below prints")


def run(payload: Payload, context: Context) -> str:
    """Do one task. Replace what is here.

    `context.workspace` is the folder to work in, `context.process` runs a program that is ended with the task,
    `context.artifact` keeps a file. Return text, a dict, a StepResult or None; an exception means it crashed.
    """
    done = context.process(["sh", "-c", 'echo "$1"', "sh", payload.message])
    if done.exit_code != 0:
        raise RuntimeError(f"the script ended with {{done.exit_code}}")
    return done.stdout.read_text().strip()
'''


def test_text(new: NewSkill) -> str:
    """Its test: plain pytest, a real process, no queue and no worker."""
    return f'''"""The task type {new.type}. Run it: python -m pytest {new.test}"""

from __future__ import annotations

from pathlib import Path

from runner.testing.handler import run_handler

HANDLER = Path(__file__).parent.parent / "handlers" / "{new.type}.py"


def test_it_answers_with_its_message(tmp_path: Path) -> None:
    result = run_handler(HANDLER, {{"message": "hi there"}}, tmp_path)
    assert (result.outcome, result.output) == ("ok", "hi there")


def test_it_needs_no_payload(tmp_path: Path) -> None:
    assert run_handler(HANDLER, {{}}, tmp_path).outcome == "ok"
'''
