"""The one model of a workflow: validation, JSON Schema, the documentation's tables and the Python builder come from it.

Names are accepted in the spellings that other tools use (`id`/`name`, `needs`/`dependsOn`, …); the first one is
kept and printed.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from runner.config.schema import Count, Positive, Seconds, Words
from runner.errors import suggestion

Permission = Literal["read-only", "edit", "full"]
PATTERNS = tuple(
    """pipeline dag fan-out hub-spoke consensus mesh handoff cascade debate hierarchical map-reduce scatter-gather
    supervisor reflection red-team verifier auction escalation saga circuit-breaker blackboard swarm review-loop
    competitive""".split()
)


def _pattern(value: str) -> str:
    if value not in PATTERNS:
        raise ValueError(f"there is no pattern '{value}' ({suggestion(value, PATTERNS)})")
    return value


Pattern = Annotated[str, AfterValidator(_pattern), WithJsonSchema({"enum": list(PATTERNS)})]

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ENVIRONMENT = re.compile(r"[^=\s\0]+")
_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError(f"'{value}' is not an id: use letters, digits, '_', '-' and '.'")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError(f"'{value}' is not a name for a value: use letters, digits, '_' and '-'")
    return value


def _text(value: Any) -> Any:
    """YAML's numbers and booleans where a text is meant: `default: 3`."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _tokens(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)", value.strip().lower())
        if match is None:
            raise ValueError(f"'{value}' is not a number (write 200000, 200k or 2M)")
        return int(float(match[1]) * _COUNTS[match[2]])
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _program(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("empty", "the command is empty")
    if "\0" in value:
        raise PydanticCustomError("nul", "the command has a NUL character")
    return value


def _environment(name: str) -> str:
    if not _ENVIRONMENT.fullmatch(name):
        raise PydanticCustomError("variable", f"'{name}' can't be the name of an environment variable")
    return name


Id = Annotated[str, AfterValidator(_id)]
Program = Annotated[str, AfterValidator(_program)]
Variable = Annotated[str, AfterValidator(_variable)]
Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Environment = dict[Annotated[str, AfterValidator(_environment)], Text]
Tokens = Annotated[
    int,
    Field(ge=1),
    BeforeValidator(_tokens),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}),
]
Globs = Annotated[
    Words,
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class Model(BaseModel):
    """The base of all parts: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Param(Model):
    """A parameter of a workflow; it is text."""

    name: Variable = Field(description="what `{{name}}` stands for")
    required: bool | None = Field(None, description="whether it must be given (default: when it has no default)")
    default: Text | None = Field(None, description="its value where none is given")
    description: str = Field("", description="what it is for")

    @property
    def needed(self) -> bool:
        """Whether a run can't start without it."""
        return self.default is None and self.required is not False


class Retry(Model):
    """How often a step that crashed, timed out, stalled or did nothing is tried again."""

    max: Count = Field(
        2, validation_alias=AliasChoices("max", "attempts", "maxRetries"), description="tries after the first"
    )
    delay: Seconds | None = Field(None, description="wait before it")


class Repairable(Model):
    """Who repairs red checks, and how often."""

    agent: str | None = Field(None, description="default: the step's own agent")
    attempts: Count = Field(2, description="repairs before a person is asked")


class Budget(Model):
    """What a run or step may spend; whatever is reached first ends it."""

    usd: Annotated[float, Field(gt=0)] | None = Field(None, description="US dollars, as the agents report them")
    tokens: Tokens | None = Field(None, description="tokens in and out: 200000, 200k, 2M")
    turns: Positive | None = Field(None, description="turns of agents")


class AgentUse(Model):
    """An agent under the name that this workflow gives it."""

    cli: str | None = Field(None, description="the agent of the installation it is (default: its own name)")
    model: str | None = Field(None, description="the model it is called with")
    role: str | None = Field(None, description="what it is told about itself")
    preset: Literal["lead", "worker", "reviewer", "analyst"] | None = Field(
        None, description="what it is told first; reviewer and analyst only read"
    )
    permission: Permission | None = Field(None, description="what it may do")
    retries: Count | None = Field(None, description="tries after the first, of its steps")
    timeout: Seconds | None = Field(None, description="wall clock of one attempt of its steps")
    interactive: bool | None = Field(
        None, description="meant for a conversation; here it gets one prompt, with a warning"
    )


class Session(Model):
    """A session of the whole run, under a name that steps can use."""

    name: Id = Field(description="what steps call it in `session`")
    agent: str | None = Field(None, description="whose session it is, for steps that name no agent")


class Loop(Model):
    """Repeat the steps: so many times, or once for each file that matches (or item of a list)."""

    max: Positive | None = Field(None, description="iterations at most; a `break_if` in the body ends it before")
    over: str | Words | None = Field(None, description="a glob below the working directory, or a list of values")
    as_: Variable | None = Field(
        None,
        validation_alias=AliasChoices("as", "as_"),
        serialization_alias="as",
        description="a name for the file or value of the iteration",
    )
    as_index: Variable | None = Field(None, description="a name for the number of the iteration, from 0")
    require_matches: bool = Field(False, description="whether no match at all is a failure")

    @model_validator(mode="after")
    def _one_kind(self) -> Loop:
        if (self.max is None) == (self.over is None):
            raise PydanticCustomError("loop", "a loop has either `max` or `over`")
        if self.over is not None and self.as_ is None:
            raise PydanticCustomError("loop", "a loop `over` files needs `as`: the name of each")
        if self.over is None and self.as_ is not None:
            raise PydanticCustomError("loop", "`as` belongs to a loop `over` something")
        return self


class Preflight(Model):
    """A command that must come out as it should before anything runs."""

    command: Program = Field(description="what is run, by `sh`")
    fail_if: str | None = Field(
        None, validation_alias=AliasChoices("fail_if", "failIf"), description="non-empty, empty, or a regex"
    )
    success_if: str | None = Field(
        None,
        validation_alias=AliasChoices("success_if", "successIf"),
        description="as `fail_if`; without either its exit code counts",
    )
    description: str = Field("", description="what it makes sure of")
    timeout: Seconds = Field(30.0, description="how long it may take")


class Worktree(Model):
    """A git worktree for the steps that come after."""

    branch: str = Field(description="the branch that is checked out there")
    base: str = Field(
        "HEAD",
        validation_alias=AliasChoices("base", "baseBranch", "base_branch"),
        description="what a new branch begins at",
    )
    path: str | None = Field(None, description="where it is (default: chosen for you)")
    create_branch: bool = Field(
        True,
        validation_alias=AliasChoices("create_branch", "createBranch"),
        description="make the branch when there is none",
    )


class Step(Model):
    """One step. Exactly one of the keys in `KINDS` says what it does."""

    id: Id = Field(validation_alias=AliasChoices("id", "name"), description="its name, once in its container")
    description: str = Field("", description="what it is for")

    # What it does
    prompt: str | None = Field(
        None, validation_alias=AliasChoices("prompt", "task_prompt"), description="what an agent is asked to do"
    )
    command: Program | None = Field(None, description="a command line for the shell; values stand in it as data")
    script: str | None = Field(None, description="a file to run, relative to the workflow's")
    loop: Loop | None = Field(None, description="runs its `steps` again and again")
    workflow: str | None = Field(None, description="a workflow's file or name")
    task: str | None = Field(None, description="a task type")
    gate: str | None = Field(None, description="a question to a person")
    preflight: tuple[Preflight, ...] | None = Field(
        None, description="commands that must come out right before anything else"
    )
    worktree: Worktree | None = Field(None, description="a git worktree for the steps after it")
    steps: tuple[Step, ...] | None = Field(None, description="a group of steps, or the body of a loop")

    # Where it stands
    needs: tuple[Id, ...] | None = Field(
        None,
        validation_alias=AliasChoices("needs", "dependsOn", "depends_on"),
        description="steps beside it that must have ended (default in a pipeline: the one before it)",
    )
    pattern: Pattern | None = Field(None, description="of its steps: `pipeline` (in order) or `dag`")
    when: str | None = Field(
        None, description="an expression; without always(), failure(), success() it means success() and …"
    )
    skip_if: str | None = Field(None, description="previous_success, or `sh: COMMAND`")
    break_if: Literal["success", "failure"] | None = Field(
        None, description="when it ends so, the loop around it ends, with success"
    )
    continue_on_failure: bool = Field(False, description="its failure is no failure of the run, and satisfies needs")

    # Agents
    agent: str | None = Field(
        None, description="an agent of `agents`, or of the installation (default: the configured one)"
    )
    cli: str | None = Field(None, description="the agent of the installation, whatever `agent` calls it")
    model: str | None = Field(None, description="the model the agent is called with")
    mode: Literal["one_shot", "headless", "autonomous", "live", "interactive", "shell"] | None = Field(
        None,
        description="one_shot, headless, autonomous: one prompt; so are live and interactive here, with a warning",
    )
    session: str | None = Field(None, description="new, resume, inherit, or the name of a session")
    permission: Permission | None = Field(None, description="what the agent may do")
    preset: Literal["lead", "worker", "reviewer", "analyst"] | None = Field(
        None, description="what the agent is told first; reviewer and analyst only read"
    )

    # Programs
    shell: Literal["sh", "bash"] | None = Field(
        None, description="what runs the command (default: `shell` of the workflow)"
    )
    env: Environment = Field(default_factory=dict, description="variables of its process")
    script_inputs: dict[str, Text] = Field(
        default_factory=dict, description="what the script gets as JSON on its standard input"
    )
    workdir: str | None = Field(
        None,
        validation_alias=AliasChoices("workdir", "cwd"),
        description="the folder it runs in, below that of the run, or an absolute path; "
        "of a loop, group or workflow: of all its steps",
    )
    capture: Variable | None = Field(None, description="a name for its output, for the steps after it")
    capture_stderr: bool = Field(
        False, description="keep standard error as `steps.X.stderr`, and after a failure in the capture"
    )
    capture_format: Literal["text", "json"] = Field(
        "text", description="`json`: the output must be JSON, and can be looked into"
    )

    # Others' parameters
    params: dict[str, Text] = Field(
        default_factory=dict, description="values for the parameters of the workflow that it runs"
    )
    with_: dict[str, Any] = Field(
        default_factory=dict,
        validation_alias=AliasChoices("with", "with_"),
        serialization_alias="with",
        description="the payload of the task",
    )
    machine: str | None = Field(None, description="the machine it must run on")
    returns: Literal["changes"] | None = Field(None, description="`changes`: what it changed elsewhere comes back")
    options: tuple[str, ...] | None = Field(None, description="the answers a person may give (default: any text)")
    deadline: Seconds | None = Field(None, description="how long it waits for a person; then `default` is the answer")
    default: str | None = Field(None, description="the answer when the deadline is over")

    # What must hold
    verify: tuple[Any, ...] = Field(
        (),
        validation_alias=AliasChoices("verify", "checks"),
        description="checks that must be green: `- command: pytest -q`",
    )
    expects: Literal["changes", "answer", "none"] | None = Field(
        None, description="what must be there at the end (default: `changes` of an agent that may edit)"
    )
    artifacts: Globs = Field((), description="files to keep, by globs")
    may_edit: Globs = Field((), description="files of its gate that it may change all the same")
    protect: Globs = Field((), description="files that are sealed besides those the checks depend on")
    repairable: bool | Repairable | None = Field(None, description="red checks go to an agent before the step fails")
    retries: Count | None = Field(
        None, description="tries after the first when it crashed, timed out, stalled or did nothing"
    )
    retry_from: Literal["tree", "clean"] | None = Field(
        None, description="a retry keeps the files (`tree`), or begins as the first try did (`clean`)"
    )
    retry_session: Literal["new", "resume"] | None = Field(None, description="the session of a retry")
    on_unknown: Literal["retry", "resume", "verify", "hold"] | None = Field(
        None, description="what becomes of an attempt that began and has no result, after a crash"
    )
    timeout: Seconds | None = Field(None, description="wall clock of one attempt: 90, 15m, 1h30m")
    budget: Budget | None = Field(None, description="what it may spend")

    # Who may run beside it
    writes: Literal["shared", "isolated", "none"] | None = Field(
        None,
        description="where it may edit: beside the others (shared), in a worktree that is merged (isolated), nowhere",
    )
    touches: Globs = Field((), description="the only files it edits")

    @property
    def kind(self) -> str:
        """`agent`, `shell`, `script`, `loop`, `group`, `workflow`, `task`, `gate`, `preflight` or `worktree`."""
        return kind_of(self)

    @model_validator(mode="after")
    def _whole(self) -> Step:
        kind = kind_of(self)
        given = {name for name in self.model_fields_set if getattr(self, name) not in (None, (), {}, False)}
        for name in sorted(given - _COMMON - _OF_KIND[kind]):
            owners = [other for other, names in _OF_KIND.items() if name in names]
            shown = name.rstrip("_")
            raise PydanticCustomError("misplaced", f"'{shown}' belongs to {_and(owners)} steps; this is a {kind} step")
        if self.mode == "shell" and kind != "shell":
            raise PydanticCustomError("mode", "`mode: shell` needs a `command`")
        if kind == "shell" and self.mode not in (None, "shell", "interactive"):
            raise PydanticCustomError("mode", f"`mode: {self.mode}` is for agents; this step has a `command`")
        return self


KINDS = {
    "prompt": "agent",
    "command": "shell",
    "script": "script",
    "loop": "loop",
    "workflow": "workflow",
    "task": "task",
    "gate": "gate",
    "preflight": "preflight",
    "worktree": "worktree",
    "steps": "group",
}
"""The key that makes a step what it is, and what that is (`loop` comes with `steps`)."""

_RUNS = {
    "verify",
    "expects",
    "artifacts",
    "may_edit",
    "protect",
    "repairable",
    "retries",
    "retry_from",
    "on_unknown",
    "budget",
}
_WRITES = {"writes", "touches"}
_COMMON = frozenset(
    ("id", "description", "needs", "when", "skip_if", "break_if", "continue_on_failure", "timeout", *KINDS)
)
_OF_KIND = {
    "agent": {"agent", "cli", "model", "mode", "session", "permission", "preset", "retry_session", "workdir", "env"}
    | {"capture", "machine", "returns"}
    | _RUNS
    | _WRITES,
    "shell": {"shell", "env", "workdir", "capture", "capture_stderr", "capture_format", "mode"} | _RUNS | _WRITES,
    "script": {"script_inputs", "env", "workdir", "capture", "capture_stderr", "capture_format"} | _RUNS | _WRITES,
    "loop": {"pattern", "workdir"},
    "group": {"pattern", "workdir"},
    "workflow": {"params", "workdir"},
    "task": {"with_", "machine", "returns", "agent", "model", "capture"} | _RUNS | _WRITES,
    "gate": {"options", "deadline", "default", "capture"},
    "preflight": {"env", "workdir"},
    "worktree": {"workdir"},
}


def kind_of(step: Any) -> str:
    """The one kind of a step; an error names what is missing or too much."""
    found = [key for key in KINDS if getattr(step, key) is not None]
    if "loop" in found:
        if "steps" not in found:
            raise PydanticCustomError("kind", "a loop needs `steps`")
        found.remove("steps")
    if len(found) == 1:
        return KINDS[found[0]]
    if not found:
        raise PydanticCustomError("kind", f"nothing says what the step does: give it one of {_and(list(KINDS), 'or')}")
    raise PydanticCustomError("kind", f"a step does one thing; this has {_and(found)}")


def _and(words: list[str], joint: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}"


class OnError(Model):
    """What a failing step means for the run."""

    strategy: Literal["fail-fast", "continue"] = Field(
        "fail-fast", description="after a failure start nothing new, or go on with what does not need the step"
    )
    retry: Retry | None = Field(None, description="how often steps are tried again")


def _on_error(value: Any) -> Any:
    return {"strategy": value} if isinstance(value, str) else value


class Insert(Model):
    """Steps that come into an extended workflow."""

    after: Id | None = Field(None, description="the step they come after")
    before: Id | None = Field(None, description="the step they come before")
    steps: tuple[Step, ...] = Field(description="what comes in")

    @model_validator(mode="after")
    def _one_place(self) -> Insert:
        if (self.after is None) == (self.before is None):
            raise PydanticCustomError("insert", "say either `after` or `before` which step")
        return self


class Engine(BaseModel):
    """A plugin that knows this kind of workflow; its own settings stand beside `type`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="its name; `runner plugins` lists them")


class Workflow(Model):
    """A workflow: its parameters, agents, rules and steps."""

    name: str = Field("", description="what runs are called by (default: the name of the file)")
    description: str = Field("", description="what it is for")
    version: Text | None = Field(None, description="for its readers")
    params: tuple[Param, ...] = Field((), description="what it must be given")
    agents: dict[Id, AgentUse] = Field(default_factory=dict, description="agents, under the names that steps use")
    sessions: tuple[Session, ...] = Field((), description="sessions of the whole run, for steps to share")
    engine: Engine | None = Field(None, description="a plugin that knows this kind of workflow")
    pattern: Pattern = Field(
        "pipeline", description="`pipeline`: each step needs the one before it; `dag`: only `needs`"
    )
    max_concurrency: Positive = Field(
        4, validation_alias=AliasChoices("max_concurrency", "maxConcurrency"), description="steps at once, at most"
    )
    timeout: Seconds | None = Field(
        None, description="wall clock of the run; waiting for people and limits does not count"
    )
    budget: Budget | None = Field(None, description="what the run may spend")
    on_error: Annotated[OnError, BeforeValidator(_on_error)] = Field(
        OnError.model_validate({}), description="what a failing step means for the run; a word is its `strategy`"
    )
    repairable: bool | Repairable | None = Field(None, description="as in a step, for all steps that say nothing")
    shell: Literal["sh", "bash"] = Field("sh", description="what runs commands")
    env: Environment = Field(default_factory=dict, description="variables of all its processes")
    outputs: dict[Variable, str] = Field(default_factory=dict, description="what a sub-workflow gives back")
    packages: Globs = Field((), description="parts of the repository it touches, for `plan` of several workflows")
    isolated_from: Globs = Field(
        (),
        validation_alias=AliasChoices("isolated_from", "isolatedFrom"),
        description="workflows that must not run beside it, for `plan`",
    )
    requires_before: Globs = Field(
        (),
        validation_alias=AliasChoices("requires_before", "requiresBefore"),
        description="workflows that must have run before it, for `plan`",
    )
    extends: str | None = Field(None, description="a workflow that this one is, but for what it says")
    override: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="by the id of a step of that workflow: keys that change"
    )
    insert: tuple[Insert, ...] = Field((), description="steps that come into that workflow")
    steps: tuple[Step, ...] = Field((), description="what is run")

    @model_validator(mode="after")
    def _has_steps(self) -> Workflow:
        if not self.steps and self.extends is None:
            raise PydanticCustomError("steps", "a workflow needs `steps`")
        if (self.override or self.insert) and self.extends is None:
            raise PydanticCustomError("extends", "`override` and `insert` need `extends`")
        return self
