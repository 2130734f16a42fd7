"""Authoring checks of shell commands: what fails on another machine, proves nothing, or takes along too much."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.workflows.authoring_flow import Flow
    from runner.workflows.authoring_steps import Finding, Spot

_START: Final = (
    r"(?:^|[;&|(!{\n]|(?:\b(?:then|do|else|if|elif|while|until|run|exec|npx|sudo)|\s-m)\s)\s*(?:\w+=\S*\s+)*"
)
"""Where a command's name stands."""
_TOOLS: Final = re.compile(
    _START + r"(?:pytest|tox|nox|jest|vitest|mocha|rspec|tsc|mypy|pyright|ruff|eslint|flake8|golangci-lint|shellcheck"
    r"|phpunit|ctest)\b"
)
_TARGETS: Final = re.compile(
    _START
    + r"(?:npm|pnpm|yarn|bun|make|just|cargo|go|mvn|gradle|\./gradlew|dotnet|mix|rake|swift|xcodebuild|bazel|deno)"
    r"\b[^;&|\n]*?[\s:/-](?:tests?|lint|typecheck|check|build|verify|vet|clippy)\b"
)
_PROOF: Final = re.compile(
    r"\bexit [1-9]|\bgrep\s+(?:-\w+\s+)*-\w*q|" + _START + r"(?:test|\[)\s+(?:!\s+)?-[a-z]\s|\bgit diff [^\n]*--quiet"
)
_SHIPS: Final = re.compile(
    _START + r"(?:git\b(?:\s+-\w\s+\S+|\s+-\S+)*\s+(?:commit|push)\b|gh\s+(?:pr\s+(?:create|merge)|release\s+create)\b"
    r"|(?:npm|pnpm|cargo|uv|poetry)\s+publish\b|twine\s+upload\b)"
)


def tests(text: str) -> bool:
    """Whether a command runs a project's tests, linters or build."""
    return _TOOLS.search(text) is not None or _TARGETS.search(text) is not None


def is_gate(spot: Spot) -> bool:
    """Whether a step is a command that finds out whether something holds."""
    if spot.node.kind != "shell" or ships(spot):
        return False
    return any(tests(one.text) or _PROOF.search(one.text) for one in spot.commands() if not one.check)


def ships(spot: Spot) -> bool:
    """Whether a step is a command that commits, pushes, publishes or opens a pull request."""
    return spot.node.kind == "shell" and any(_SHIPS.search(one.text) for one in spot.commands() if not one.check)


def grep_alternation(flow: Flow) -> Iterator[Finding]:
    r"""A plain `grep` searches for `a\|b`: only some greps read that as "a or b".

    Others look for the characters themselves, and the gate fails although the code is right. Write
    `grep -E 'a|b'`.
    """
    for spot in flow.leaves:
        for command in spot.commands():
            for found in re.finditer(r"""\bgrep\b((?:'[^']*'|"[^"]*"|[^;&|\n'"])*)""", command.text):
                plain = not re.search(r"\s-\w*[EPF]|--(?:extended|perl|fixed)", found[1])
                if plain and re.search(r"""(?:'[^']*\\\|[^']*'|"[^"]*\\\|[^"]*")""", found[1]):
                    yield spot.says(
                        r"a plain grep for 'a\|b' means different things to different greps", "write grep -E 'a|b'"
                    )
                    break


def add_everything(flow: Flow) -> Iterator[Finding]:
    """A step stages everything there is (`git add -A`, `git add .`): logs and half-made files as well.

    Name the files or folders that the workflow is about: `git add src tests`.
    """
    for spot in flow.leaves:
        if any(re.search(r"\bgit add (?:-\w+ )*(?:-A|--all|\.)(?:\s*$|[\s;&|])", one.text) for one in spot.commands()):
            yield spot.says("stages whatever lies in the working tree", "name the files: git add src tests")


def open_heredoc(flow: Flow) -> Iterator[Finding]:
    """A heredoc whose last line never comes, mostly because its lines were joined with `&&`.

    The shell takes the rest of the command for the document's text and runs none of it. Write the command
    as several lines (`command: |`), the delimiter alone on its line.
    """
    for spot in flow.leaves:
        for command in spot.commands():
            for found in re.finditer(r"(?<![<\d(])<<(-?)\s*(['\"\\]?)([A-Za-z_]\w*)", command.text):
                lead = r"\t*" if found[1] else ""
                if not re.search(rf"^{lead}{found[3]}$", command.text[found.end() :], re.MULTILINE):
                    yield spot.says(
                        f"the heredoc '{found[3]}' does not end: no line is '{found[3]}' alone",
                        "write the command as several lines with `command: |`",
                    )
                    break


_BASHISMS: Final = (
    ("[[ … ]]", re.compile(_START + r"\[\[\s")),
    ("<<<", re.compile(r"<<<")),
    ("<( … )", re.compile(r"\s<\(")),
    ("declare", re.compile(_START + r"(?:declare|typeset)\s+-")),
    ("mapfile", re.compile(_START + r"(?:mapfile|readarray|shopt|pushd|popd)\b")),
    ("pipefail", re.compile(_START + r"set\s+(?:-\w+\s+)*-\w*o\s+pipefail\b")),
    ("name=( … )", re.compile(r"(?:^|[;&\n])\s*\w+\+?=\([^(]")),
    ("${name^^}", re.compile(r"\$\{\w+(?:\^\^?|,,?)\}")),
)


def bash_in_sh(flow: Flow) -> Iterator[Finding]:
    """A command uses what only bash knows, and is run by `sh`.

    It works where sh happens to be bash, and fails elsewhere. Say `shell: bash` (a check is always run by
    sh: put `bash -c '…'` there), or use what every sh has.
    """
    for spot in flow.leaves:
        for command in spot.commands():
            if command.bash or re.search(_START + r"bash\s+-\w*c\b", command.text):
                continue
            bare = re.sub(r"'[^']*'", "''", command.text)
            found = next((name for name, pattern in _BASHISMS if pattern.search(bare)), None)
            if found is not None:
                native = spot.node.kind == "shell" and not command.check and not spot.foreign
                hint = "say `shell: bash`" if native else "put it into a script that starts with #!/usr/bin/env bash"
                yield spot.says(f"{found} is bash's, and sh runs this command", hint)
                break


_NOTIFIES: Final = re.compile(
    r"hooks\.slack\.com|discord(?:app)?\.com/api/webhooks|\bntfy\.sh/|api\.telegram\.org|\bnotify-send\b"
    r"|webhook\.office\.com|\bSLACK_WEBHOOK|\bDISCORD_WEBHOOK"
)


def fatal_notification(flow: Flow) -> Iterator[Finding]:
    """A step that tells people something fails the run when it can't.

    The work is done either way: say `continue_on_failure: true`.
    """
    for spot in flow.leaves:
        if spot.node.kind != "shell" or spot.harmless:
            continue
        text = next(spot.commands()).text
        if _NOTIFIES.search(text) and "||" not in text:
            yield spot.says("a notification that can't be sent fails the run", "say `continue_on_failure: true`")


def many_pull_requests(flow: Flow) -> Iterator[Finding]:
    """One run opens several pull requests, and people review them one at a time.

    Open one, or make a workflow of each part. Those of which a condition chooses one are not counted.
    """
    opens = [
        spot
        for spot in flow.leaves
        if spot.node.when is None and any(re.search(_START + r"gh pr create\b", one.text) for one in spot.commands())
    ]
    for spot in opens[1:]:
        yield spot.says(f"a second pull request of one run (the first: '{opens[0].node.id}')", "open one a run")


CHECKS: Final = (
    grep_alternation,
    add_everything,
    open_heredoc,
    bash_in_sh,
    fatal_notification,
    many_pull_requests,
)
