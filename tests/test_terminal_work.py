"""The live view of `runner work`, looked at on a real terminal: what a person sees, at any size, to any end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.terminal import Terminal

WAIT = "until [ -e {go} ]; do sleep 0.05; done"


@pytest.fixture
def repository(project: Path) -> Path:
    """The project in a git repository, so that tasks run side by side."""
    (project / ".gitignore").write_text(".runner/\n")
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    return project


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """The file for which scripts wait."""
    return tmp_path / "go"


def submit(runner: Runner, *scripts: str) -> list[str]:
    lines = [json.dumps({"type": "run_script", "payload": {"script": script}}) for script in scripts]
    done = runner.ok("submit", "--from", "-", "--format", "json", input="\n".join(lines))
    return [item["id"] for item in done.items]


def on(runner: Runner, folder: Path, *words: str, columns: int = 80, rows: int = 24, **env: str) -> Terminal:
    return Terminal([*runner.argv, "work", *words], folder, columns, rows, env)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_each_slot_shows_its_task_and_finished_ones_scroll_above(
    runner: Runner, repository: Path, go: Path, columns: int, rows: int
) -> None:
    long = "a line that is longer than a terminal of eighty columns " * 6
    first, second, third = submit(
        runner, f"echo '{long}'; {WAIT.format(go=go)}", "echo quick", f"echo error >&2; {WAIT.format(go=go)}; exit 3"
    )
    with on(runner, repository, "--slots", "2", columns=columns, rows=rows) as terminal:
        terminal.until(lambda: f"task {second} run_script: done" in terminal.text and third in terminal.text)
        terminal.until(lambda: "a line that" in terminal.text and "error" in terminal.text)
        terminal.until("0 waiting")
        lines = terminal.lines
        assert re.fullmatch(rf"{first}  run_script  running {{4}}0:\d\d  a line that is .*…", lines[-3])
        assert re.fullmatch(rf"{third}  run_script  running {{4}}0:\d\d  error", lines[-2])
        assert lines[-1] == "1 done, 0 failed, 0 need a person, 0 waiting"
        assert len(lines[-3]) == columns - 1
        go.touch()
        assert terminal.wait() == 1
        assert terminal.cursor_is_shown
        assert "running" not in terminal.text
        assert terminal.lines[-1] == "2 done, 1 failed"
        assert len(terminal.lines) == 4, terminal.text


def test_eight_slots_fit_24_rows_and_more_slots_than_rows_say_so(runner: Runner, repository: Path, go: Path) -> None:
    ids = submit(runner, *[f"echo number {n}; {WAIT.format(go=go)}" for n in range(10)])
    with on(runner, repository, "--slots", "8") as terminal:
        terminal.until(lambda: terminal.text.count("running") == 8 and "2 waiting" in terminal.text)
        terminal.until(lambda: len(re.findall(r"number \d", terminal.text)) == 8)
        assert len(terminal.lines) == 9
        terminal.resize(80, 8)
        terminal.until(lambda: "… more slots: 4 busy" in terminal.text)
        assert sum("running" in line for line in terminal.lines) == 4
        terminal.resize(80, 24)
        terminal.until(lambda: terminal.text.count("number") == 8)
        go.touch()
        assert terminal.wait() == 0
        assert sum(f"task {id} run_script: done" in terminal.whole for id in ids) == 10


def test_a_resize_leaves_one_view_within_the_new_width(runner: Runner, repository: Path, go: Path) -> None:
    [id] = submit(runner, f"echo {'word ' * 60}; {WAIT.format(go=go)}")
    with on(runner, repository, "--slots", "2", columns=200) as terminal:
        terminal.until("word word")
        for columns in (120, 80, 45, 160):
            terminal.resize(columns, 24)
            terminal.until(lambda: any(line.startswith(id) and line.endswith("…") for line in terminal.lines))
            terminal.read(1.3)
            assert terminal.text.count(id) == 1, terminal.text
            assert len(terminal.lines[0]) == columns - 1
            assert [line for line in terminal.lines if line.startswith("0 done, 0 failed")] == [terminal.lines[-1]]
        go.touch()
        assert terminal.wait() == 0


def test_what_a_program_prints_can_not_drive_the_terminal(runner: Runner, repository: Path, go: Path) -> None:
    evil = r"printf '\033[2J\033[?25l\033]0;owned\007\033[31mred\033[0m 日本語 e\314\201 \302\233\r\n'"
    [id, failing] = submit(
        runner, f"{evil}; {WAIT.format(go=go)}", rf"{WAIT.format(go=go)}; printf '\033[2Jbad\a' >&2; exit 1"
    )
    with on(runner, repository, "--slots", "2") as terminal:
        terminal.until("red 日本語 \u00e9")
        assert next(line for line in terminal.lines if id in line)
        go.touch()
        assert terminal.wait() == 1
        assert terminal.cursor_is_shown
        assert failing in terminal.text
        assert b"owned" not in terminal.raw
        assert not re.search(rb"\x1b(?!\[\d*(;\d+)*[AmJK])|[\x00-\x06\x07\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]", terminal.raw)


def test_ctrl_c_says_what_it_does_and_twice_ends_it(runner: Runner, repository: Path, go: Path) -> None:
    [id] = submit(runner, f"echo busy; {WAIT.format(go=go)}")
    with on(runner, repository, "--loop") as terminal:
        terminal.until("busy")
        terminal.type("\x03")
        terminal.until("finishing what runs; again to end it now")
        terminal.read(1.2)
        assert terminal.text.count(id) == 1, terminal.text
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert terminal.cursor_is_shown
        assert "^C" not in terminal.lines[-1]
    [task] = runner.ok("queue", "--format", "json").items
    assert (task["id"], task["status"]) == (id, "pending")


def test_nothing_is_drawn_while_nothing_changes_and_few_times_while_much_does(
    runner: Runner, repository: Path, go: Path
) -> None:
    submit(runner, f"while ! [ -e {go} ]; do echo $((n=n+1)); done; sleep 30")
    with on(runner, repository, "--loop", "--slots", "2") as terminal:
        terminal.until(lambda: bool(re.search(r"running +0:0[1-9]  \d+", terminal.text)))
        before = terminal.raw.count(b"waiting")
        terminal.read(3.0)
        assert terminal.raw.count(b"waiting") - before <= 16  # five a second, and a bit
        go.touch()
        terminal.read(0.5)
        before = terminal.raw.count(b"waiting")
        terminal.read(3.0)
        assert 2 <= terminal.raw.count(b"waiting") - before <= 4  # the seconds
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.type("\x03")
        terminal.wait()


def test_a_free_worker_draws_nothing_and_costs_nothing(runner: Runner, repository: Path) -> None:
    with on(runner, repository, "--loop", "--slots", "2") as terminal:
        terminal.until("0 waiting")
        terminal.read(1.5)
        drawn, used, since = len(terminal.raw), cpu(terminal.pid), time.monotonic()
        terminal.read(4.0)
        assert len(terminal.raw) == drawn
        assert (cpu(terminal.pid) - used) / (time.monotonic() - since) < 0.03
        terminal.type("\x03")
        assert terminal.wait() == 0


def cpu(pid: int) -> float:
    """Seconds of processor time of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_worker_that_fails_leaves_the_terminal_as_it_was(runner: Runner, repository: Path, go: Path) -> None:
    submit(runner, f"echo busy; {WAIT.format(go=go)}")
    with on(runner, repository) as terminal:
        terminal.until("busy")
        [state] = (Path(os.environ["XDG_STATE_HOME"]) / "runner").glob("*/store.db")
        state.write_bytes(b"no database" * 1000)
        go.touch()
        assert terminal.wait() not in (0, 1, 3)
        assert terminal.cursor_is_shown
        assert "running" not in terminal.text
        assert "error: " in terminal.text


def test_a_killed_worker_leaves_a_cursor_below_what_it_drew(runner: Runner, repository: Path, go: Path) -> None:
    submit(runner, f"echo busy; {WAIT.format(go=go)}")
    with on(runner, repository) as terminal:
        terminal.until("busy")
        terminal.signal(signal.SIGKILL)
        assert terminal.wait() == -signal.SIGKILL
        assert terminal.cursor_is_shown
    go.touch()


@pytest.mark.parametrize(
    ("words", "env"),
    [(["--no-live"], {}), ([], {"TERM": "dumb"}), (["--format", "jsonl"], {}), ([], {"PYTHONIOENCODING": "ascii"})],
)
def test_where_it_is_not_wanted_there_are_lines_as_in_a_pipe(
    runner: Runner, repository: Path, words: list[str], env: dict[str, str]
) -> None:
    [id] = submit(runner, "echo hello")
    with on(runner, repository, *words, **env) as terminal:
        assert terminal.wait() == 0
        assert b"\x1b" not in terminal.raw
        assert f"task {id} run_script: started" in terminal.text
        assert f"task {id} run_script: done" in terminal.text


def test_quiet_is_quiet_on_a_terminal(runner: Runner, repository: Path) -> None:
    submit(runner, "echo hello")
    with on(runner, repository, "-q") as terminal:
        assert terminal.wait() == 0
        assert terminal.raw == b""


def test_live_without_a_terminal_is_an_error(runner: Runner, repository: Path) -> None:
    ended = runner("work", "--live")
    assert (ended.code, ended.stderr) == (
        2,
        "error: --live needs a terminal: standard error is none\nhint: leave it out\n",
    )


def test_an_agents_words_cost_and_checks_are_shown(runner: Runner, repository: Path, go: Path, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    lines = [
        {"type": "system", "subtype": "init", "session_id": "s"},
        {
            "type": "assistant",
            "message": {"id": "1", "content": [{"type": "text", "text": "Thinking.\nI read the code."}]},
        },
    ]
    result = {"type": "result", "subtype": "success", "is_error": False, "result": "ok", "session_id": "s"}
    told = "\n".join(map(json.dumps, lines))
    last = json.dumps({**result, "total_cost_usd": 0.25, "usage": {"input_tokens": 10, "output_tokens": 5}})
    agent.write_text(
        f"#!/bin/sh\ncat > /dev/null\ncat <<'E'\n{told}\nE\n{WAIT.format(go=go)}\necho '{last}'\necho x > x\n"
    )
    agent.chmod(0o755)
    (repository / "runner.yaml").write_text(f"agents:\n  claude: {{program: {agent}}}\n")
    check = f"command: {WAIT.format(go=tmp_path / 'more')}"
    id = runner.ok("submit", "--agent", "claude", "Do it", "--check", check, "--format", "json").json["id"]
    with on(runner, repository) as terminal:
        terminal.until(lambda: bool(re.search(rf"{id}  agent_run  claude  running    0:\d\d  I read", terminal.text)))
        go.touch()
        terminal.until(lambda: bool(re.search(rf"{id}  agent_run  claude  checking   0:\d\d  \$0.25  ", terminal.text)))
        assert "command: until" in terminal.text
        (tmp_path / "more").touch()
        assert terminal.wait() == 0


def test_a_secret_is_not_shown(runner: Runner, repository: Path, go: Path) -> None:
    submit(runner, f"echo the key is $MY_API_KEY; {WAIT.format(go=go)}")
    with on(runner, repository, MY_API_KEY="abcdefgh12345678") as terminal:
        terminal.until("the key is")
        go.touch()
        assert terminal.wait() == 0
        assert b"abcdefgh" not in terminal.raw


def test_a_job_in_the_background_does_not_draw_into_the_shell(
    runner: Runner, repository: Path, go: Path, tmp_path: Path
) -> None:
    [id] = submit(runner, f"echo busy; {WAIT.format(go=go)}")
    program = tmp_path / "worker.sh"
    program.write_text(f'#!/bin/sh\nexec {" ".join(runner.argv)} work --loop "$@"\n')
    program.chmod(0o755)
    with Terminal(["bash", "--norc", "--noprofile", "-i"], repository, 80, 24, {"PS1": "$ "}) as shell:
        shell.until("$")
        shell.type(f"{program}\n")
        shell.until("busy")
        shell.type("\x1a")
        shell.until("Stopped")
        shell.type("echo to the she''ll\n")
        shell.until("\nto the shell\n")
        shell.type("fg\n")
        shell.until(lambda: shell.text.count("busy") == 2 and shell.lines[-1].startswith("0 done"))
        assert "to the shell" in shell.text
        shell.type("\x1a")
        shell.until(lambda: shell.text.count("Stopped") == 2)
        shell.type("bg\n")
        shell.read(1.5)
        before = shell.text
        shell.read(1.5)
        assert shell.text == before
        go.touch()
        shell.until(f"task {id} run_script: done")
        assert "0 waiting" not in shell.lines[-1]
        shell.type("fg\n")
        shell.until(lambda: shell.lines[-1].startswith("1 done"))
        shell.type("\x03")
        shell.until(lambda: "\n1 done\n" in shell.text)
        shell.type("exit\n")
        shell.wait()


def test_run_shows_its_agent_until_it_answers(runner: Runner, repository: Path, go: Path, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    agent.write_text(f"#!/bin/sh\ncat > /dev/null\necho thinking\n{WAIT.format(go=go)}\necho the answer\n")
    agent.chmod(0o755)
    (repository / "runner.yaml").write_text(f"agents:\n  sage: {{program: {agent}, prompt: stdin}}\n")
    with Terminal([*runner.argv, "run", "sage", "what is it?"], repository) as terminal:
        terminal.until(lambda: bool(re.search(r"agent_run  sage  running    0:\d\d  thinking$", terminal.text)))
        assert len(terminal.lines) == 1
        go.touch()
        assert terminal.wait() == 0
        assert terminal.lines == ["thinking", "the answer"]
