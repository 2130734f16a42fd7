"""The nouns of the public API: frozen values that travel between the core, plugins and stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

JSON = dict[str, Any]
"""A JSON object: string keys, values that `json.dumps` takes."""

Expects = Literal["changes", "answer", "none"]
Workplace = Literal["worktree", "cwd"]
Permission = Literal["read-only", "edit", "full"]

SECONDS_A_POINT: Final = 600.0
"""One point of a task's priority is ten minutes' head start; fixed at submit: nothing starves, nothing is re-sorted."""


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on a result: `type` is a registered check, `value` what it needs (a string, list or mapping).

    As a text it is what people are told: a mapping may have a `name` for that.
    """

    type: str
    value: Any = None

    def __str__(self) -> str:
        told = self.value.get("name") if isinstance(self.value, dict) else None
        return self.type if self.value is None else f"{self.type}: {told or self.value}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a task may spend and touch.

    `attempts`, `interruptions`, `repairs`: caps, counted apart. `timeout`, `silence`: seconds of wall
    clock and without output; None is no limit. `may_edit`: globs exempt from the seal. `protect`: globs
    added to it. `artifacts`: globs kept after the step. `expects`: what counts as work done.
    `touches`: globs of all that is its work, where others work in the same tree.
    `repair_agent`: who repairs red checks; None is the step's own agent, and nobody for a step without one.
    """

    expects: Expects | None = None
    attempts: int = 3
    interruptions: int = 10
    repairs: int = 0
    repair_agent: str | None = None
    timeout: float | None = None
    silence: float | None = None
    may_edit: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a run: what `run_step` runs.

    `id` is the step's path (`main` for a lone task); `key` is stable across attempts and reaches
    the child as `RUNNER_STEP_KEY`.
    """

    id: str
    type: str
    payload: Mapping[str, Any]
    checks: tuple[Check, ...] = ()
    policy: Policy = field(default_factory=Policy)
    key: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt cost; None is unknown, never zero. Tokens are counts, `cost_usd` is US dollars."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    turns: int | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of one attempt: `outcome` is one of `runner.statuses.OUTCOMES`.

    `output` is a shell step's stdout or an agent's final message. `evidence` holds paths, digests and
    structured results. `retry_at` is a Unix time (seconds) for `rate_limited`. `session` is the agent's.
    """

    outcome: str = "ok"
    output: str = ""
    exit_code: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage | None = None
    retry_at: float | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check's answer: `ok`, one sentence, and what shows it (paths of logs, digests, counts)."""

    ok: bool
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Repair:
    """What to do about red verdicts: `rerun` the checks, let an `agent` run `step`, `hold` for a person, `fail`."""

    action: Literal["rerun", "agent", "hold", "fail"]
    step: Step | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a task goes; None leaves the task's own choice. `reason` is shown to people."""

    machine: str | None = None
    agent: str | None = None
    type: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Exclusive ownership: `id` is `task:ID` or `unit:ID`, `epoch` the fencing token, `lease` seconds granted.

    A claim that `claim` returns carries its `task`; two claims are the same when id and epoch are.
    """

    id: str
    epoch: int
    lease: float = 300.0
    task: Task | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """The id without its kind: `task:abc` → `abc`."""
        return self.id.partition(":")[2]


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What a worker asks for. A `claim` wrapper may only narrow it.

    `limit`: how many tasks at most. `lanes`: ids of eligible lanes, None for all that fit the worker.
    `excluded_accounts`: accounts not to launch now. `settle`: finished work (ops with fences) that
    is committed together with the claim. `lease`: seconds. `only`: ids of the tasks that are wanted and no
    others: alone whatever they need (`runner run`), with `lanes` those that fit (`work -k`), which go before
    others of their unit or limit key.
    """

    limit: int
    lanes: tuple[int, ...] | None = None
    excluded_accounts: tuple[str, ...] = ()
    settle: tuple[Any, ...] = ()
    lease: float = 300.0
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lane:
    """The interned routing of tasks: a worker is eligible when each part fits it; None fits every worker."""

    id: int
    project: str
    machine: str | None
    type: str
    account: str | None
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TypeSpec:
    """A task type: `payload_model` a pydantic model class (or None: any object), `requires` capabilities,
    `expects` what counts as work done, `workplace` a worktree of the payload's repository or its `cwd` itself.

    A `container` has no step of its own: its payload names a workflow, whose steps are run. A type that is only
    for steps `inside` of workflows can't be submitted as a task.
    """

    payload_model: Any = None
    requires: tuple[str, ...] = ()
    expects: Expects = "none"
    workplace: Workplace = "worktree"
    implicit_checks: tuple[Check, ...] = ()
    repairs: int = 0
    summary: str = ""
    container: bool = False
    inside: bool = False


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """A check type: `summary` for people; `parse` turns the text after `TYPE:` into the value, or raises ValueError.

    `files` names the files of the workspace (globs) that the check goes by: they are sealed with it.
    """

    summary: str
    parse: Callable[[Any], Any] | None = None
    needs_value: bool = True
    files: Callable[[Any], Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """A named way to call an agent CLI, as data.

    `argv` and `resume` are the words after `program`: the word `{permissions}` becomes those of the
    step's level, `{model}` becomes `model_flag` when a model is chosen (else nothing), `{session}`,
    `{prompt}` and `{cwd}` (the step's directory) are filled in anywhere. The prompt goes in on stdin when
    `prompt` is "stdin". `format` names an output reader, `strip` variables (globs; `!GLOB` keeps) removed
    from the environment, `env` those set (`${NAME}` and `${NAME:-default}` in a value stand for what the
    runner's own environment holds), `permission_env` those set as well for a level, `root_env` for root
    with full permission. `errors` maps known error texts (regular expressions) to outcomes, `exit_codes`
    exit codes of its own. Seconds: `timeout` of wall clock, `first_output` until it says anything,
    `silence` without output or a busy process (15 minutes unless the agent says otherwise: no CLI gives up on
    a provider that is silent), `linger` it may live after its final event; `max_output` bytes of
    output. `cumulative` says which of a resumed session's numbers are sums of the session ("tokens", "cost");
    `resume_in` where it can be resumed: "same" directory or "any". `version` are the words that print its
    version, `install` and `login` tell a person how to get and to log in to it. `litter` are names (globs)
    that it leaves in the step's directory and that are no work: what is new of it is deleted after it has
    ended. `reader` makes the output reader that a plugin brings along.
    """

    name: str
    program: str
    argv: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    prompt: Literal["stdin", "argv"] = "stdin"
    format: str = "text"
    model: str | None = None
    model_flag: tuple[str, ...] = ()
    permissions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    permission: Permission = "edit"
    env: Mapping[str, str] = field(default_factory=dict)
    permission_env: Mapping[Permission, Mapping[str, str]] = field(default_factory=dict)
    root_env: Mapping[str, str] = field(default_factory=dict)
    strip: tuple[str, ...] = ()
    account: str | None = None
    timeout: float | None = None
    silence: float | None = 900.0
    first_output: float | None = None
    max_output: int | None = None
    linger: float | None = 30.0
    errors: Mapping[str, str] = field(default_factory=dict)
    exit_codes: Mapping[int, str] = field(default_factory=dict)
    cumulative: tuple[str, ...] = ()
    resume_in: Literal["same", "any"] = "any"
    version: tuple[str, ...] = ("--version",)
    install: str = ""
    login: str = ""
    litter: tuple[str, ...] = ()
    reader: Callable[[], Any] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task as it is submitted. `id` is chosen by the submitter, so that a retried submit is the same task.

    `after` are ids of tasks that must be done first. `not_before` is a Unix time. `spec` holds checks,
    policy and base of the workspace as JSON. `unit` None is a lone task (its own implicit work unit).
    """

    id: str
    type: str
    payload: Mapping[str, Any]
    project: str = ""
    unit: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    agent: str | None = None
    machine: str | None = None
    account: str | None = None
    requires: tuple[str, ...] = ()
    priority: int = 0
    key: str | None = None
    key_forever: bool = False
    limit_key: str | None = None
    after: tuple[str, ...] = ()
    not_before: float | None = None
    planning: bool = False
    attempts: int = 3
    interruptions: int = 10
    by: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a claim: worker id, machine, and when the lease ends (`lease_left` seconds from the read)."""

    worker: str
    machine: str
    epoch: int
    lease_left: float


@dataclass(frozen=True, slots=True)
class Task:
    """An entry of the queue as it was read. Times are Unix seconds. `to_json()` is the documented JSON form."""

    id: str
    type: str
    status: str
    outcome: str | None
    priority: int
    payload: Mapping[str, Any]
    project: str
    unit: str | None
    spec: Mapping[str, Any]
    machine: str | None
    agent: str | None
    account: str | None
    requires: tuple[str, ...]
    key: str | None
    limit_key: str | None
    epoch: int
    attempt: int
    attempts: int
    attempts_max: int
    interruptions: int
    interruptions_max: int
    not_before: float | None
    blocked_by: str | None
    cancel_requested: bool
    question: str | None
    answer: str | None
    result: Mapping[str, Any] | None
    publish: Mapping[str, Any] | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    rank: float = 0.0
    unit_epoch: int = 0
    """The exclusive work unit's own generation, one more at each admission of any of its tasks; 0 without one."""
    after: tuple[str, ...] = ()
    holder: Holder | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a step: `(task, step, number)` and the epoch it ran under; `result` once it ended; `late` evidence.

    `n` counts all attempts of the task, in the order in which they began; `number` those of this step, from 1.
    """

    task: str
    step: str
    n: int
    epoch: int
    agent: str | None
    worker: str
    started_at: float
    ended_at: float | None
    outcome: str | None
    result: Mapping[str, Any] | None
    late: Mapping[str, Any] | None
    repair: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True)
class Worker:
    """A process `runner work` as the store knows it.

    `names` are the machine's name and its aliases; `types` what it can run; `capabilities` what it
    offers (`agent:claude`, `os:linux`, …). `host` identifies boot and pid namespace: only a process
    with the same `host` can prove this one dead. `keepers` are (pid, start time) pairs.
    """

    id: str
    machine: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    capabilities: tuple[str, ...]
    project: str
    slots: int
    host: str
    pid: int
    started: str
    keepers: tuple[tuple[int, str], ...] = ()
    version: str = ""
    heartbeat: float = 0.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A named host: what `machines.yaml` declares and what its workers found."""

    name: str
    role: str = "worker"
    os: str = ""
    address: str = ""
    capabilities: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    online: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """What `route` chooses from: machines and the workers that are online."""

    machines: tuple[Machine, ...] = ()
    workers: tuple[Worker, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A blob kept with the work: `ref` is its handle (empty until stored), `size` bytes, `sha256` hex."""

    name: str
    type: str
    size: int = 0
    sha256: str = ""
    ref: str = ""
    project: str = ""
    unit: str | None = None
    task: str | None = None
    step: str | None = None
    attempt: int | None = None
    epoch: int | None = None
    by: str = ""
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """An item of a stream: `position` grows without gaps that fill later; `body` is JSON."""

    stream: str
    position: int
    body: Mapping[str, Any]
    at: float
    by: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the audit log. `id` orders events; `kind` is `task.submitted`, `task.claimed`, … ; `data` is JSON."""

    id: int
    at: float
    kind: str
    task: str | None
    epoch: int | None
    by: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """How a process that `Context.process` ran ended.

    `exit_code` is negative for a signal (as in subprocess). `limit` names the limit that ended it
    (`timeout`, `stalled`, `first_output`, `max_output`; `ended` by `Context.end`, `untrusted` by the lease) or
    None. `stdout`, `stderr` are the redacted logs; `survivors` the number of descendants that had
    to be ended; `seconds` wall time.
    """

    exit_code: int
    stdout: Path
    stderr: Path
    stdout_bytes: int
    stderr_bytes: int
    limit: str | None = None
    survivors: int = 0
    seconds: float = 0.0


class Context(Protocol):
    """What a running step may use. Plugins receive it; the engine makes it."""

    workspace: Path
    """Where the step works: absolute, the worktree or the payload's cwd."""
    folder: Path
    """This attempt's folder for logs and verdicts: absolute, exists."""
    env: Mapping[str, str]
    """The environment every child gets (the contract's `RUNNER_…` included)."""
    claim: Claim
    task: Task
    attempt: int
    deadline: float | None
    """`time.monotonic()` value at which the step's time is over, or None."""
    cancelled: threading.Event
    """Set when the step must end: cancel, lost claim, second signal."""
    log: Callable[[str], None]
    """Writes one line for people to the attempt's log."""
    previous: Sequence[Attempt]
    """Earlier attempts of this step, oldest first."""
    base: str | None
    """The commit or tree that the step (its first attempt) started from; None without a repository."""
    present: str | None
    """A commit of the tree as it is now, for checks of a step in the user's own folder, where nothing is committed."""
    workflow: Mapping[str, Any] | None
    """`{"name", "engine", "params"}` of the workflow that the step is part of; None for a lone task."""

    def process(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float | None = None,
        silence: float | None = None,
        first_output: float | None = None,
        max_output: int | None = None,
        name: str = "",
        on_output: Callable[[bytes], None] | None = None,
    ) -> ProcessResult:
        """Run a program in a tree that the slot's keeper owns; return when the tree is empty.

        `env` replaces `self.env` when given. `stdin` None is an empty input. Limits, each ends the tree:
        seconds of wall clock (`timeout`), without output or a busy process (`silence`), until it says anything
        (`first_output`), and bytes of output (`max_output`). Logs are
        `<name->stdout.log` and `<name->stderr.log` in `folder`.
        `on_output` gets redacted stdout as it comes. Raises Cancelled or LostClaim after ending the tree.
        """
        ...

    def end(self) -> None:
        """End what `process` runs now (any thread): TERM, grace, KILL; it returns with the limit "ended"."""
        ...

    def agent(self, name: str | None = None) -> Agent:
        """The agent of that name, None: the configured default, with its reader. UsageError suggests near names."""
        ...

    def enrich(self, step: Step, prompt: str) -> str:
        """The prompt with what the plugins' `enrich_prompt` append."""
        ...

    def redact(self, text: str) -> str:
        """The text without known secrets: for what a handler writes to disk itself."""
        ...

    def progress(self, line: str | None = None, *, cost_usd: float | None = None, tokens: int | None = None) -> None:
        """Tell who watches what goes on now: the last line, and what this attempt has cost so far.

        Cheap and kept nowhere: call it as often as you like. What `process` runs without `on_output` is
        watched by its logs; there is nothing to tell then.
        """
        ...

    def artifact(self, path: Path, name: str | None = None, type: str | None = None) -> Artifact:
        """Store a file of the workspace as an artifact of this task (fenced by the claim)."""
        ...

    def event(self, kind: str, **data: Any) -> None:
        """Add a line to the audit log (fenced by the claim)."""
        ...

    def ask(self, question: str) -> str:
        """The person's answer when there is one; else ends the step as needs_human with `question`."""
        ...
