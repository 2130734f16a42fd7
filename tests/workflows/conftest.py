"""Fixtures of workflows: projects that they run in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflows.flows import Flows, git


@pytest.fixture
def flows(project: Path) -> Flows:
    """Workflows in a project that is no repository."""
    return Flows(project)


@pytest.fixture
def repo(project: Path) -> Flows:
    """Workflows in a project that is a repository with one commit, in its folder itself."""
    git(project, "init", "-q", "-b", "main")
    (project / "a.txt").write_text("one\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first")
    return Flows(project)


@pytest.fixture
def trees(repo: Flows) -> Flows:
    """The same, each run in a worktree of its own."""
    return Flows(repo.root, worktree=True)
