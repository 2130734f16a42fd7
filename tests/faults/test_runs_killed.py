"""A run that is killed at any write of its journal goes on to the same end: nothing lost, no effect twice."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Field

KILLER = '''
"""Ends the process with SIGKILL at a write of the store: before it, or right after it."""
import os, signal
from runner import hookimpl

class Deadly:
    def __init__(self, store):
        self._store = store
        self._left = int(os.environ["KILL_AT"])

    def __getattr__(self, name):
        return getattr(self._store, name)

    def commit(self, ops, request_id=None):
        self._left -= 1
        if self._left == 0 and os.environ["KILL_WHEN"] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        results = self._store.commit(ops, request_id) if request_id is not None else self._store.commit(ops)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return results

@hookimpl(wrapper=True)
def open_store(url):
    store = yield
    return Deadly(store) if store is not None and os.environ.get("KILL_AT") else store
'''

EFFECT = 'echo "$RUNNER_STEP" >> ran; grep -qxF -- "$RUNNER_STEP_KEY" effects || echo "$RUNNER_STEP_KEY" >> effects'

INNER = f"""
params: [{{name: who, required: true}}]
outputs: {{last: "{{{{steps.two.output}}}}"}}
steps:
  - {{id: one, command: '{EFFECT}; echo "{{{{who}}}}-1"', capture: got}}
  - {{id: two, command: '{EFFECT}; echo "{{{{got}}}}-2"'}}
"""

FLOW = f"""
pattern: dag
max_concurrency: 2
steps:
  - {{id: first, command: '{EFFECT}; echo start', capture: begun}}
  - id: outer
    needs: [first]
    loop: {{over: [x, y, z, w], as: o}}
    steps:
      - id: inner
        loop: {{max: 3, as_index: i}}
        steps:
          - {{id: a, command: '{EFFECT}; echo "{{{{o}}}}{{{{i}}}}"', capture: last}}
          - {{id: skip, command: '{EFFECT}', skip_if: "sh: test {{{{o}}}} = x"}}
          - {{id: b, command: '{EFFECT}; test "{{{{i}}}}" = 1', continue_on_failure: true, break_if: success}}
      - {{id: sub, workflow: inner, params: {{who: "{{{{last}}}}"}}}}
      - {{id: sum, command: '{EFFECT}; echo "{{{{steps.sub.last}}}}"', capture: all}}
  - id: side
    needs: [first]
    steps:
      - {{id: p, command: '{EFFECT}'}}
      - {{id: q, command: '{EFFECT}; exit 1', continue_on_failure: true}}
  - {{id: end, needs: [outer, side], command: '{EFFECT}; echo "{{{{begun}}}} {{{{all}}}}"'}}
"""


class Deaths:
    """Runs the workflow in the field's project, killed where it is told to."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.root = field.root
        (self.root / "workflows").mkdir()
        (self.root / "plugins").mkdir()
        (self.root / "plugins/killer.py").write_text(KILLER)
        (self.root / "workflows/flow.yaml").write_text(FLOW)
        (self.root / "workflows/inner.yaml").write_text(INNER)

    def clear(self) -> None:
        for name in ("ran", "effects"):
            (self.root / name).write_text("")

    def call(self, *words: str, at: int = 0, when: str = "before") -> int:
        deadly = {"KILL_AT": str(at), "KILL_WHEN": when} if at else {}
        return self.field.runner("workflow", *words, "-q", env={**self.field.env, **deadly}).code

    def newest(self) -> dict[str, Any]:
        items = self.field.runner.ok("runs", "--format", "json", env=self.field.env).items
        run = str(items[0]["run"])
        shown: dict[str, Any] = self.field.runner.ok("show", run, "--format", "json", env=self.field.env).json
        return shown

    def lines(self, name: str) -> list[str]:
        return (self.root / name).read_text().splitlines()


def final(shown: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The state and the output of every step."""
    return {step["path"]: (step["status"], step.get("output", "")) for step in shown["result"]["steps"]}


def proof(deaths: Deaths, unbroken: dict[str, tuple[str, str]], shown: dict[str, Any]) -> None:
    """The same end as without a death; effects once; nothing with a result ran again; what is unknown is listed."""
    run = shown["id"]
    assert shown["status"] == "done", shown["result"]
    assert final(shown) == unbroken
    effects = [line.removeprefix(f"{run}/") for line in deaths.lines("effects")]
    assert len(effects) == len(set(effects))
    ended: dict[str, int] = {}
    unknown: dict[str, int] = {}
    for attempt in shown["history"]:
        if attempt["outcome"] in (None, "lost_claim"):
            unknown[attempt["step"]] = unknown.get(attempt["step"], 0) + 1
        else:
            ended[attempt["step"]] = ended.get(attempt["step"], 0) + 1
    assert all(count == 1 for count in ended.values()), "a step with a recorded result ran again"
    ran = deaths.lines("ran")
    for path in set(ran):
        assert ran.count(path) <= 1 + unknown.get(path, 0), path
    told = deaths.field.runner.ok("why", run, "--format", "json", env=deaths.field.env).json["events"]
    listed = [event["data"]["step"] for event in told if event["kind"] == "attempt.unknown"]
    assert set(unknown) <= set(listed)


def unbroken(deaths: Deaths) -> dict[str, tuple[str, str]]:
    deaths.clear()
    assert deaths.call("run", "flow") == 0
    shown = deaths.newest()
    assert len(shown["history"]) >= 40
    return final(shown)


def die_everywhere(deaths: Deaths, points: list[tuple[int, str]]) -> None:
    """Each point: a run killed there, then resumed, killed again where it then is, then resumed to its end."""
    expected = unbroken(deaths)
    killed = 0
    for at, when in points:
        deaths.clear()
        if deaths.call("run", "flow", at=at, when=when) == 0:
            continue  # the run has fewer writes than that
        killed += 1
        shown = deaths.newest()
        if deaths.call("resume", shown["id"], at=at % 7 + 2, when=when) == -signal.SIGKILL:
            killed += 1
        code = deaths.call("resume", shown["id"])
        shown = deaths.newest()
        assert code == 0 or shown["status"] == "done", (at, when, shown["result"])
        proof(deaths, expected, shown)
    assert killed >= len(points), "too few deaths to show anything"


def test_a_run_that_is_killed_at_a_write_goes_on_to_the_same_end(crowd_field: Field) -> None:
    chosen = random.Random(7).sample(range(4, 44), 2)
    die_everywhere(Deaths(crowd_field), [(at, ("before", "after")[n % 2]) for n, at in enumerate(chosen)])


@pytest.mark.soak
@pytest.mark.parametrize("part", range(6))
def test_a_run_that_is_killed_at_every_write_goes_on_to_the_same_end(crowd_field: Field, part: int) -> None:
    points = [(at, when) for at in range(3, 45) for when in ("before", "after")]
    die_everywhere(Deaths(crowd_field), points[part::6])


def test_a_run_in_the_queue_is_taken_up_by_the_next_worker(sqlite_field: Field) -> None:
    deaths = Deaths(sqlite_field)
    expected = unbroken(deaths)
    deaths.clear()
    runner, env = sqlite_field.runner, sqlite_field.env
    run = runner.ok("workflow", "run", "flow", "--queue", env=env).stdout.strip()
    for at in (9, 12, 8, 15):
        ended = runner("work", "--drain", env={**env, "KILL_AT": str(at), "KILL_WHEN": "after"})
        assert ended.code == -signal.SIGKILL
    runner.ok("work", "--drain", env=env)
    shown = runner.ok("show", run, "--format", "json", env=env).json
    proof(deaths, expected, shown)
    assert os.path.isdir(deaths.root)
    assert json.dumps(shown)
    assert Path(deaths.root, "effects").exists()
