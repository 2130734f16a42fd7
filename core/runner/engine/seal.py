"""The seal of a gate: fingerprints taken before the agent starts, compared before its checks are believed.

It is tamper-evident for what it lists (see `gates.py`), not tamper-proof: what a gate reads beyond that
is named with `protect`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.engine import gitseal
from runner.engine.commands import Gate, gate_of
from runner.engine.gates import TRICKS
from runner.engine.scan import Scan, Scanner, fingerprint
from runner.engine.sections import matters_when_added
from runner.errors import RunnerError
from runner.globs import matcher
from runner.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.model import JSON, Check, Policy

_SHOWN: Final = 5
"""How many changes the sentence names; the evidence has up to 200."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What a gate depended on before the agent started. `to_json` and `from_json` keep it across attempts.

    `guarded` is False when no check has anything that could be edited: then nothing is compared.
    """

    guarded: bool = False
    gate: Gate = field(default_factory=Gate)
    protect: tuple[str, ...] = ()
    may_edit: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    above: Mapping[str, str] = field(default_factory=dict)
    git: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> JSON:
        """The seal as a JSON object."""
        return {
            "guarded": self.guarded,
            "gate": {
                "scripts": sorted(self.gate.scripts),
                "families": sorted(self.gate.families),
                "folders": sorted(self.gate.folders),
                "named": sorted(self.gate.named),
            },
            "protect": list(self.protect),
            "may_edit": list(self.may_edit),
            "files": dict(self.files),
            "facts": {path: dict(facts) for path, facts in self.facts.items()},
            "modules": sorted(self.modules),
            "above": dict(self.above),
            "git": dict(self.git),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Seal:
        """The seal that `to_json` wrote."""
        return cls(
            guarded=value["guarded"],
            gate=Gate(**{name: set(words) for name, words in value["gate"].items()}),
            protect=tuple(value["protect"]),
            may_edit=tuple(value["may_edit"]),
            files=value["files"],
            facts=value["facts"],
            modules=frozenset(value["modules"]),
            above=value["above"],
            git=value["git"],
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a seal says about a workspace: sentences about what was edited, and the tests that were added."""

    broken: tuple[str, ...] = ()
    added_tests: tuple[str, ...] = ()


def take_seal(workspace_root: Path, checks: Sequence[Check], policy: Policy, *, cwd: Path | None = None) -> Seal:
    """Fingerprint the gate of these checks. `cwd` is where the checks run, when it is not the root itself."""
    root = Path(os.path.realpath(workspace_root))
    commands = list(_commands(checks))
    gate = gate_of(commands, root, None if cwd is None else Path(os.path.realpath(cwd)))
    if not (commands or policy.protect or any("git" in check.type for check in checks)):
        return Seal(may_edit=policy.may_edit)
    scanner = Scanner(gate, policy.protect, policy.may_edit)
    found = scanner.scan(root)
    return Seal(
        guarded=True,
        gate=gate,
        protect=policy.protect,
        may_edit=policy.may_edit,
        files=found.files,
        facts=found.facts,
        modules=frozenset(found.modules),
        above=_above(root, scanner.above),
        git=_git(root, policy.may_edit),
    )


def _commands(checks: Iterable[Check]) -> Iterator[str]:
    for check in checks:
        if check.type in ("command", "custom"):
            value = check.value.get("run") if isinstance(check.value, dict) else check.value
            if isinstance(value, str):
                yield value


def broken(seal: Seal, workspace_root: Path) -> list[str]:
    """What was edited, a sentence each; empty when the gate is as it was."""
    return list(compare(seal, workspace_root).broken)


def compare(seal: Seal, workspace_root: Path) -> Comparison:
    """Look at the workspace again: what was edited, and which tests were added."""
    if not seal.guarded:
        return Comparison()
    root = Path(os.path.realpath(workspace_root))
    scanner = Scanner(seal.gate, seal.protect, seal.may_edit)
    now = scanner.scan(root)
    edited = [*_changed(seal, now, root)]
    added_tests: list[str] = []
    for path in sorted(now.files.keys() - seal.files.keys()):
        if now.kinds[path] != "test":
            edited.append(f"{_show(path)} was added")
        elif _takes_over(root / path):
            edited.append(f"{_show(path)} was added and ends or takes over the test run")
        else:
            added_tests.append(path)
    edited += _facts(seal, now, root)
    for path, name in sorted(now.hiding(seal.gate.folders).items()):
        if path not in seal.modules:
            edited.append(f"{_show(path)} was added and hides the module '{name}'")
    edited += _differences(seal.above, _above(root, scanner.above), "above the workspace ")
    edited += _differences(seal.git, _git(root, seal.may_edit))
    return Comparison(tuple(f"the gate was edited: {text}" for text in edited), tuple(added_tests))


def without(seal: Seal, globs: Sequence[str]) -> Seal:
    """The seal but for files that these globs name: somebody else may edit them at the same time."""
    named = matcher(globs)
    return replace(
        seal,
        may_edit=(*seal.may_edit, *globs),
        files={path: digest for path, digest in seal.files.items() if not named(path)},
        facts={path: facts for path, facts in seal.facts.items() if not named(path)},
    )


def verdict(seal: Seal, workspace_root: Path) -> Verdict:
    """The comparison as a verdict that says so: `evidence["sealed"]` is True, no repair touches it."""
    found = compare(seal, workspace_root)
    evidence: JSON = {"sealed": True, "check": "seal", "files": len(seal.files) + len(seal.facts)}
    if found.added_tests:
        evidence["added_tests"] = list(found.added_tests[:200])
    if not found.broken:
        return Verdict(True, f"the gate is as it was sealed ({evidence['files']} files)", evidence)
    texts = [text.removeprefix("the gate was edited: ") for text in found.broken]
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    evidence["broken"] = texts[:200]
    return Verdict(False, f"the gate was edited: {'; '.join(texts[:_SHOWN])}{more}", evidence)


def _changed(seal: Seal, now: Scan, root: Path) -> Iterator[str]:
    for path, before in sorted(seal.files.items()):
        after = now.files.get(path)
        if after == before:
            continue
        if after is None:
            gone = not os.path.lexists(root / path)
            yield f"{_show(path)} was {'deleted' if gone else 'replaced'}"
        elif after.startswith("link ") and not before.startswith("link "):
            yield f"{_show(path)} was replaced by a symbolic link"
        else:
            yield f"{_show(path)} changed"


def _facts(seal: Seal, now: Scan, root: Path) -> Iterator[str]:
    """Changes of configuration of which only parts count."""
    named = frozenset(seal.gate.named)
    for path in sorted(seal.facts.keys() | now.facts.keys()):
        before, after = seal.facts.get(path), now.facts.get(path)
        name = os.path.basename(path)
        if before is None:
            after = after or {}
            known: frozenset[str] = frozenset()
            parts = [label for label in after if matters_when_added(name, label, known, named)]
            if name == "package.json":
                yield f"{_show(path)} was added"
            elif parts:
                yield f"{_show(path)} was added with {parts[0] or 'content that cannot be read'}"
            continue
        if after is None:
            if before:
                yield f"{_show(path)} was {'replaced' if os.path.lexists(root / path) else 'deleted'}"
            continue
        for label in sorted(before.keys() | after.keys()):
            if label in before and before[label] != after.get(label):
                yield f"{_show(path)} changed ({_show(label) or 'it cannot be read'})"
            elif label not in before and matters_when_added(name, label, frozenset(before), named):
                yield f"{_show(path)} changed ({_show(label) or 'it cannot be read'} was added)"


def _differences(before: Mapping[str, str], after: Mapping[str, str], place: str = "") -> Iterator[str]:
    for label in sorted(before.keys() | after.keys()):
        if label not in after:
            yield f"{place}{_show(label)} was removed"
        elif label not in before:
            yield f"{place}{_show(label)} was added"
        elif before[label] != after[label]:
            yield f"{place}{_show(label)} changed"


def _above(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Configuration that tools look for in the folders above the workspace."""
    out: dict[str, str] = {}
    wanted = list(names)
    for folder in root.parents:
        for name in wanted:
            path = os.path.join(folder, name)
            if os.path.lexists(path):
                out[path] = fingerprint(path)
    return out


def _git(root: Path, may_edit: tuple[str, ...]) -> dict[str, str]:
    exempt = matcher(may_edit)
    return {label: value for label, value in gitseal.prints(root).items() if not exempt(label.partition(":")[0])}


def _takes_over(path: Path) -> bool:
    """Whether a test that was added ends the whole run, or replaces how it is run."""
    suffix = {".ts": ".js", ".tsx": ".js", ".jsx": ".js", ".mjs": ".js", ".cjs": ".js", ".mts": ".js"}
    pattern = TRICKS.get(suffix.get(path.suffix, path.suffix))
    if pattern is None:
        return False
    try:
        return re.search(pattern, path.read_text(errors="replace"), re.MULTILINE) is not None
    except OSError:
        return True


def _show(path: str) -> str:
    return path if path.isprintable() else ascii(path)


def digest(seal: Seal) -> str:
    """A short name of the seal's content, for results and events."""
    return hashlib.sha256(_text(seal).encode()).hexdigest()[:16]


def step_seal(
    path: Path,
    workspace_root: Path,
    checks: Sequence[Check],
    policy: Policy,
    *,
    cwd: Path | None = None,
    known: str | None = None,
) -> Seal:
    """The seal of a step: the one taken before its first attempt, kept in `path`; a new one when there is none.

    A retry keeps the tree, so a seal of its own would bless what the attempt before it edited. `known` is
    the `digest` that an earlier attempt's result holds: a kept seal that has another raises RunnerError.
    """
    try:
        kept = Seal.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        kept = take_seal(workspace_root, checks, policy, cwd=cwd)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_name(f".{path.name}.part")
        part.write_text(_text(kept), encoding="utf-8", errors="surrogateescape")
        os.replace(part, path)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise RunnerError(f"the seal {path} can't be read: {error}", _UNTRUSTED) from None
    if known is not None and digest(kept) != known:
        raise RunnerError(f"the seal {path} is not the one that was taken", _UNTRUSTED)
    return kept


_UNTRUSTED: Final = "look at the task's changes; `runner resolve ID done` accepts them"


def _text(seal: Seal) -> str:
    return json.dumps(seal.to_json(), sort_keys=True)
