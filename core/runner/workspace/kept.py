"""Lists what snapshots keep, and writes a snapshot out into a folder for people."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import GitError, UsageError
from runner.workspace.git import Git
from runner.workspace.leftout import LeftOut
from runner.workspace.names import SNAPSHOTS
from runner.workspace.places import REPO, WORKTREES
from runner.workspace.snapshot import parse_message
from runner.workspace.writeback import read_about, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot: `ref` and `commit` in `repo`, taken at `when` (Unix seconds) of `files` files by claim `epoch`.

    `previous` is the attempt's snapshot before it, if there was one; `label` says why it was taken.
    """

    project: str
    unit: str
    epoch: int
    attempt: int
    ref: str
    commit: str
    when: float
    files: int
    left_out: tuple[LeftOut, ...]
    repo: Path
    label: str
    previous: str | None


def list_kept(repo: Path | None, state: Path) -> list[Kept]:
    """The newest snapshot of every attempt in `repo` and in every repository worked for, oldest first in each unit."""
    found: dict[tuple[Path, str], Kept] = {}
    for place in _repositories(repo, state):
        common = _common(place)
        if common is not None:
            found |= {(common, kept.ref): kept for kept in kept_in(place)}
    return sorted(found.values(), key=_age)


def restore(kept: Kept, into: Path) -> int:
    """Write a snapshot into `into`, which must be missing or empty → how many files were written."""
    if os.path.lexists(into) and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is not an empty folder", "name one that does not exist yet")
    git = Git(kept.repo)
    about = read_about(git, kept.commit)
    if about is None:
        raise GitError(f"{kept.commit} is not a snapshot in {kept.repo}")
    into.mkdir(parents=True, exist_ok=True)
    return write_whole(git, kept.commit, about, into)


def _repositories(repo: Path | None, state: Path) -> Iterable[Path]:
    places = [repo] if repo is not None else []
    try:
        homes = sorted(entry.path for entry in os.scandir(state / WORKTREES))
    except (FileNotFoundError, NotADirectoryError):
        homes = []
    for home in homes:
        try:
            places.append(Path(os.fsdecode((Path(home) / REPO).read_bytes())))
        except OSError:
            continue
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def _common(repo: Path) -> Path | None:
    """What two checkouts of one repository share; None for a folder that is none any more."""
    code, out, _ = Git(repo).attempt("rev-parse", "--git-common-dir")
    return Path(os.path.realpath(repo / os.fsdecode(out).rstrip("\n"))) if code == 0 else None


def _age(kept: Kept) -> tuple[str, int, float, int]:
    # Epochs grow with every claim; attempts start again with every task of a unit, and clocks may be set.
    return kept.unit, kept.epoch, kept.when, kept.attempt


def kept_in(repo: Path, unit: str = "") -> list[Kept]:
    """The newest snapshot of every attempt in one repository, in the order of `list_kept`; of `unit` alone if given."""
    words = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(contents)%00"
    out = Git(repo).run("for-each-ref", words, f"{SNAPSHOTS}/{unit}/" if unit else f"{SNAPSHOTS}/")
    found = []
    fields = out.decode("utf-8", "surrogateescape").split("\0")
    for ref, commit, when, message in zip(fields[::4], fields[1::4], fields[2::4], fields[3::4], strict=False):
        about = parse_message(message)
        if about is None or "runner" not in about:
            continue
        found.append(_kept(repo, ref.lstrip("\n"), commit, float(when), about))
    return sorted(found, key=_age)


def _kept(repo: Path, ref: str, commit: str, when: float, about: dict[str, Any]) -> Kept:
    return Kept(
        project=str(about["project"]),
        unit=str(about["unit"]),
        epoch=int(about["epoch"]),
        attempt=int(about["attempt"]),
        ref=ref,
        commit=commit,
        when=when,
        files=int(about["files"]),
        left_out=tuple(LeftOut(*row) for row in about["left_out"]),
        repo=repo,
        label=str(about["label"]),
        previous=about["previous"],
    )


def history(kept: Kept) -> list[Kept]:
    """`kept` and the snapshots that its attempt had before it, newest first."""
    git = Git(kept.repo)
    found = [kept]
    while (commit := found[-1].previous) is not None:
        about = read_about(git, commit)
        if about is None:
            break
        when = float(git.line("show", "--no-patch", "--no-show-signature", "--format=%ct", commit))
        found.append(_kept(kept.repo, kept.ref, commit, when, about))
    return found
