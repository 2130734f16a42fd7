"""What a snapshot does not hold, and why: listed with every snapshot, so that nothing is missing silently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

LISTED: Final = 500
"""So many are listed one by one; more are summed up by their top folder."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A path that is not in a snapshot. A path that ends with `/` stands for files below that folder.

    `size` in bytes. `blocks`: it may be content that exists nowhere else, so the workspace may not go.
    """

    path: str
    reason: str
    size: int
    blocks: bool = True

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def condensed(items: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """The list itself when it is short, else one line for each top folder and reason."""
    listed = tuple(sorted(items, key=lambda item: item.path))
    if len(listed) <= LISTED:
        return listed
    groups: dict[tuple[str, str, bool], list[LeftOut]] = {}
    for item in listed:
        top, below, _ = item.path.partition("/")
        groups.setdefault((f"{top}/" if below else item.path, item.reason, item.blocks), []).append(item)
    return tuple(
        group[0]
        if len(group) == 1
        else LeftOut(top, f"({len(group)} files) {reason}", sum(i.size for i in group), blocks)
        for (top, reason, blocks), group in sorted(groups.items())
    )


def size_text(size: float) -> str:
    """A number of bytes for people: `512 bytes`, `1.5 MiB`."""
    if size < 1024:
        return f"{size:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024 or unit == "GiB":
            break
    return f"{size:.1f} {unit}"
