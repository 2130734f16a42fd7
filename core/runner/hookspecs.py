"""The markers and every hook: what a plugin may implement, when it is called, what its answer does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runner.artifacts import ArtifactStore
    from runner.config import Config
    from runner.model import (
        Agent,
        Artifact,
        Check,
        CheckSpec,
        Claim,
        ClaimRequest,
        Context,
        Event,
        Fleet,
        Repair,
        Route,
        Step,
        StepResult,
        TypeSpec,
        Verdict,
        Worker,
    )

hookspec = pluggy.HookspecMarker("runner")
hookimpl = pluggy.HookimplMarker("runner")
"""Marks a function as the implementation of a hook: `from runner import hookimpl`."""


class TheSix:
    """The six questions the core asks about every task."""

    @hookspec(firstresult=True)
    def route(self, task: Any, fleet: Fleet) -> Route | None:
        """Decide where a task should go. Called once, when it is submitted.

        1. What the submitter named (machine, agent, type) stays.
        2. The rules under `routes` in runner.yaml fill in what is missing; the first that matches wins.
        3. What is still open stays open: any worker that offers what the task requires may claim it.

        Parameters: `task` is the `NewTask` as it would be stored; `fleet` the machines and live workers.

        Returns a Route (None in a field keeps the task's own), or None to leave it to the next
        plugin; the first answer is used. An exception refuses the submit with its message.
        """

    @hookspec(firstresult=True)
    def claim(self, queue: Any, worker: Worker, request: ClaimRequest) -> list[Claim] | None:
        """Take work for a worker. Called whenever it has free slots or finished work.

        1. `request.settle` and the claim become one commit.
        2. The lowest ranks among the eligible lanes are taken, up to `request.limit`.
        3. Stale fences among the settled ops are reported to the worker, which ends those trees.

        Parameters: `queue.take(worker, request)` does the above and returns the claims; `queue.lanes()`
        lists the lanes. A wrapper may only narrow the request (smaller limit, fewer lanes, more
        excluded accounts); `limit=0` is draining.

        Returns the claims. An exception is logged and claims nothing this time; settled work is kept.
        """

    @hookspec(firstresult=True)
    def run_step(self, step: Step, context: Context) -> StepResult | dict[str, Any] | str | None:
        """Run a step. Called for the owner of the step's type alone, and for wrappers.

        1. The attempt is written down before this is called.
        2. The owner runs it, with `context.process(…)` for every program it starts.
        3. None, a str (the output) or a dict (evidence) count as outcome ok.

        Parameters: `step` with its payload; `context` with workspace, environment, claim, deadline.

        Returns a StepResult or one of the short forms. An exception is the outcome `crashed`, with the
        handler's file and line in the sentence.
        """

    @hookspec(firstresult=True)
    def verify(self, check: Check, step: Step, result: StepResult, context: Context) -> Verdict | bool:
        """Answer one check. Called for the owner of the check's type alone, and for wrappers.

        1. The seal is compared first: an edited gate is red whatever the check says.
        2. The owner looks at the workspace, the result and the logs, never at the agent's claim.

        Parameters: the `check`, the `step`, its `result`, the `context` of the attempt.

        Returns a Verdict, or a bool. An exception is a red verdict with its message.
        """

    @hookspec(firstresult=True)
    def repair(self, step: Step, result: StepResult, verdicts: Sequence[Verdict], context: Context) -> Repair | None:
        """Decide what is done about red verdicts, before the step is called failed.

        1. A broken seal is held for a person; nothing repairs it.
        2. While repairs are left, the same agent runs again with the evidence in its prompt.
        3. Else held for a person (agents) or failed (scripts).

        Parameters: the `step`, its `result`, all `verdicts` (red and green), the `context`.

        Returns a Repair; the first answer is used. An exception counts as `hold`.
        """

    @hookspec(firstresult=True)
    def upload_artifact(
        self, artifact: Artifact, source: Path, store: ArtifactStore, context: Context | None
    ) -> Artifact | None:
        """Store a file as an artifact.

        1. The artifact store of the configuration takes the bytes, and checks size and digest.
        2. The metadata is committed under the claim's fence; a stale holder's artifact is not listed.

        Parameters: `artifact` with name and media type; `source` the file; `store` the artifact store of
        the configuration; `context` of the attempt, None for an upload by a person.

        Returns the artifact with `ref`, `size`, `sha256`; the first answer is used. An exception fails
        the upload with its message; the step's outcome is `crashed`.
        """


class Around:
    """What surrounds the six: registration, stores, workflows, events."""

    @hookspec
    def register_types(self) -> Mapping[str, TypeSpec]:
        """Name the task types this plugin runs. Called when types are first needed.

        1. All answers are joined; two owners of one name are an error, a project's overrides a shipped one.

        Returns name → TypeSpec. An exception is a plugin error that names the plugin.
        """

    @hookspec
    def register_checks(self) -> Mapping[str, CheckSpec]:
        """Name the checks this plugin answers. Called when checks are first needed.

        1. All answers are joined, by the same rule as types.

        Returns name → CheckSpec. An exception is a plugin error that names the plugin.
        """

    @hookspec
    def register_agents(self) -> Mapping[str, Agent]:
        """Name agents. Called when agents are first needed.

        1. All answers are joined, by the same rule as types; `agents:` in runner.yaml comes on top.

        Returns name → Agent. An exception is a plugin error that names the plugin.
        """

    @hookspec
    def register_commands(self) -> Mapping[str, Any]:
        """Name commands of the command line. Called for an unknown command name and by `runner --help --all`.

        1. All answers are joined; a built-in command can't be replaced.

        Returns name → click.Command. An exception is a plugin error that names the plugin.
        """

    @hookspec(firstresult=True)
    def open_store(self, url: str, options: Mapping[str, Any]) -> Any:
        """Open a store. Called once a process, with the effective URL.

        1. `sqlite:///PATH` and `postgresql://…` are built in.

        Parameters: `url` as configured; `options` the backend's section of the configuration.

        Returns a `runner.store.Store`, or None when the URL is not this plugin's. A StoreError is
        shown as it is.
        """

    @hookspec(firstresult=True)
    def open_artifact_store(self, url: str) -> Any:
        """Open an artifact store (put, get, stat, delete, presign). Called when artifacts are first needed.

        1. `file:///DIR` is built in.

        Returns a `runner.artifacts.ArtifactStore`, or None when the URL is not this plugin's.
        """

    @hookspec(firstresult=True)
    def load_workflow(self, path: Path, text: str) -> Any:
        """Read a workflow file into the model. Called for each file that is named, with its text.

        1. The native YAML is built in; dialects recognise their own files by their text.

        Returns a `runner.workflows.Source` (`validated` makes one), or None when the file is not this plugin's.
        """

    @hookspec
    def validate_workflow(self, workflow: Any) -> Sequence[str]:
        """Look at a loaded workflow (`runner.workflows.Loaded`) before it is run. Called by `validate`, `plan`, `run`.

        1. All answers are joined and shown with file and line.

        Returns sentences, one a problem; empty when there is none.
        """

    @hookspec
    def enrich_prompt(self, step: Step, prompt: str, context: Context) -> str | None:
        """Add to an agent's prompt. Called once an attempt, before the agent starts.

        1. Answers are appended to the prompt in the order of registration.

        Returns text to append, or None.
        """

    @hookspec
    def configure(self, config: Config) -> None:
        """Look at the effective configuration. Called once, after all plugins are loaded.

        1. Nothing by default.

        An exception is a plugin error that names the plugin.
        """

    @hookspec
    def on_event(self, event: Event) -> None:
        """Hear of what a worker did, after it is committed: claims, attempts, settlements, artifacts, own events.

        1. Nothing by default.
        2. Called in the worker that committed it, in a thread of its own, one event after the other.

        Parameters: `event` with `kind`, `task`, `epoch` and `data`; its `id` is 0 here.

        An exception is reported on stderr and changes nothing.
        """


HOOKS = frozenset(n for c in (TheSix, Around) for n in vars(c) if not n.startswith("_"))
"""The names of all hooks."""
