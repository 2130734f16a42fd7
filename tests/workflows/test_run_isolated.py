"""Isolated steps of a run in a folder: they begin with all that is there, and what they did comes back uncommitted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.workspace.git import Git
from tests.conftest import Runner
from tests.workflows.flows import Flows, git, lines

FLOW = """
steps:
  - {id: a, agent: script, writes: isolated, prompt: "PROMPT"}
"""

TWO = """
pattern: dag
max_concurrency: 2
KEYS
steps:
  - {id: a, agent: script, writes: isolated, prompt: "[[on-first: [[write: a.txt <<A]] ]] MEND"}
  - {id: b, agent: script, writes: isolated, prompt: "[[on-first: [[write: a.txt <<B]] ]] MEND"}
"""

MEND = (
    "[[on-repair: [[run: git merge -q -X ours "
    "$(git rev-parse refs/runner/$(basename $(dirname $(git rev-parse --show-toplevel)))/base)]] ]]"
)


def prompt(*runs: str) -> str:
    """A workflow of one isolated step that does all of that."""
    return FLOW.replace("PROMPT", " ".join(f"[[run: {one}]]" for one in runs))


def checkout(root: Path) -> tuple[bytes, str, str]:
    """What belongs to the person alone: the index, the branch and its log."""
    return (root / ".git/index").read_bytes(), (root / ".git/HEAD").read_text(), git(root, "reflog")


def leftovers(repo: Flows) -> tuple[str, str, list[str]]:
    """Worktrees, refs of unmerged work and folders that are there still."""
    state = Path(os.environ["XDG_STATE_HOME"]) / "runner"
    trees = git(repo.root, "worktree", "list", "--porcelain").split("\n\n")[1:]
    refs = git(repo.root, "for-each-ref", "--format=%(refname)", "refs/runner/*/base", "refs/runner/*/decided")
    return "\n".join(trees), refs, [str(one) for one in state.glob("**/worktrees/*")]


def test_it_begins_with_what_is_not_committed_and_commits_nothing(repo: Flows) -> None:
    root = repo.root
    (root / ".gitignore").write_text("secret\n")
    (root / "a.txt").write_text("changed\n")
    (root / "new.txt").write_text("untracked\n")
    (root / "secret").write_text("s\n")
    (root / "staged").write_text("index\n")
    git(root, "add", "staged")
    (root / "staged").write_text("disk\n")
    before = checkout(root)
    ran = repo.run(prompt("cat a.txt new.txt staged > seen; echo more >> new.txt; test ! -e secret || echo s >> seen"))
    assert ran.status == "done", ran.result["summary"]
    assert lines(root / "seen") == ["changed", "untracked", "disk"]
    assert lines(root / "new.txt") == ["untracked", "more"]
    assert checkout(root) == before
    assert lines(root / "secret") == ["s"]
    assert leftovers(repo) == ("", "", [])


def test_an_agents_edits_before_it_are_no_obstacle(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - {id: a, agent: script, prompt: "[[write: a.txt <<edited]]"}
  - {id: b, agent: script, writes: isolated, prompt: "[[run: cat a.txt > b.txt]]"}
  - {id: c, command: cat b.txt}
"""
    )
    assert ran.outputs["c"] == "edited", ran.result["summary"]
    assert git(repo.root, "log", "--format=%s") == "first"


def test_files_of_every_kind_come_back(repo: Flows) -> None:
    root = repo.root
    for name in ("gone/deep", "old", "dir/x", "exec", "both", "link"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("1\n2\n3\n4\n5\n")
    (root / "private").write_text("p\n")
    (root / "private").chmod(0o600)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "more")
    (root / "both").write_text("mine\n2\n3\n4\n5\n")
    ran = repo.run(
        prompt(
            "rm -r gone dir; echo file > dir; rm old; mkdir old; echo y > old/y; chmod +x exec; ln -sf exec link",
            "sed -i s/5/theirs/ both; echo q >> private; mkdir -p 'new dir'; printf 'a\\\\0b' > 'new dir/ä b'",
        )
    )
    assert ran.status == "done", ran.result["summary"]
    assert not (root / "gone").exists()
    assert (lines(root / "dir"), lines(root / "old/y")) == (["file"], ["y"])
    assert os.access(root / "exec", os.X_OK)
    assert os.readlink(root / "link") == "exec"
    assert lines(root / "both") == ["mine", "2", "3", "4", "theirs"]
    assert (lines(root / "private"), (root / "private").stat().st_mode & 0o777) == (["p", "q"], 0o600)
    assert (root / "new dir/ä b").read_bytes() == b"a\0b"
    assert git(root, "log", "-1", "--format=%s") == "more"


def test_a_conflict_is_a_red_verdict_and_leaves_the_folder_as_it_was(repo: Flows) -> None:
    before = checkout(repo.root)
    ran = repo.run(TWO.replace("KEYS", "").replace("MEND", ""))
    assert (ran.status, sorted(ran.states.values())) == ("failed", ["done", "failed"])
    assert "can't be merged: a.txt" in str(ran.result["summary"])
    won = next(path for path, state in ran.states.items() if state == "done")
    assert lines(repo.root / "a.txt") == [won.upper()]
    assert checkout(repo.root) == before


def test_a_conflict_can_be_repaired_in_the_steps_own_worktree(repo: Flows) -> None:
    ran = repo.run(TWO.replace("KEYS", "repairable: {attempts: 2}").replace("MEND", MEND))
    assert ran.status == "done", ran.result["summary"]
    assert len(ran.attempts) == 3
    assert git(repo.root, "log", "--format=%s") == "first"
    assert leftovers(repo) == ("", "", [])


@pytest.mark.parametrize("made", ["out/file", "out"])
def test_what_git_does_not_know_of_is_never_overwritten(repo: Flows, made: str) -> None:
    root = repo.root
    (root / ".gitignore").write_text("out\n")
    (root / "out").mkdir()
    (root / "out/file").write_text("mine\n")
    ran = repo.run(prompt(f"mkdir -p $(dirname {made}); echo theirs > {made}; git add -f {made}", "echo x > b.txt"))
    assert (ran.status, f"can't be merged: {made}" in ran.summary("a")) == ("failed", True)
    assert lines(root / "out/file") == ["mine"]
    assert not (root / "b.txt").exists()


def test_a_file_that_cannot_be_written_leaves_the_folder_as_it_was(
    repo: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = Git.run, 0

    def broken(self: Git, *words: str, input: bytes = b"") -> bytes:
        nonlocal calls
        if words[0] != "checkout-index" or (calls := calls + 1) > 1:
            return run(self, *words, input=input)
        run(self, *words, input=input.partition(b"\0")[0] + b"\0")
        raise OSError("no space left")

    (repo.root / "b.txt").write_text("mine\n")
    with monkeypatch.context() as patched:
        patched.setattr(Git, "run", broken)
        ran = repo.run(prompt("echo x > a.txt; rm -f b.txt; echo new > c.txt"))
    assert (ran.status, "can't be written" in ran.summary("a")) == ("failed", True)
    assert (lines(repo.root / "a.txt"), lines(repo.root / "b.txt")) == (["one"], ["mine"])
    assert not (repo.root / "c.txt").exists()
    assert repo.resume(ran).status == "done"
    assert (lines(repo.root / "a.txt"), lines(repo.root / "c.txt")) == (["x"], ["new"])
    assert not (repo.root / "b.txt").exists()


def test_a_git_that_cannot_merge_without_a_checkout_is_told_before_anything_is_paid(
    repo: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Git.line
    monkeypatch.setattr(
        Git, "line", lambda self, *words: "git version 2.37.3" if words == ("version",) else line(self, *words)
    )
    ran = repo.run(prompt("touch b"))
    assert "git 2.37.3 is too old" in ran.summary("a")
    repo.worktree = True
    assert repo.run(prompt("echo x > b")).status == "done"


def test_a_folder_within_the_repository_is_where_it_works(project: Path) -> None:
    top = project.parent
    git(top, "init", "-q", "-b", "main")
    (top / "top.txt").write_text("top\n")
    git(top, "add", "top.txt")
    git(top, "commit", "-qm", "first")
    (project / "here.txt").write_text("here\n")
    ran = Flows(project).run(prompt("cat here.txt ../top.txt > both; echo x >> ../top.txt; rm here.txt"))
    assert ran.status == "done", ran.result["summary"]
    assert (lines(project / "both"), lines(top / "top.txt")) == (["here", "top"], ["top", "x"])


def test_of_a_step_that_failed_the_worktree_stays_until_the_run_is_over(repo: Flows, runner: Runner) -> None:
    text = FLOW.replace("PROMPT", "[[run: echo mine > b.txt]]").replace("}\n", ", verify: [{file_exists: ok}]}\n")
    asks = text.replace("steps:", "repairable: {attempts: 0}\nsteps:")
    ran = repo.run(asks)
    assert (ran.status, leftovers(repo)[0].count("worktree ")) == ("failed", 1)
    [gone] = runner.ok("clean", "--format", "json").items
    assert (gone["removed"], gone["unit"].startswith(ran.task.id)) == (True, True)
    assert leftovers(repo)[0] == ""
    assert not (repo.root / "b.txt").exists()
    again = repo.resume(ran, asks.replace("[[run: ", "[[run: touch ok; cat b.txt > c.txt; "))
    assert again.status == "done", again.result["summary"]
    assert (lines(repo.root / "b.txt"), lines(repo.root / "c.txt")) == (["mine"], ["mine"])
    assert leftovers(repo)[:2] == ("", "")


def test_a_step_that_is_run_again_begins_with_the_tree_as_it_is_now(repo: Flows) -> None:
    text = prompt("cat a.txt >> seen") + "  - {id: z, command: echo two > a.txt}\n"
    ran = repo.run(text)
    again = repo.resume(ran, start="a")
    assert again.status == "done", again.result["summary"]
    assert lines(repo.root / "seen") == ["one", "two"]


@pytest.mark.parametrize("own", [False, True], ids=["in the folder", "in a worktree"])
def test_nothing_stays_of_steps_that_are_merged(repo: Flows, runner: Runner, own: bool) -> None:
    repo.worktree = own
    ran = repo.run(
        """
steps:
  - id: each
    loop: {over: [x, y], as: name}
    steps: [{id: a, agent: script, writes: isolated, prompt: "[[write: {{name}} <<1]]"}]
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert [Path(one["path"]).parent.name for one in runner.ok("clean", "--format", "json").items] == (
        [ran.task.id] if own else []
    )
    assert git(repo.root, "for-each-ref", "refs/runner/*/base") == ""
