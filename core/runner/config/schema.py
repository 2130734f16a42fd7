"""The one model of the configuration: validation, defaults, descriptions and JSON Schema all come from here.

Importing pydantic costs start-up, so this module is imported only when a file or variable changed
(the result is cached) and by `runner schema` and the docs.
"""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from runner.errors import UsageError, suggestion
from runner.statuses import OUTCOMES
from runner.times import duration

_MEANINGS = tuple(name for name in OUTCOMES if name not in ("lost_claim", "cancelled"))
"""The outcomes that an agent's words or exit code may mean: the others are not its to say."""

_SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return duration(value)
        except UsageError as error:
            raise ValueError(str(error)) from None
    return _number(value)


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value.strip().lower())
        if not match or match[2] not in _SIZES:
            raise ValueError(f"'{value}' is not a size (write bytes, or 500 KiB, 50 MiB, 2 GiB)")
        return int(float(match[1]) * _SIZES[match[2]])
    return _number(value)


def _number(value: Any) -> Any:
    # pydantic would read true as 1.
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"'{value}' is not a regular expression: {error}") from None
    return value


def _outcome(value: str) -> str:
    if value not in _MEANINGS:
        raise ValueError(f"there is no outcome '{value}', {suggestion(value, _MEANINGS)}")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", value):
        raise ValueError(f"'{value}' is not a name: use letters, digits, '_', '-' and '.'")
    return value


_SECONDS_SCHEMA = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}],
    "description": "seconds, or 90s, 30m, 1h30m, 2d",
}
_BYTES_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "description": "bytes, or 50 MiB"}

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_seconds), WithJsonSchema(_SECONDS_SCHEMA)]
Bytes = Annotated[int, Field(ge=0), BeforeValidator(_bytes), WithJsonSchema(_BYTES_SCHEMA)]
Count = Annotated[int, Field(ge=0), BeforeValidator(_number)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(_number)]
Slots = Annotated[int, Field(ge=1, le=256), BeforeValidator(_number)]
Port = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_number)]
Regex = Annotated[str, AfterValidator(_regex)]
Name = Annotated[str, AfterValidator(_name)]
Meaning = Annotated[str, AfterValidator(_outcome), WithJsonSchema({"enum": list(_MEANINGS)})]
Words = tuple[str, ...]
OneOrMore = Annotated[Words, BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class Model(BaseModel):
    """The base of all sections: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class RepairSettings(Model):
    """Who repairs red checks, and how often."""

    agent: str | None = Field(default=None, description="the agent; empty: the one that did the work")
    attempts: Count | None = Field(default=None, description="how often; empty: `repairs`")


class Defaults(Model):
    """What a task gets when neither it nor its type says otherwise."""

    attempts: Positive = Field(default=3, description="tries of a task before a person is asked")
    interruptions: Count = Field(
        default=10, description="times a task may lose its worker, counted apart from attempts"
    )
    repairs: Count | None = Field(default=None, description="repairs of red checks; empty: the type decides")
    timeout: Seconds | None = Field(default=None, description="wall clock of one attempt; empty: no limit")
    silence: Seconds | None = Field(
        default=None, description="time without output before an attempt is ended; empty: no limit"
    )
    agent: str = Field(default="claude", description="the agent of a task that names none")
    repair: RepairSettings = RepairSettings()


class TypeSettings(Model):
    """Settings of one task type; empty ones come from `defaults`."""

    attempts: Positive | None = None
    interruptions: Count | None = None
    repairs: Count | None = None
    timeout: Seconds | None = None
    silence: Seconds | None = None
    agent: str | None = None
    model: str | None = Field(default=None, description="the agent's model")
    permission: Literal["read-only", "edit", "full"] | None = Field(default=None, description="what the agent may do")
    repair: RepairSettings = RepairSettings()
    checks: tuple[Any, ...] = Field(default=(), description="checks of every task of this type, besides its own")
    requires: Words | None = Field(default=None, description="capabilities a machine must offer")
    expects: Literal["changes", "answer", "none"] | None = None
    priority: Annotated[int, BeforeValidator(_number)] | None = None
    artifacts: Words | None = Field(default=None, description="globs of files kept after each attempt")
    may_edit: Words | None = Field(default=None, description="globs of files that the seal leaves free")
    protect: Words | None = Field(default=None, description="globs of files added to the seal")


class AgentSettings(Model):
    """An agent as data. `extends` names the agent whose other values it takes; an agent of the same name is changed."""

    extends: str | None = None
    program: str | None = None
    argv: Words | None = None
    resume: Words | None = None
    prompt: Literal["stdin", "argv"] | None = None
    format: str | None = None
    model: str | None = None
    model_flag: Words | None = None
    permissions: dict[Literal["read-only", "edit", "full"], Words] | None = None
    permission: Literal["read-only", "edit", "full"] | None = None
    env: dict[str, str] | None = Field(
        default=None, description="variables to set; ${NAME} and ${NAME:-default} stand for the runner's own"
    )
    permission_env: dict[Literal["read-only", "edit", "full"], dict[str, str]] | None = Field(
        default=None, description="variables to set as well, by what it may do"
    )
    strip: Words | None = None
    account: str | None = None
    timeout: Seconds | None = None
    silence: Seconds | None = None
    first_output: Seconds | None = Field(default=None, description="how long it may say nothing at first")
    max_output: Bytes | None = Field(default=None, description="most bytes of output before it is ended")
    linger: Seconds | None = Field(default=None, description="how long it may live after its final word")
    errors: dict[Regex, Meaning] | None = Field(
        default=None, description="texts in its output, and the outcome they mean"
    )
    exit_codes: dict[int, Meaning] | None = Field(default=None, description="exit codes of its own, and what they mean")
    cumulative: tuple[Literal["tokens", "cost"], ...] | None = Field(
        default=None, description="which numbers of a resumed session are sums of the whole session"
    )
    resume_in: Literal["same", "any"] | None = Field(
        default=None, description="whether a session can go on in another directory"
    )
    version: Words | None = Field(default=None, description="the words after the program that print its version")
    install: str | None = Field(default=None, description="how a person installs it")
    login: str | None = Field(default=None, description="how a person logs in to it")
    litter: Words | None = Field(
        default=None, description="names (globs) that it leaves in its directory: what is new is deleted afterwards"
    )


class RouteMatch(Model):
    """Which tasks a rule is for: every field that is given must fit; of a list, one."""

    type: OneOrMore | None = None
    agent: OneOrMore | None = None
    project: OneOrMore | None = None
    requires: OneOrMore | None = None


class RouteRule(Model):
    """One rule of `routes`: where tasks that match go. The first that matches wins."""

    match: RouteMatch = RouteMatch()
    machine: str | None = None
    agent: str | None = None
    type: str | None = None
    reason: str = ""


class Limits(Model):
    """How many tasks may be held at once, in the whole store."""

    types: dict[Name, Count] = Field(default={}, description="by task type")
    accounts: dict[Name, Count] = Field(default={}, description="by account (an agent's login)")


class Worker(Model):
    """How `runner work` behaves."""

    slots: Slots = Field(default=1, description="tasks that run at once")
    lease: Seconds = Field(default=300.0, description="how long a claim holds without renewal")
    renew: Seconds = Field(default=20.0, description="time between renewals")
    poll: Seconds = Field(default=5.0, description="time between looks at the queue when nothing wakes the worker")
    grace: Seconds = Field(default=10.0, description="time between TERM and KILL of a process tree")
    capabilities: Words = Field(default=(), description="what this machine offers besides what the worker finds")


with warnings.catch_warnings():
    # `copy` is the right word in the file; the method of pydantic it hides is a deprecated one.
    warnings.simplefilter("ignore", UserWarning)

    class Workspace(Model):
        """The worktrees that tasks run in, and their snapshots."""

        copy: Words = Field(  # type: ignore[assignment]
            default=(), description="globs of files that git does not carry, copied from the repository"
        )
        setup: Words = Field(default=(), description="shell commands run in a new worktree")
        snapshot_every: Seconds = Field(default=180.0, description="time between snapshots while a task runs")
        max_file: Bytes = Field(default=50 << 20, description="largest file a snapshot takes")
        max_total: Bytes = Field(default=500 << 20, description="most a snapshot takes in all")


class Notify(Model):
    """A command that is told how tasks end."""

    command: str | None = Field(
        default=None, description="a shell command; it gets the event as JSON on its standard input"
    )
    on: tuple[Literal["done", "failed", "needs_human", "cancelled"], ...] = Field(
        default=("needs_human", "failed"), description="which ends it is told of"
    )
    timeout: Seconds = Field(default=30.0, description="how long it may take")


class Retention(Model):
    """Which finished tasks are forgotten. Empty: none."""

    age: Seconds | None = Field(default=None, description="finished longer ago than this")
    count: Count | None = Field(default=None, description="beyond this many, oldest first")


class Sqlite(Model):
    """The SQLite store."""

    synchronous: Literal["full", "normal"] = Field(
        default="full", description="full survives a power failure; normal may lose the last commits in one"
    )
    timeout: Seconds = Field(default=30.0, description="how long a writer waits for the one before it")


class Ssh(Model):
    """How to reach a machine by ssh, beyond what ~/.ssh/config says."""

    host: str | None = None
    user: str | None = None
    port: Port | None = None
    identity: str | None = None


class MachineSettings(Model):
    """One machine of machines.yaml."""

    role: Literal["orchestrator", "worker"] = "worker"
    os: Literal["linux", "macos", "windows"] | None = None
    address: str | None = None
    tailscale_ip: str | None = Field(default=None, description="another name for address")
    queue_port: Port = 8000
    worker_port: Port = 8001
    capabilities: Words = ()
    agents: Words = ()
    aliases: Words = Field(default=(), description="earlier names, kept so that statistics and targeted tasks go on")
    slots: Slots = 1
    tags: Words = ()
    ssh: Ssh | None = None


class Settings(Model):
    """The whole configuration."""

    store: str | None = Field(default=None, description="URL of the store; empty: SQLite in the project's state folder")
    artifacts: str | None = Field(
        default=None, description="URL of the artifact store; empty: a folder beside the store"
    )
    plugins: Words = Field(default=(), description="modules loaded as plugins, by dotted name")
    agents: dict[Name, AgentSettings] = {}
    routes: tuple[RouteRule, ...] = ()
    redact: tuple[Regex, ...] = Field(default=(), description="regular expressions of secrets, besides the known ones")
    defaults: Defaults = Defaults()
    types: dict[Name, TypeSettings] = {}
    limits: Limits = Limits()
    worker: Worker = Worker()
    workspace: Workspace = Workspace()
    retention: Retention = Retention()
    notify: Notify = Notify()
    sqlite: Sqlite = Sqlite()
    machines: dict[Name, MachineSettings] = Field(default={}, description="read from machines.yaml")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of runner.yaml, for editors."""
    schema = Settings.model_json_schema()
    schema["properties"].pop("machines")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def machines_json_schema() -> dict[str, Any]:
    """The JSON Schema of machines.yaml, for editors."""

    class Machines(Model):
        """The machines of a fleet."""

        machines: dict[Name, MachineSettings] = {}

    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Machines.model_json_schema()}
