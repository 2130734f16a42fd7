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


Id = Annotated[str, AfterValidator(_id)]
Variable = Annotated[str, AfterValidator(_variable)]
Text = Annotated[str, BeforeValidator(_text)]
Tokens = Annotated[int, Field(ge=1), BeforeValidator(_tokens)]
Globs = Annotated[Words, BeforeValidator(_listed)]


class Model(BaseModel):
    """The base of all parts: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Param(Model):
    """A parameter of a workflow; it is text."""

    name: Variable
    required: bool | None = Field(None, description="whether it must be given (default: when it has no default)")
    default: Text | None = None
    description: str = ""

    @property
    def needed(self) -> bool:
        """Whether a run can't start without it."""
        return self.default is None and self.required is not False


class Retry(Model):
    """How often a step that crashed, timed out, stalled or did nothing is tried again."""

    max: Count = Field(2, validation_alias=AliasChoices("max", "attempts", "maxRetries"))
    delay: Seconds | None = Field(None, description="wait before it")


class Repairable(Model):
    """Who repairs red checks, and how often."""

    agent: str | None = Field(None, description="default: the step's own agent")
    attempts: Count = 2


class Budget(Model):
    """What a run or step may spend; whatever is reached first ends it."""

    usd: Annotated[float, Field(gt=0)] | None = None
    tokens: Tokens | None = None
    turns: Positive | None = None


class AgentUse(Model):
    """An agent under the name that this workflow gives it."""

    cli: str | None = Field(None, description="the agent of the installation it is (default: its own name)")
    model: str | None = None
    role: str | None = Field(None, description="what it is told about itself")
    preset: Literal["lead", "worker", "reviewer", "analyst"] | None = None
    permission: Permission | None = None
    retries: Count | None = None
    timeout: Seconds | None = None
    interactive: bool | None = Field(None, description="a live session that gets messages, instead of one prompt")


class Session(Model):
    """A session of the whole run, under a name that steps can use."""

    name: Id
    agent: str | None = None


class Loop(Model):
    """Repeat the steps: so many times, or once for each file that matches (or item of a list)."""

    max: Positive | None = Field(None, description="iterations at most; a `break_if` in the body ends it before")
    over: str | Words | None = Field(None, description="a glob below the working directory, or a list of values")
    as_: Variable | None = Field(None, validation_alias=AliasChoices("as", "as_"), serialization_alias="as")
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

    command: str
    fail_if: str | None = Field(
        None, validation_alias=AliasChoices("fail_if", "failIf"), description="non-empty, empty, or a regex"
    )
    success_if: str | None = Field(None, validation_alias=AliasChoices("success_if", "successIf"))
    description: str = ""
    timeout: Seconds = 30.0


class Worktree(Model):
    """A git worktree for the steps that come after."""

    branch: str
    base: str = Field("HEAD", validation_alias=AliasChoices("base", "baseBranch", "base_branch"))
    path: str | None = None
    create_branch: bool = Field(True, validation_alias=AliasChoices("create_branch", "createBranch"))


class Step(Model):
    """One step. Exactly one of the keys in `KINDS` says what it does."""

    id: Id = Field(validation_alias=AliasChoices("id", "name"))
    description: str = ""

    # What it does
    prompt: str | None = Field(None, validation_alias=AliasChoices("prompt", "task_prompt"))
    command: str | None = None
    script: str | None = Field(None, description="a file to run, relative to the workflow's")
    loop: Loop | None = None
    workflow: str | None = Field(None, description="a workflow's file or name")
    task: str | None = Field(None, description="a task type")
    gate: str | None = Field(None, description="a question to a person")
    preflight: tuple[Preflight, ...] | None = None
    worktree: Worktree | None = None
    steps: tuple[Step, ...] | None = None

    # Where it stands
    needs: tuple[Id, ...] | None = Field(None, validation_alias=AliasChoices("needs", "dependsOn", "depends_on"))
    pattern: Pattern | None = Field(None, description="of its steps: `pipeline` (in order) or `dag`")
    when: str | None = Field(
        None, description="an expression; without always(), failure(), success() it means success() and …"
    )
    skip_if: str | None = Field(None, description="previous_success, or `sh: COMMAND`")
    break_if: Literal["success", "failure"] | None = None
    continue_on_failure: bool = False

    # Agents
    agent: str | None = None
    cli: str | None = None
    model: str | None = None
    mode: Literal["one_shot", "headless", "autonomous", "live", "interactive", "shell"] | None = None
    session: str | None = Field(None, description="new, resume, inherit, or the name of a session")
    permission: Permission | None = None
    preset: Literal["lead", "worker", "reviewer", "analyst"] | None = None

    # Programs
    shell: Literal["sh", "bash"] | None = None
    env: dict[str, Text] = Field(default_factory=dict)
    script_inputs: dict[str, Text] = Field(default_factory=dict)
    workdir: str | None = Field(None, validation_alias=AliasChoices("workdir", "cwd"))
    capture: Variable | None = None
    capture_stderr: bool = False
    capture_format: Literal["text", "json"] = "text"

    # Others' parameters
    params: dict[str, Text] = Field(default_factory=dict)
    with_: dict[str, Any] = Field(
        default_factory=dict, validation_alias=AliasChoices("with", "with_"), serialization_alias="with"
    )
    machine: str | None = None
    returns: Literal["changes"] | None = None
    options: tuple[str, ...] | None = None
    deadline: Seconds | None = None
    default: str | None = None

    # What must hold
    verify: tuple[Any, ...] = Field((), validation_alias=AliasChoices("verify", "checks"))
    expects: Literal["changes", "answer", "none"] | None = None
    artifacts: Globs = ()
    may_edit: Globs = ()
    protect: Globs = ()
    repairable: bool | Repairable | None = None
    retries: Count | None = None
    retry_from: Literal["tree", "clean"] | None = None
    retry_session: Literal["new", "resume"] | None = None
    on_unknown: Literal["retry", "resume", "verify", "hold"] | None = None
    timeout: Seconds | None = None
    budget: Budget | None = None

    # Who may run beside it
    writes: Literal["shared", "isolated", "none"] | None = None
    touches: Globs = ()
    packages: Globs = ()
    isolated_from: Globs = Field((), validation_alias=AliasChoices("isolated_from", "isolatedFrom"))
    requires_before: Globs = Field((), validation_alias=AliasChoices("requires_before", "requiresBefore"))

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

_RUNS = {"expects", "artifacts", "may_edit", "protect", "repairable", "retries", "retry_from", "on_unknown", "budget"}
_WRITES = {"writes", "touches", "packages", "isolated_from", "requires_before"}
_COMMON = frozenset(
    ("id", "description", "needs", "when", "skip_if", "break_if", "continue_on_failure", "timeout", "verify", *KINDS)
)
_OF_KIND = {
    "agent": {"agent", "cli", "model", "mode", "session", "permission", "preset", "retry_session", "workdir", "env"}
    | {"capture", "machine", "returns"}
    | _RUNS
    | _WRITES,
    "shell": {"shell", "env", "workdir", "capture", "capture_stderr", "capture_format", "mode"} | _RUNS | _WRITES,
    "script": {"script_inputs", "env", "workdir", "capture", "capture_stderr", "capture_format"} | _RUNS | _WRITES,
    "loop": {"pattern"},
    "group": {"pattern"},
    "workflow": {"params", "workdir", "session"},
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

    strategy: Literal["fail-fast", "continue"] = "fail-fast"
    retry: Retry | None = None


def _on_error(value: Any) -> Any:
    return {"strategy": value} if isinstance(value, str) else value


class Insert(Model):
    """Steps that come into an extended workflow."""

    after: Id | None = None
    before: Id | None = None
    steps: tuple[Step, ...]

    @model_validator(mode="after")
    def _one_place(self) -> Insert:
        if (self.after is None) == (self.before is None):
            raise PydanticCustomError("insert", "say either `after` or `before` which step")
        return self


class Engine(BaseModel):
    """A plugin that knows this kind of workflow; its own settings stand beside `type`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str


class Workflow(Model):
    """A workflow: its parameters, agents, rules and steps."""

    name: str = ""
    description: str = ""
    version: Text | None = None
    params: tuple[Param, ...] = ()
    agents: dict[Id, AgentUse] = Field(default_factory=dict)
    sessions: tuple[Session, ...] = ()
    engine: Engine | None = None
    pattern: Pattern = Field(
        "pipeline", description="`pipeline`: each step needs the one before it; `dag`: only `needs`"
    )
    max_concurrency: Positive = Field(4, validation_alias=AliasChoices("max_concurrency", "maxConcurrency"))
    timeout: Seconds | None = None
    budget: Budget | None = None
    on_error: Annotated[OnError, BeforeValidator(_on_error)] = OnError()
    repairable: bool | Repairable | None = None
    shell: Literal["sh", "bash"] = "sh"
    env: dict[str, Text] = Field(default_factory=dict)
    outputs: dict[Variable, str] = Field(default_factory=dict, description="what a sub-workflow gives back")
    packages: Globs = Field((), description="parts of the repository it touches, for `plan` of several workflows")
    isolated_from: Globs = Field((), validation_alias=AliasChoices("isolated_from", "isolatedFrom"))
    requires_before: Globs = Field((), validation_alias=AliasChoices("requires_before", "requiresBefore"))
    extends: str | None = None
    override: dict[str, dict[str, Any]] = Field(default_factory=dict)
    insert: tuple[Insert, ...] = ()
    steps: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _has_steps(self) -> Workflow:
        if not self.steps and self.extends is None:
            raise PydanticCustomError("steps", "a workflow needs `steps`")
        if (self.override or self.insert) and self.extends is None:
            raise PydanticCustomError("extends", "`override` and `insert` need `extends`")
        return self


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file, for editors."""
    schema = Workflow.model_json_schema(by_alias=False)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
