"""What a `test_*.yaml` says: the workflow, and its cases with files, played agents, answers, and what must come."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from runner.workflows.model import Model
from runner.workflows.model import Text as Word

State = Literal["pending", "waiting", "done", "failed", "skipped", "not_run", "cancelled"]


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"'{value}' is not a regular expression: {error}") from None
    return value


def _inside(value: str) -> str:
    """A path in the case's project: relative, and never out of it."""
    parts = value.split("/")
    if not value or value.startswith(("/", "~")) or ".." in parts or ".git" in parts:
        raise ValueError(f"'{value}' must be a path inside the project")
    return value


Texts = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
Pattern = Annotated[str, AfterValidator(_regex)]
Inside = Annotated[str, AfterValidator(_inside)]
_ANY_OF: Final = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_TEXT_SCHEMA: Final = {"anyOf": [{"type": "string"}, {"type": "object"}]}


class Play(Model):
    """What an agent does when it is asked once, in this order. In `say` the directives of the agent `script` work."""

    write: dict[Inside, str] = Field(default_factory=dict, description="files that it writes")
    delete: tuple[Inside, ...] = Field((), description="files that it deletes")
    run: str | None = Field(None, description="a command that it runs by sh")
    say: str = Field("", description="its final message; directives in it are done and taken out of it")
    exit: int | None = Field(None, ge=0, le=90, description="the exit code it ends with, without a final message")


def _script(value: Any) -> Any:
    if isinstance(value, str):
        return {"plays": [{"say": value}], "always": True}
    if isinstance(value, list):
        return {"plays": [{"say": one} if isinstance(one, str) else one for one in value]}
    if isinstance(value, dict) and not {"cassette", "match", "plays"} & set(value):
        return {"plays": [value], "always": True}
    return value


class Script(Model):
    """How an agent is played: by `plays`, one for each time it is asked (`always`: one for all), or by a cassette."""

    plays: tuple[Play, ...] = Field((), description="one for each time")
    always: bool = Field(False, description="the one play is for every time")
    cassette: str | None = Field(None, description="a file of `runner record`, relative to the test file")
    match: Literal["strict", "loose"] = Field(
        "strict", description="whether a prompt that differs from the recorded one is an error or a warning"
    )

    @model_validator(mode="after")
    def _either(self) -> Script:
        if (self.cassette is None) == (not self.plays):
            raise ValueError("an agent is played by texts or by a cassette, one of them")
        return self


_SCRIPT_SCHEMA: Final = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"anyOf": [{"type": "string"}, Play.model_json_schema()]}, "minItems": 1},
        {
            "type": "object",
            "required": ["cassette"],
            "properties": {"cassette": {"type": "string"}, "match": {"enum": ["strict", "loose"]}},
            "additionalProperties": False,
        },
        Play.model_json_schema(),
    ]
}
Played = Annotated[Script, BeforeValidator(_script), WithJsonSchema(_SCRIPT_SCHEMA)]


def _equals(value: Any) -> Any:
    if isinstance(value, bool):
        return {"equals": str(value).lower()}
    return {"equals": str(value)} if isinstance(value, (str, int, float)) else value


class TextExpect(Model):
    """What a text must be like; a text alone is what it must equal (blank lines around it do not count)."""

    equals: str | None = None
    contains: Texts = Field((), description="all of these occur in it")
    lacks: Texts = Field((), description="none of these occurs in it")
    matches: Pattern | None = Field(None, description="a regular expression that is found in it")


class FileExpect(TextExpect):
    """What a file must be like; `absent: true`: there must be none."""

    absent: bool = False


Like = Annotated[TextExpect, BeforeValidator(_equals), WithJsonSchema(_TEXT_SCHEMA)]
FileLike = Annotated[FileExpect, BeforeValidator(_equals), WithJsonSchema(_TEXT_SCHEMA)]
Answers = Annotated[tuple[Word, ...], BeforeValidator(_one_or_more), WithJsonSchema(_ANY_OF)]


class Expect(Model):
    """What must come of a case. Steps are named by their paths; `loop/fix` means all iterations of `loop[…]/fix`."""

    status: Literal["done", "failed", "needs_human", "scheduled", "cancelled"] = Field(
        "done", description="what the run comes to"
    )
    summary: Like | None = Field(None, description="the run's own sentence on what came of it")
    question: Like | None = Field(None, description="what a person is asked at its end")
    steps: dict[str, State] = Field(default_factory=dict, description="the state of steps")
    outcomes: dict[str, str] = Field(default_factory=dict, description="the outcome of steps: ok, no_op, crashed, …")
    attempts: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="how often steps were tried, retries and repairs included"
    )
    output: dict[str, Like] = Field(default_factory=dict, description="what steps gave out")
    prompts: dict[str, Like] = Field(default_factory=dict, description="what the agent of a step was asked last")
    files: dict[Inside, FileLike] = Field(default_factory=dict, description="files of the project afterwards")
    outputs: dict[str, Like] = Field(default_factory=dict, description="outputs of the workflow")
    ran: Texts = Field((), description="steps that ran")
    not_ran: Texts = Field((), description="steps that did not")
    order: tuple[tuple[str, ...], ...] = Field((), description="lists of steps, each begun before the next one")


class Common(Model):
    """What a case says, or the file for all its cases (a case's own names go first)."""

    params: dict[str, Word] = Field(default_factory=dict, description="values of the workflow's parameters")
    copy_: Texts = Field((), alias="copy", description="folders whose content the project starts with")
    files: dict[Inside, str] = Field(default_factory=dict, description="files the project starts with, by path")
    agents: dict[str, Played] = Field(
        default_factory=dict, description="how agents are played: by path of a step, `STEP@AGENT`, or agent"
    )
    answers: dict[str, Answers] = Field(
        default_factory=dict, description="by path of a step: what a person answers each time it asks"
    )
    env: dict[str, Word] = Field(default_factory=dict, description="environment variables of the run")
    timeout: Annotated[float, Field(gt=0)] | None = Field(None, description="seconds a case may take (default: 120)")


class Case(Common):
    """One run of the workflow."""

    name: str = Field(min_length=1)
    expect: Expect = Field(default_factory=lambda: Expect.model_validate({}))


class FlowTest(Common):
    """A file of workflow tests."""

    workflow: str = Field(min_length=1, description="its name, or its file relative to this one")
    cases: tuple[Case, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> FlowTest:
        seen: set[str] = set()
        for case in self.cases:
            if case.name in seen:
                raise ValueError(f"two cases are called '{case.name}'")
            seen.add(case.name)
        return self
