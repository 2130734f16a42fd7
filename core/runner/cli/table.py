"""The built-in commands as data, so that `--help` and unknown names import none of them."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command: the module under `runner.cli.commands` that exports it, and what `runner --help` says."""

    module: str
    help: str
    section: str


SECTIONS = ("Start", "Work", "Look", "Decide", "Keep", "Set up")
"""The sections of `runner --help`, in order."""

COMMANDS: dict[str, Entry] = {
    "init": Entry("init", "Make a folder a project.", "Start"),
    "demo": Entry("demo", "See it work: queue, agent, red check, repair, result.", "Start"),
    "submit": Entry("submit", "Put a task in the queue.", "Work"),
    "work": Entry("work", "Take tasks from the queue and run them.", "Work"),
    "run": Entry("run", "Run an agent here and now.", "Work"),
    "workflow": Entry("workflow", "Run steps in order, by a file; resume, test.", "Work"),
    "record": Entry("record", "Run a workflow and record its agents, for tests.", "Work"),
    "queue": Entry("queue", "List tasks.", "Look"),
    "show": Entry("show", "Show a task: what it is, what came of it.", "Look"),
    "why": Entry("why", "Say why a task is not running, or ended as it did.", "Look"),
    "logs": Entry("logs", "Print the output of a task.", "Look"),
    "runs": Entry("runs", "List runs of workflows.", "Look"),
    "status": Entry("status", "Show workers and counts, or one task's state.", "Look"),
    "machines": Entry("machines", "List machines: declared, online, what they offer.", "Look"),
    "review": Entry("review", "List tasks that wait for a person.", "Decide"),
    "failures": Entry("failures", "List failed tasks and why they failed.", "Decide"),
    "resolve": Entry("resolve", "Decide about tasks that wait for a person.", "Decide"),
    "retry": Entry("retry", "Queue a task again.", "Decide"),
    "cancel": Entry("cancel", "Cancel a task.", "Decide"),
    "artifact": Entry("artifact", "Upload, download and list artifacts.", "Keep"),
    "rescue": Entry("rescue", "Find and restore files of lost work.", "Keep"),
    "clean": Entry("clean", "Delete what is kept elsewhere.", "Keep"),
    "skills": Entry("skills", "See, install, declare and make what machines can do.", "Set up"),
    "ssh": Entry("ssh", "Open a shell on a machine.", "Set up"),
    "doctor": Entry("doctor", "Check this machine and project; say what to fix.", "Set up"),
    "test": Entry("test", "Try agents out: logged in, answering, writing?", "Set up"),
    "config": Entry("config", "Show the settings and where each came from.", "Set up"),
    "schema": Entry("schema", "Print the JSON Schema of a file or a payload.", "Set up"),
    "plugins": Entry("plugins", "List plugins, their hooks and their state.", "Set up"),
    "store": Entry("store", "Look after the store.", "Set up"),
    "completion": Entry("completion", "Print the completion script of a shell.", "Set up"),
}
