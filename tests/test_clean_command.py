"""`runner clean`: which worktrees it takes, by what the queue says of their work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from played import Played, add
from workspaces import Lab, make_lab, put

from runner.project import create_project
from runner.store import Prune

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = make_lab(tmp_path)
    project, _ = create_project(lab.repo)
    lab.state = project.prepare()
    return lab


@pytest.fixture
def played(lab: Lab) -> Iterator[Played]:
    played = Played(lab.repo)
    yield played
    played.close()


def worked(lab: Lab, unit: str, **files: str) -> Path:
    with lab.open(1, unit=unit) as work:
        put(work.path, **files)
        return work.path


def items(runner: Runner, lab: Lab, *args: str, **env: str) -> dict[str, dict[str, object]]:
    said = runner.ok("clean", *args, "--format", "json", cwd=lab.repo, env=env)
    return {str(item["unit"]): item for item in said.items}


def test_worktrees_of_finished_tasks_go_others_stay(lab: Lab, runner: Runner, played: Played) -> None:
    add(lab.repo)
    done = played.run()
    add(lab.repo)
    failed = played.run("check_failed")
    add(lab.repo)
    human = played.run("needs_human", question="Which?")
    add(lab.repo)
    [claim] = played.claim()
    [waiting] = add(lab.repo)
    units = (done, failed, human, claim.key, waiting)
    paths = {unit: worked(lab, unit, **{"new.txt": unit}) for unit in units}
    plan = items(runner, lab, "--dry-run")
    assert {unit for unit, item in plan.items() if item["allowed"]} == {done, failed}
    assert all(path.exists() for path in paths.values())
    after = items(runner, lab)
    assert {unit for unit, item in after.items() if item["removed"]} == {done, failed}
    assert {unit for unit, path in paths.items() if not path.exists()} == {done, failed}
    assert after[claim.key]["reason"] == "its work unit is held by a worker"
    assert after[human]["reason"] == "its work unit has unfinished work"
    assert lab.files_of(f"refs/runner/{done}/0")["new.txt"] == done.encode()


def test_a_work_unit_stays_until_all_of_its_tasks_are_finished(lab: Lab, runner: Runner, played: Played) -> None:
    add(lab.repo, unit="wu-1", count=2)
    worked(lab, "wu-1")
    played.run()
    assert not items(runner, lab, "--dry-run")["wu-1"]["allowed"]
    played.run()
    assert items(runner, lab)["wu-1"]["removed"]


def test_worktrees_that_the_store_does_not_know_need_a_word(lab: Lab, runner: Runner, played: Played) -> None:
    add(lab.repo)
    done = played.run()
    worked(lab, done)
    played.store.commit([Prune(keep=0)])
    assert played.store.queue.get(done) is None
    assert items(runner, lab)[done]["allowed"] is False
    assert items(runner, lab, "--forgotten")[done]["removed"]


def test_a_file_over_the_cap_keeps_its_worktree_until_the_cap_is_raised(
    lab: Lab, runner: Runner, played: Played
) -> None:
    add(lab.repo)
    done = played.run()
    path = worked(lab, done, big="x" * 3000)
    said = items(runner, lab, RUNNER_WORKSPACE_MAX_FILE="1KiB")[done]
    assert (said["allowed"], said["removed"]) == (False, False)
    assert "big is over the cap of 1.0 KiB" in str(said["reason"])
    assert (path / "big").exists()
    assert items(runner, lab)[done]["removed"]


def test_the_table_says_what_and_why(lab: Lab, runner: Runner, played: Played) -> None:
    add(lab.repo)
    done = played.run()
    worked(lab, done)
    said = runner.ok("clean", "--dry-run", cwd=lab.repo)
    assert said.stdout.splitlines()[0].split() == ["ID", "SIZE", "WHY", "WORKTREE"]
    assert "would go" in said.stdout
    assert "would be freed" in said.stderr
    said = runner.ok("clean", cwd=lab.repo)
    assert said.stdout.splitlines()[1].startswith("gone")
    assert "were freed" in said.stderr
    said = runner.ok("clean", cwd=lab.repo)
    assert (said.stdout, said.stderr) == ("", "There are no worktrees.\n")


def test_nothing_to_clean_is_an_empty_list(project: Path, runner: Runner) -> None:
    assert runner.ok("clean", "--format", "json").json == {"items": []}


def test_help_shows_examples(runner: Runner) -> None:
    assert "runner clean --dry-run" in runner.ok("clean", "--help").stdout
