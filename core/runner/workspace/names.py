"""Names that become folders and refs: work units, attempts, nested repositories."""

from __future__ import annotations

import re
from typing import Final

from runner.errors import UsageError

SNAPSHOTS: Final = "refs/runner"
"""Snapshots live here: `refs/runner/<unit>/<attempt>`. git pushes none of it by itself."""

BRANCHES: Final = "refs/heads/runner"
"""A unit's result: `refs/heads/runner/<unit>`."""

_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SLUG = re.compile(r"[^A-Za-z0-9_-]+")


def check_unit(unit: str) -> str:
    """`unit` itself, when it can be a folder and part of a ref; else UsageError."""
    # What a ref may not hold (git check-ref-format), and what a folder of ours may not be called.
    if not _UNIT.fullmatch(unit) or ".." in unit or unit.endswith((".", ".lock")):
        raise UsageError(
            f"'{unit}' can't name a work unit",
            "use up to 128 letters, digits, '-', '_' and single dots, first a letter or digit, not ending in '.lock'",
        )
    return unit


def snapshot_ref(unit: str, attempt: int) -> str:
    """The ref that holds an attempt's newest snapshot."""
    if attempt < 0:
        raise UsageError(f"{attempt} can't number an attempt")
    return f"{SNAPSHOTS}/{check_unit(unit)}/{attempt}"


def late_ref(unit: str, attempt: int, epoch: int) -> str:
    """Where a worktree is kept that a newer one has replaced: no claim starts from there."""
    return f"{snapshot_ref(unit, attempt)}.late-{epoch}"


def nested_ref(snapshot: str, path: str) -> str:
    """The ref of a nested repository at `path`, beside the ref of its snapshot; a digest tells like paths apart."""
    import hashlib  # submit checks a unit's name without paying for it

    word = _SLUG.sub("-", path).strip("-")[-40:].strip("-")
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:10]
    return f"{snapshot}.nested/{word or 'repository'}-{digest}"


def branch_ref(unit: str) -> str:
    """The branch that a unit's result is published as."""
    return f"{BRANCHES}/{check_unit(unit)}"


def attempt_of(ref: str, unit: str) -> int | None:
    """The attempt whose newest snapshot `ref` is; None for any other ref."""
    tail = ref.removeprefix(f"{SNAPSHOTS}/{unit}/")
    return int(tail) if tail.isdecimal() else None
