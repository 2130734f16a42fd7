"""Reads the files of a survey and sends what is new to git; tolerates files that change or vanish meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from runner.workspace.blobs import SMALL, NotRegular, chunks, opened, read_small
from runner.workspace.index import Index, Known, known
from runner.workspace.leftout import LeftOut, size_text
from runner.workspace.walk import seen as look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.workspace.blobs import Hasher
    from runner.workspace.importer import Importer
    from runner.workspace.part import Part
    from runner.workspace.walk import Seen

_TRIES: Final = 3
_PAD: Final = bytes(1 << 16)


class Storer:
    """Stores the files of one snapshot; each content is sent once."""

    def __init__(
        self, importer: Importer, hasher: Hasher, index: Index, copied: Mapping[str, str], max_file: int, read_at: int
    ) -> None:
        self._importer = importer
        self._hasher = hasher
        self._index = index
        self._secret = set(copied.values()) - {hasher.data(b"")}
        self._max_file = max_file
        self._read_at = read_at
        self._sent: set[str] = set()

    def entries(self, part: Part) -> dict[str, Known]:
        """Every file of a part that is stored now; adds to its `left_out`, `retained` and `torn`."""
        entries = dict(part.kept)
        for path in part.wanted:
            try:
                entry = self._one(part, path)
            except (FileNotFoundError, NotADirectoryError, NotRegular):
                part.torn = part.torn or (bool(part.name) and path.startswith("git/"))
                continue
            except OSError as error:
                self._leave_out(part, path, f"can't be read: {error.strerror}")
                continue
            if entry is not None:
                entries[path] = entry
        return entries

    def _one(self, part: Part, path: str) -> Known | None:
        seen = part.files[path]
        if path in part.loaded:
            return self._content(part, path, part.loaded[path], seen)
        if seen.link:
            return self._content(part, path, os.fsencode(os.readlink(seen.file)), seen)
        entry = None
        for _ in range(_TRIES):
            with opened(seen.file) as (fd, now):
                if now.size > self._max_file and not path.startswith("git/objects/"):
                    self._leave_out(part, path, f"is over the cap of {size_text(self._max_file)} for one file")
                    return None
                if now.size <= SMALL:
                    entry = self._content(part, path, read_small(fd, SMALL), now)
                    if entry is None:
                        return None
                else:
                    entry = self._large(part, path, fd, now)
                after = look(seen.file, os.fstat(fd))
            if entry is not None and (after.size, after.mtime) == (now.size, now.mtime):
                return entry
        if entry is None:
            self._leave_out(part, path, "shrank again and again while it was read")
            return None
        # It is being written all the time: what was read is kept, and read again the next time.
        return Known(entry.mode, entry.oid)

    def _content(self, part: Part, path: str, content: bytes, seen: Seen) -> Known | None:
        oid = self._hasher.data(content)
        if oid in self._secret:
            self._leave_out(part, path, "is a copy of a file from the main checkout", blocks=False)
            return None
        if oid not in self._sent and not self._stored(part, path, oid):
            self._importer.blob(content)
            self._sent.add(oid)
        return known(seen, oid, self._read_at)

    def _large(self, part: Part, path: str, fd: int, now: Seen) -> Known | None:
        """Stream a file as large as it is now; None when it ended early (what was sent is then nobody's)."""
        digest = self._hasher.start(now.size)
        self._importer.begin_blob(now.size)
        left = now.size
        for chunk in chunks(fd, now.size):
            digest.update(chunk)
            self._importer.more(chunk)
            left -= len(chunk)
        short = left > 0
        while left:
            self._importer.more(_PAD[:left])
            left -= min(left, len(_PAD))
        self._importer.end_blob()
        oid = str(digest.hexdigest())
        if short:
            return None
        if oid in self._secret:
            self._leave_out(part, path, "is a copy of a file from the main checkout", blocks=False)
            raise NotRegular(path)
        return known(now, oid, self._read_at)

    def _stored(self, part: Part, path: str, oid: str) -> bool:
        if part.base.get(path, ("", ""))[1] == oid:
            return True
        before = self._index.trees.get(part.name, {}).get(path)
        return before is not None and before.oid == oid

    def _leave_out(self, part: Part, path: str, reason: str, *, blocks: bool = True) -> None:
        part.left_out.append(LeftOut(part.shown(path), reason, part.files[path].size, blocks))
        if path in part.base:
            part.retained.add(path)
