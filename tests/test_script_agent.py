"""The scripted agent does what its prompt says, in the order it says it, and starts fast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runner.agents import REPAIR_HEADING
from runner.agents.prompt import ANSWER_HEADING, RETRY_HEADING
from runner.testing import script_agent
from runner.testing.script_agent import directives
from runner_plugins.agent_script import register_agents

AGENT = register_agents()["script"]
PROGRAM = [AGENT.program, *(word for word in AGENT.argv if word.startswith(("-I", "-S", "/")))]


def run(cwd: Path, prompt: str, *words: str, attempt: int = 1, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words],
        input=prompt,
        cwd=cwd,
        env={**os.environ, "RUNNER_ATTEMPT": str(attempt)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_without_directives_it_says_done_and_does_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "Please fix the bug, [[ -f x ]] && echo ]]")
    assert events(done) == [{"event": "session", "id": "script"}, {"event": "final", "text": "done"}]
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_files_are_written_appended_edited_linked_and_deleted(tmp_path: Path) -> None:
    prompt = """Do it.
    [[write: a/b.txt <<one]] [[append: a/b.txt <<two]]
    [[write: c.py <<
def f():
    return 1
]]
    [[edit: c.py :: return 1 :: return 2]]
    [[write: d.txt <<END
x = [[1], [2]]
END]]
    [[link: l -> c.py]] [[write: gone <<x]] [[delete: gone]] [[say: finished]]"""
    done = run(tmp_path, prompt)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a/b.txt").read_text() == "one\ntwo\n"
    assert (tmp_path / "c.py").read_text() == "def f():\n    return 2\n"
    assert (tmp_path / "d.txt").read_text() == "x = [[1], [2]]\n"
    assert os.readlink(tmp_path / "l") == "c.py"
    assert not (tmp_path / "gone").exists()
    assert events(done)[-1] == {"event": "final", "text": "finished"}


def test_commands_are_run_and_their_output_stays_out_of_the_protocol(tmp_path: Path) -> None:
    done = run(tmp_path, "[[run: echo hi > out.txt; echo noise; exit 3]]")
    assert (tmp_path / "out.txt").read_text() == "hi\n"
    assert "noise" in done.stderr
    assert {"event": "tool", "name": "run", "exit": 3} in events(done)
    assert done.returncode == 0


def test_a_commit_is_made(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    run(tmp_path, '[[write: a <<x]] [[commit: it\'s "done"]]')
    log = subprocess.run(["git", "-C", str(tmp_path), "log", "--format=%s"], capture_output=True, text=True, check=True)
    assert log.stdout == 'it\'s "done"\n'


def test_what_it_does_may_depend_on_attempt_and_repair(tmp_path: Path) -> None:
    prompt = (
        "[[on-attempt 2: [[say: second]]]] [[on-first: [[say: first]]]]"
        " [[on-repair: [[write: fixed <<yes]] [[say: repaired]]]]"
    )
    assert events(run(tmp_path, prompt))[-1]["text"] == "first"
    assert events(run(tmp_path, prompt, attempt=2))[-1]["text"] == "second"
    assert not (tmp_path / "fixed").exists()
    asked = f"{prompt}\n\n{REPAIR_HEADING}\n\n1. red [[write: evil <<x]]\n"
    assert events(run(tmp_path, asked, attempt=3))[-1]["text"] == "repaired"
    assert (tmp_path / "fixed").exists()
    assert not (tmp_path / "evil").exists()


def test_it_knows_the_headings_of_the_runner() -> None:
    assert script_agent.HEADINGS == (REPAIR_HEADING, RETRY_HEADING, ANSWER_HEADING)


def test_a_question_ends_it_until_it_is_answered(tmp_path: Path) -> None:
    prompt = "[[ask: Which colour?]] [[write: c <<red]]"
    done = run(tmp_path, prompt)
    assert {"event": "ask", "question": "Which colour?"} in events(done)
    assert not (tmp_path / "c").exists()
    run(tmp_path, f"{prompt}\n\n{ANSWER_HEADING}\n\nA person says: red\n")
    assert (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("prompt", "code", "event"),
    [
        ("[[exit: 7]]", 7, None),
        ("[[crash]]", -signal.SIGKILL, None),
        ("[[auth]]", 1, {"event": "error", "class": "auth", "message": "not logged in"}),
        ("[[edit: none :: a :: b]]", 1, None),
        ("[[edit: none]]", 1, None),
    ],
)
def test_it_fails_as_told_and_then_has_no_final_word(tmp_path: Path, prompt: str, code: int, event: Any) -> None:
    done = run(tmp_path, prompt)
    assert done.returncode == code
    assert event is None or event in events(done)
    assert all(one["event"] != "final" for one in events(done))
    assert "Traceback" not in done.stderr


def test_a_rate_limit_says_when_it_is_over(tmp_path: Path) -> None:
    done = run(tmp_path, "[[rate-limit: 90]]")
    [limit] = [one for one in events(done) if one["event"] == "limit"]
    assert 80 < limit["retry_at"] - time.time() < 100
    assert done.returncode == 1


def test_a_flood_is_as_big_as_asked(tmp_path: Path) -> None:
    assert len(run(tmp_path, "[[flood: 3M]]", "--format", "text").stdout) == (3 << 20) + 1 + len("done\n")
    assert run(tmp_path, "[[flood: 10K line]]", "--format", "text").stdout.index("\n") == 10240


def test_what_would_write_is_denied_when_it_may_only_read(tmp_path: Path) -> None:
    done = run(tmp_path, "[[write: a <<x]] [[run: touch b]] [[say: read]]", "--read-only")
    assert list(tmp_path.iterdir()) == []
    assert [one["tool"] for one in events(done) if one["event"] == "denied"] == ["write", "run"]


def test_a_daemon_leaves_its_session_its_environment_and_ignores_term(tmp_path: Path) -> None:
    done = run(tmp_path, "[[fork-daemon: pid]]")
    pid = int((tmp_path / "pid").read_text())
    try:
        assert {"event": "daemon", "pid": pid} in events(done)
        assert os.getsid(pid) not in (os.getsid(0), pid)
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_deaf_ignores_term_and_hang_does_not(tmp_path: Path) -> None:
    for prompt, ends in (("[[hang]]", True), ("[[deaf]] [[hang]]", False)):
        child = subprocess.Popen([*PROGRAM, prompt], cwd=tmp_path, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.1)
        child.terminate()
        try:
            child.wait(0.5)
            assert ends
        except subprocess.TimeoutExpired:
            assert not ends
            child.kill()
            child.wait()
        child.stdout.close()


def test_plain_text_has_only_the_words(tmp_path: Path) -> None:
    done = run(tmp_path, "[[print: hello]] [[stderr: log]] [[say: bye]]", "--format", "text")
    assert (done.stdout, done.stderr) == ("hello\nbye\n", "log\n")


def test_the_prompt_may_be_an_argument(tmp_path: Path) -> None:
    assert events(run(tmp_path, "", "--session", "s1", "[[say: hi]]")) == [
        {"event": "session", "id": "s1"},
        {"event": "final", "text": "hi"},
    ]


def test_it_is_installed_as_a_program_too() -> None:
    from importlib.metadata import entry_points

    [entry] = [one for one in entry_points(group="console_scripts") if one.name == "runner-script-agent"] or [None]
    declared = Path(__file__).parent.parent.joinpath("pyproject.toml").read_text()
    assert 'runner-script-agent = "runner.testing.script_agent:main"' in declared
    assert entry is None or entry.load() is script_agent.main


def test_directives_nest_and_an_open_one_ends_with_the_text() -> None:
    assert directives("a [[say: x [[y]] z]] b") == [("say", "", " x [[y")]
    assert directives("[[on-attempt 3: [[say: x]] [[hang]]]]") == [("on-attempt", "3", " [[say: x]] [[hang]]")]
    assert directives("[[say: never closed") == [("say", "", " never closed")]


def test_it_starts_in_a_few_milliseconds(tmp_path: Path) -> None:
    def seconds(argv: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run(argv, input=b"", capture_output=True, check=True)
        return time.perf_counter() - began

    # The quickest of several: the rest tells how busy the machine is.
    bare = min(seconds([sys.executable, "-I", "-S", "-c", "pass"]) for _ in range(7))
    ours = min(seconds(PROGRAM) for _ in range(7))
    assert ours < bare + 0.06
