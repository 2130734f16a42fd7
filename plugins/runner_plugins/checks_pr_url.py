"""The check `pr_url`: the output names a pull request, of this repository where that can be known."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.logtext import last_line, whole
from runner.model import CheckSpec, Verdict
from runner_plugins.check_values import mapping_of
from runner_plugins.gate_process import gate_env, log_name

if TYPE_CHECKING:
    from runner.model import Check, Context, Step, StepResult

_KEYS: Final = ("repo", "exists")
_REPO: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)+")
_URL: Final = re.compile(
    r"https?://(?P<host>[\w.-]+(?::\d+)?)/(?P<repo>[\w.-]+(?:/[\w.-]+)+?)"
    r"/(?:pull|pulls|-/merge_requests|merge_requests|pull-requests|pullrequest)/(?P<number>\d+)"
)
"""GitHub, GitLab, Bitbucket, Gitea, Azure."""


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`pr_url`, `pr_url: owner/name`, `pr_url: {"repo": "owner/name", "exists": true}`."""
    return {"pr_url": CheckSpec("the output names a pull request of the repository", parse, needs_value=False)}


def parse(value: Any) -> dict[str, Any]:
    """`repo`: owner/name (default: that of the remotes); `exists`: ask the host by `gh` whether it is there."""
    given = mapping_of(value, _KEYS, "repo")
    repo = given.get("repo")
    if repo is not None and (not isinstance(repo, str) or not _REPO.fullmatch(repo)):
        raise ValueError("'repo' must be owner/name")
    if not isinstance(given.get("exists", False), bool):
        raise ValueError("'exists' must be true or false")
    return given


@hookimpl
def verify(check: Check, step: Step, result: StepResult, context: Context) -> Verdict:
    """Look for it in the output; an URL that the prompt itself holds is not what the step made."""
    given = parse(check.value)
    known = {match[0] for match in _URL.finditer(str(step.payload.get("prompt") or ""))}
    found = [match for match in _URL.finditer(_text(result)) if match[0] not in known]
    wanted = {given["repo"].lower()} if given.get("repo") else _remotes(check, step, context)
    evidence: dict[str, Any] = {"urls": [match[0] for match in found][:10], "repos": sorted(wanted)}
    if not found:
        return Verdict(False, "the output names no pull request", evidence)
    ours = [match for match in found if not wanted or match["repo"].lower() in wanted]
    if not ours:
        return Verdict(False, f"{found[-1][0]} is not of {' or '.join(sorted(wanted))}", evidence)
    url = ours[-1][0]
    evidence["url"] = url
    if not given.get("exists"):
        return Verdict(True, f"the output names {url}", evidence)
    return _exists(url, check, step, context, evidence)


def _text(result: StepResult) -> str:
    return result.output if len(result.output) < 1 << 21 else result.output[-(1 << 21) :]


def _remotes(check: Check, step: Step, context: Context) -> set[str]:
    """owner/name of the repository's remotes; empty when there are none that say so."""
    if context.base is None:
        return set()
    done = context.process(
        ["git", "config", "--get-regexp", r"^remote\..*\.url$"],
        env=gate_env(context.env),
        timeout=60,
        name=log_name(check, step, context),
    )
    found = set()
    for line in (whole(done.stdout) or "").splitlines():
        match = re.search(r"(?:://[^/]+/|^[^/:]+@[^:]+:|@[^:/]+:)([\w./-]+?)(?:\.git)?/?$", line.partition(" ")[2])
        if match and "/" in match[1]:
            found.add(match[1].strip("/").lower())
    return found


def _exists(url: str, check: Check, step: Step, context: Context, evidence: dict[str, Any]) -> Verdict:
    program = shutil.which("gh", path=context.env.get("PATH", ""))
    if program is None:
        return Verdict(False, f"whether {url} exists can't be asked: gh is not on this machine's PATH", evidence)
    words = [program, "pr", "view", url, "--json", "state,url"]
    done = context.process(words, env=gate_env(context.env), timeout=60, name=log_name(check, step, context))
    evidence |= {"exit_code": done.exit_code, "stdout": str(done.stdout), "stderr": str(done.stderr)}
    if done.exit_code != 0 or done.limit is not None:
        return Verdict(False, f"{url} can't be seen: {last_line(done.stderr) or 'gh did not answer'}", evidence)
    return Verdict(True, f"{url} is there", evidence)
