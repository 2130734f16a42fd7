"""The documentation does what it says: files are written and sessions run as they stand, page by page."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.pages import blocks, programs, session

DOCS = REPOSITORY / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if "decisions" not in path.parts)
sys.path.insert(0, str(DOCS))

NOT_RUN = {"tutorial.md": 1, "how-to/fleet.md": 1}
"""How many blocks of a page are not run; each says why beside it."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    bin = programs(tmp_path / "bin")
    skipped = 0
    for block in blocks((DOCS / name).read_text()):
        if block.reason is not None:
            skipped += 1
        elif block.title is not None:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.kind == "console":
            assert session(block.text, folder, bin) > 0
        else:
            pytest.fail(
                f"{name}: a {block.kind or 'plain'} block that is neither a file nor a session: {block.text[:60]}"
            )
    assert skipped == NOT_RUN.get(name, 0)


def test_every_hook_is_in_the_reference_with_its_signature() -> None:
    import _reference

    from runner.hookspecs import HOOKS

    page = _reference.hooks()
    for hook in HOOKS:
        assert f"\n### {hook}\n\n```text\n{hook}(" in page


def test_every_command_and_option_is_in_the_reference() -> None:
    import _reference

    from runner.cli.table import COMMANDS

    page = _reference.commands()
    for name in COMMANDS:
        assert f"### runner {name}\n" in page
    assert "### runner skills create\n" in page
    assert "--repair-agent" in page


def test_every_setting_has_its_line_and_most_a_meaning() -> None:
    import _reference

    page = _reference.configuration()
    for key in (
        "worker.lease",
        "types.NAME.repair.agent",
        "agents.NAME.silence",
        "notify.command",
        "routes.N.match.type",
    ):
        assert f"| `{key}` |" in page


def test_every_key_of_a_workflow_is_in_the_reference_with_a_meaning() -> None:
    import _reference

    from runner.workflows import model

    page = _reference.PAGES["workflow-file"]()
    for part in (model.Workflow, model.Step, model.Loop, model.AgentUse, model.Param, model.Preflight, model.Worktree):
        for name, field in part.model_fields.items():
            assert field.description, f"{part.__name__}.{name}"
            assert f"`{name.rstrip('_')}`" in page
    [row] = [line for line in page.splitlines() if line.startswith("| `capture` |")]
    assert row.endswith("| agent, shell, script, task, gate |")
    assert "| `needs`, `dependsOn`, `depends_on` | list |" in page


def test_every_advice_on_workflows_is_in_the_reference() -> None:
    import _reference

    from runner.workflows.authoring import CHECKS, explain

    page = _reference.PAGES["authoring"]()
    for code in CHECKS:
        assert f"\n## {code}\n\n{explain(code)}\n" in page


@pytest.mark.parametrize("name", ["types", "checks", "agents"])
def test_what_ships_is_in_the_reference(name: str) -> None:
    import _reference

    page = _reference.PAGES[name]()
    wanted = {
        "types": ["agent_run", "run_script", "git_pull", "ios_build", "android_build", "npm_build", "test_run", "lint"],
        "checks": ["exit_code", "command", "json_schema", "no_diff", "pr_url", "agent", "git_changed"],
        "agents": [
            "claude",
            "codex",
            "gemini",
            "opencode",
            "qwen",
            "copilot",
            "goose",
            "aider",
            "droid",
            "groq",
            "script",
        ],
    }[name]
    for one in wanted:
        assert re.search(rf"^(## {one}$|\| `?{one}`? \|)", page, re.MULTILINE), one


def test_every_page_is_in_the_navigation() -> None:
    nav = (REPOSITORY / "mkdocs.yml").read_text()
    for path in DOCS.rglob("*.md"):
        assert path.relative_to(DOCS).as_posix() in nav
