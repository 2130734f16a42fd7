"""The live tree of `runner workflow run`, looked at on a real terminal: what a person sees, at any size, to any end."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.terminal import Terminal
from tests.test_terminal_work import cpu

HOLD = "until [ -e {go} ]; do sleep 0.05; done"


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """The file for which steps wait."""
    return tmp_path / "go"


def write(project: Path, text: str, go: Path) -> None:
    """The project's workflow `w`; HOLD in it waits for the file."""
    folder = project / "workflows"
    folder.mkdir(exist_ok=True)
    (folder / "w.yaml").write_text(text.replace("HOLD", HOLD.format(go=go)))


def on(runner: Runner, folder: Path, *words: str, columns: int = 80, rows: int = 24, **env: str) -> Terminal:
    return Terminal([*runner.argv, "workflow", "run", "w", *words], folder, columns, rows, env)


def shown(terminal: Terminal, start: str) -> str:
    """The line of the screen that starts so; "" when there is none."""
    return next((line for line in terminal.lines if line.startswith(start)), "")


LONG = "a line that is longer than a terminal of eighty or of two hundred columns " * 3

DAG = f"""\
pattern: dag
steps:
  - {{id: plan, prompt: "[[say: a plan]] [[usage: 1000 500 0.25]]", agent: script}}
  - {{id: api, command: "echo '{LONG}'; HOLD", needs: [plan]}}
  - id: pages
    needs: [plan]
    steps:
      - {{id: layout, command: "printf '\\\\033[2J\\\\033[31mred\\\\033[0m 日本語\\\\n'; HOLD"}}
      - {{id: styles, command: "true"}}
  - {{id: release, command: "echo out", needs: [api, pages]}}
"""


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_what_runs_side_by_side_what_is_done_and_what_is_to_come_is_one_tree(
    runner: Runner, project: Path, go: Path, tmp_path: Path, columns: int, rows: int
) -> None:
    write(project, DAG, go)
    out = tmp_path / "out"
    argv = ["sh", "-c", 'exec "$@" > "$0"', str(out), *runner.argv, "workflow", "run", "w"]
    with Terminal(argv, project, columns, rows) as terminal:
        terminal.until(lambda: "a line that" in terminal.text and "red 日本語" in terminal.text)
        lines = terminal.lines
        assert re.fullmatch(r"run \w{12}", lines[0])
        assert re.fullmatch(r"✓ plan +script +0:\d\d +\$0\.25", lines[1])
        assert re.fullmatch(r"▸ api +0:\d\d +a line that is longer .*…", lines[2])
        assert len(lines[2]) == columns - 1
        assert re.fullmatch(r"▸ pages +0:\d\d +0 of 2 done", lines[3])
        assert re.fullmatch(r"  ▸ layout +0:\d\d +red 日本語", lines[4])
        assert lines[5:7] == ["  ∙ styles", "∙ release"]
        assert re.fullmatch(r"0:\d\d  \$0\.25  1 of 5 done  2 running", lines[7])
        assert len(lines) == 8
        go.touch()
        assert terminal.wait() == 0
        assert terminal.cursor_is_shown
        assert re.fullmatch(r"0:\d\d  \$0\.25  5 of 5 done", terminal.lines[1]), terminal.text
        assert "▸" not in terminal.text
    assert "\x1b" not in out.read_text()
    assert " done: 5 steps done" in out.read_text()


def test_of_a_loop_only_the_iteration_that_runs_is_shown_and_how_many_are_done(
    runner: Runner, project: Path, go: Path
) -> None:
    write(
        project,
        "steps:\n  - id: each\n    loop: {over: [a, b/c, d, e], as: it}\n    steps:\n"
        "      - {id: fix, command: 'echo fix {{it}}; if [ {{it}} = d ]; then HOLD; fi'}\n"
        "      - {id: check, command: 'true'}\n"
        "  - {id: tries, loop: {max: 5}, steps: [{id: once, command: 'true', break_if: success}]}\n",
        go,
    )
    with on(runner, project) as terminal:
        terminal.until("fix d")
        assert [re.sub(r"( {2,}|0:\d\d)+", "|", line) for line in terminal.lines[1:]] == [
            "▸ each|2 of 4 done",
            "|▸ [d]|0 of 2 done",
            "|▸ fix|fix d",
            "|∙ check",
            "∙ tries|at most 5 × once",
            "|4 of 8+ done|1 running",
        ]
        go.touch()
        assert terminal.wait() == 0
        assert "9 of 9 done" in terminal.text


def test_a_step_that_failed_stays_on_the_terminal_with_its_reason(runner: Runner, project: Path, go: Path) -> None:
    write(
        project,
        "pattern: dag\non_error: continue\nsteps:\n"
        "  - {id: bad, command: 'echo the disk is full >&2; exit 7'}\n"
        "  - {id: after, command: 'true', needs: [bad]}\n"
        "  - {id: allowed, command: 'exit 1', continue_on_failure: true}\n"
        "  - {id: slow, command: 'echo slow; HOLD'}\n",
        go,
    )
    with on(runner, project, columns=120) as terminal:
        terminal.until(lambda: "1 failed  1 tolerated  1 not run" in terminal.text and shown(terminal, "▸ slow"))
        assert re.search(r"✗ bad +0:\d\d +failed: the exit code is 7.*the disk is full", terminal.text)
        assert re.search(r"- after +not run: a need failed", terminal.text)
        assert re.search(r"! allowed +0:\d\d +failed, tolerated: the exit code is 1", terminal.text)
        go.touch()
        assert terminal.wait() == 1
        assert re.fullmatch(r"✗ bad \(0:\d\d\) failed: the exit code is 7, not 0: the disk is full", terminal.lines[1])
        assert terminal.lines[2].endswith("1 of 4 done  1 failed  1 tolerated  1 not run")
        assert "slow" not in terminal.text


GATE = """\
pattern: dag
steps:
  - {id: ask, gate: "Ship 日本 now?", options: [yes, later]}
  - {id: work, command: "echo working; HOLD"}
  - {id: ship, command: "true", needs: [ask]}
"""


def test_a_gate_that_waits_shows_its_question_while_others_run_and_an_answer_goes_on(
    runner: Runner, project: Path, go: Path
) -> None:
    write(project, GATE, go)
    with on(runner, project) as terminal:
        terminal.until(lambda: "working" in terminal.text and "1 waiting" in terminal.text)
        assert re.search(r"\? ask +waits: Ship 日本 now\?", terminal.text)
        assert shown(terminal, "∙ ship")
        go.touch()
        terminal.until("later]")
        assert "? ask waits: Ship 日本 now? (yes, later)" in terminal.text
        terminal.type("yes\r")
        assert terminal.wait() == 0
        assert terminal.text.count("3 of 3 done") == 1


def test_a_gate_without_an_answer_is_left_on_the_terminal(runner: Runner, project: Path, go: Path) -> None:
    write(project, GATE, go)
    go.touch()
    with on(runner, project) as terminal:
        terminal.until("later]")
        terminal.type("\r")
        assert terminal.wait() == 3
        assert re.search(r"\n0:\d\d  1 of 3 done  1 waiting\n", terminal.text)


def test_a_gate_whose_time_is_over_while_its_question_stands_goes_on_with_its_default(
    runner: Runner, project: Path, go: Path
) -> None:
    write(project, GATE.replace("options: [yes, later]", "options: [yes, later], deadline: 1, default: later"), go)
    go.touch()
    with on(runner, project) as terminal:
        terminal.until("later]")
        time.sleep(1.2)
        terminal.type("\r")
        assert terminal.wait() == 0
        assert "ask: nobody answered in time: later" in terminal.text


def test_a_resize_leaves_one_tree_within_the_new_size(runner: Runner, project: Path, go: Path) -> None:
    write(project, DAG, go)
    with on(runner, project, columns=200) as terminal:
        terminal.until(lambda: "a line that" in terminal.text and "red 日本語" in terminal.text)
        for columns, rows in ((120, 24), (40, 24), (80, 6), (160, 30)):
            terminal.resize(columns, rows)
            terminal.until(lambda size=columns: len(shown(terminal, "▸ api")) == size - 1)  # type: ignore[misc]
            terminal.read(1.3)
            assert terminal.text.count("▸ api") == 1, terminal.text
            assert terminal.text.count("layout") == 1, terminal.text
            assert terminal.lines[-1].startswith("0:")
            assert len(terminal.lines) < rows
        go.touch()
        assert terminal.wait() == 0


def test_a_terminal_of_a_few_rows_shows_what_runs_and_scrolls_nothing_away(
    runner: Runner, project: Path, go: Path
) -> None:
    steps = "".join(f"  - {{id: s{n}, command: 'echo number {n}; HOLD'}}\n" for n in range(40))
    write(project, f"pattern: dag\nmax_concurrency: 3\nsteps:\n{steps}", go)
    with on(runner, project, rows=7, columns=40) as terminal:
        terminal.until(lambda: all(f"number {n}" in terminal.text for n in range(3)))
        terminal.read(1.5)
        assert [line[:4] for line in terminal.lines[:-2]] == ["▸ s0", "▸ s1", "▸ s2", "∙ s3"]
        assert terminal.lines[-2] == "… 36 more steps"
        assert re.fullmatch(r"0:\d\d  0 of 40 done  3 running", terminal.lines[-1])
        assert terminal.whole.count("s0") == 1
        go.touch()
        assert terminal.wait() == 0
        assert terminal.whole.count("▸") == 0
        assert "40 of 40 done" in terminal.whole


def test_without_colours_the_tree_has_none(runner: Runner, project: Path, go: Path) -> None:
    write(project, DAG, go)
    with on(runner, project, NO_COLOR="1") as terminal:
        terminal.until(lambda: "a line that" in terminal.text and "red 日本語" in terminal.text)
        go.touch()
        assert terminal.wait() == 0
        assert not re.search(rb"\x1b\[[\d;]*m", terminal.raw)
        assert b"\x1b[" in terminal.raw
    go.unlink()
    with on(runner, project) as terminal:
        terminal.until(lambda: b"\x1b[32m" in terminal.raw)
        go.touch()
        assert terminal.wait() == 0


@pytest.mark.parametrize(
    ("words", "env"), [([], {"TERM": "dumb"}), (["--format", "jsonl"], {}), ([], {"PYTHONIOENCODING": "ascii"})]
)
def test_where_nothing_can_be_drawn_or_a_program_listens_there_are_lines(
    runner: Runner, project: Path, go: Path, words: list[str], env: dict[str, str]
) -> None:
    write(project, "steps: [{id: one, command: 'true'}, {id: two, command: 'true'}]", go)
    with on(runner, project, *words, columns=200, **env) as terminal:
        assert terminal.wait() == 0
        assert b"\x1b" not in terminal.raw
        if words:
            told = [json.loads(line) for line in terminal.raw.splitlines() if line.startswith(b"{")]
            assert [one["path"] for one in told if one["status"] == "done" and "path" in one] == ["one", "two"]
        else:
            assert "two done (" in terminal.text


def test_a_pipe_gets_lines_and_quiet_is_quiet(runner: Runner, project: Path, go: Path) -> None:
    write(project, "steps: [{id: one, command: 'true'}]", go)
    ended = runner.ok("workflow", "run", "w")
    assert re.search(r"^one …\none done \(", ended.stderr, re.MULTILINE)
    assert "\x1b" not in ended.stderr + ended.stdout
    with on(runner, project, "-q") as terminal:
        assert terminal.wait() == 0
        assert re.fullmatch(rb"run \w+ done: 1 step done\r\n", terminal.raw)


def test_ctrl_c_says_what_it_does_and_twice_ends_it_with_what_was_interrupted(
    runner: Runner, project: Path, go: Path
) -> None:
    write(project, "steps: [{id: long, command: 'echo busy; HOLD'}, {id: next, command: 'true'}]", go)
    with on(runner, project) as terminal:
        terminal.until("busy")
        terminal.type("\x03")
        terminal.until("finishing what runs; again to end it now")
        terminal.read(1.2)
        assert terminal.text.count("▸ long") == 1, terminal.text
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert terminal.cursor_is_shown
        assert "- long interrupted" in terminal.text
        assert re.search(r"\n0:\d\d  0 of 2 done  1 interrupted\n", terminal.text)
        assert "▸" not in terminal.text


def test_a_run_that_goes_on_shows_what_was_done_before(runner: Runner, project: Path, go: Path) -> None:
    write(project, "steps: [{id: first, command: 'true'}, {id: second, command: 'test -e x || exit 1; HOLD'}]", go)
    run = runner("workflow", "run", "w", "--format", "json").json["run"]
    (project / "x").touch()
    with Terminal([*runner.argv, "workflow", "resume", run], project) as terminal:
        terminal.until(lambda: bool(shown(terminal, "▸ second")))
        assert re.fullmatch(r"✓ first +0:00", shown(terminal, "✓ first"))
        go.touch()
        assert terminal.wait() == 0
        assert "2 of 2 done" in terminal.text


def test_only_lines_that_changed_are_written_and_a_silent_run_costs_nothing(
    runner: Runner, project: Path, go: Path
) -> None:
    steps = "".join(f"  - {{id: step-{n}, command: 'HOLD', needs: [wait]}}\n" for n in range(15))
    write(project, f"pattern: dag\nsteps:\n  - {{id: wait, command: 'HOLD'}}\n{steps}", go)
    with on(runner, project) as terminal:
        terminal.until(lambda: bool(re.search(r"▸ wait +0:0[1-9]", terminal.text)))
        terminal.read(1.0)
        before, drawn, used, since = (
            terminal.raw.count(b"step-"),
            len(terminal.raw),
            cpu(terminal.pid),
            time.monotonic(),
        )
        terminal.read(4.0)
        assert terminal.raw.count(b"step-") == before
        assert len(terminal.raw) > drawn  # the seconds
        assert (cpu(terminal.pid) - used) / (time.monotonic() - since) < 0.1
        go.touch()
        assert terminal.wait() == 0


def test_a_killed_run_leaves_a_cursor_below_what_it_drew(runner: Runner, project: Path, go: Path) -> None:
    write(project, "steps: [{id: one, command: 'echo busy; HOLD'}]", go)
    with on(runner, project) as terminal:
        terminal.until("busy")
        terminal.signal(signal.SIGKILL)
        assert terminal.wait() == -signal.SIGKILL
        assert terminal.cursor_is_shown
    go.touch()
