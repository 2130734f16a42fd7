"""One tree of a snapshot while it is put together: the worktree itself, or a repository inside of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.workspace.index import Known
    from runner.workspace.leftout import LeftOut
    from runner.workspace.walk import Seen

Entries = dict[str, tuple[str, str]]
"""Path → (git mode, object id)."""


@dataclass(slots=True)
class Part:
    """`name` is "" for the worktree, else the repository's path; the paths below are those in its tree.

    `files`: what is on disk. `base`: HEAD's files. `kept`: stored already. `wanted`: to be read and
    stored. `loaded`: contents that had to be read early. `retained`: files of HEAD that stay as HEAD
    has them, because what is on disk can't be stored. `heads`: commits to keep along. `torn`: changed
    while it was listed. `extra`: what restoring needs to know besides.
    """

    name: str
    base: Entries = field(default_factory=dict)
    files: dict[str, Seen] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    kept: dict[str, Known] = field(default_factory=dict)
    wanted: list[str] = field(default_factory=list)
    loaded: dict[str, bytes] = field(default_factory=dict)
    retained: set[str] = field(default_factory=set)
    heads: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    torn: bool = False

    def shown(self, path: str) -> str:
        """A path of this tree as people know it, relative to the worktree."""
        if not self.name:
            return path
        folder, _, rest = path.partition("/")
        return f"{self.name}/.git/{rest}" if folder == "git" else f"{self.name}/{rest}"
