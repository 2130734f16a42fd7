"""Takes a snapshot: everything in a workspace, as a commit under a private ref, without touching index or files.

The commit's parents are HEAD, the attempt's snapshot before, the snapshots of nested repositories, and commits
that HEAD has left behind; its tree is what is on disk; its message says the rest as JSON. So one ref keeps it all.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runner.errors import GitError
from runner.workspace.blobs import Hasher
from runner.workspace.importer import Importer, clear_stale_lock
from runner.workspace.index import Index, Known, load, save
from runner.workspace.leftout import LeftOut, condensed
from runner.workspace.marker import FAILED, mark, recheck
from runner.workspace.names import SNAPSHOTS, nested_ref, snapshot_ref
from runner.workspace.storing import Storer
from runner.workspace.survey import Caps, Head, Survey, read_head, survey

if TYPE_CHECKING:
    from runner.workspace.git import Git
    from runner.workspace.marker import Place
    from runner.workspace.part import Part

_TRIES: Final = 3
_HEX: Final = re.compile(r"[0-9a-f]+")
_PRIVATE: Final = 1000
"""More private files than this are not listed: then all that HEAD does not hold comes back private."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`ref` holds `commit`; `head` is the commit it was taken on; `nested` are the refs of nested repositories.

    `files` counts the files it holds, `left_out` lists what it does not. `new` is False when nothing had
    changed since the attempt's last one, which this then is.
    """

    ref: str
    commit: str
    head: str
    nested: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    files: int
    new: bool


Stats = dict[str, tuple[int, int, int, int, int]]
"""Path in a part → what tells a change of the file there."""


class Photographer:
    """Takes the snapshots of one worktree; remembers what it saw, so that an unchanged file is not read again.

    With `remember`, `looked` says how the files of the last snapshot were found.
    """

    def __init__(self, git: Git, caps: Caps, *, remember: bool = False) -> None:
        self.git = git
        self.caps = caps
        self.looked: dict[str, Stats] = {}
        self._remember = remember
        self._index: Index | None = None
        self._head: Head | None = None

    def look(self, place: Place) -> Survey:
        """What a snapshot would hold and leave out; writes nothing."""
        refs = self._refs(place.marker.unit)
        head = self._read_head(place)
        return survey(place, self.git, head, self._known(place, refs), Hasher(head.commit), self.caps)

    def matches(self, place: Place, looked: dict[str, Stats]) -> bool:
        """Whether the workspace holds just what its last snapshot does, untouched since it was `looked` at."""
        found = self.look(place)
        trees = load(place.admin).trees
        if found.torn() or any(item.blocks for item in found.left_out) or trees.keys() != {p.name for p in found.parts}:
            return False
        if looked != _stats(found):
            return False
        hasher = Hasher(place.marker.base)
        for part in found.parts:
            now = {path: (known.mode, known.oid) for path, known in part.kept.items()}
            for path in part.wanted:
                oid = hasher.data(part.loaded[path]) if path in part.loaded else hasher.file(part.files[path].file)
                now[path] = (part.files[path].git_mode, oid or "")
            if now != {path: (known.mode, known.oid) for path, known in trees[part.name].items()}:
                return False
        return True

    def take(self, place: Place, attempt: int, label: str, ref: str | None = None) -> Snapshot:
        """Take a snapshot, as the attempt's newest or under another `ref`.

        Raises GitError or OSError when it can't be taken, WorkspaceLost when it may not be.
        """
        # Read again now that nobody else writes: a newer claim may have come.
        place = recheck(place)
        ref = ref or snapshot_ref(place.marker.unit, attempt)
        ours = (place.admin, place.admin.parent.parent / SNAPSHOTS)
        for last in (False, True):
            try:
                shot = self._take(place, ref, attempt, label)
                break
            except GitError as error:
                moved = "Not updating" in error.message
                if last or not (moved or clear_stale_lock(error, ours)):
                    raise
        (place.admin / FAILED).unlink(missing_ok=True)
        mark(place, attempt=attempt)
        return shot

    def _take(self, place: Place, ref: str, attempt: int, label: str) -> Snapshot:
        unit = place.marker.unit
        refs = self._refs(unit)
        head = self._read_head(place)
        index = self._known(place, refs)
        hasher = Hasher(head.commit)
        for tries in range(1, _TRIES + 1):
            found = survey(place, self.git, head, index, hasher, self.caps)
            importer = Importer(self.git)
            try:
                storer = Storer(importer, hasher, index, place.marker.copied, self.caps.max_file, found.read_at)
                trees = {part.name: storer.entries(part) for part in found.parts}
                if found.torn() and tries < _TRIES:
                    continue
                if self._remember:
                    self.looked = _stats(found)
                writing = _Writing(place, ref, attempt, label, head, index, refs, found, trees)
                return self._write(writing, importer)
            finally:
                importer.drop()
        raise AssertionError("unreachable")

    def _write(self, w: _Writing, importer: Importer) -> Snapshot:
        for part in w.found.parts:
            if part.torn:
                part.left_out.append(LeftOut(f"{part.name}/.git", "changed while it was read", 0))
        heads, seen_heads = abandoned(w.place, self.git, w.head.commit, w.index.heads)
        nested = [w.nested(part, importer) for part in w.found.parts[1:]]
        left_out = condensed(item for part in w.found.parts for item in part.left_out)
        rest = w.rest(nested, left_out)
        commit = w.refs.get(w.ref)
        new = bool(heads) or importer.started or commit is None or commit != w.index.commit or not w.same(rest)
        if new:
            commit = w.main(importer, rest, [*(row[2] for row in nested), *heads])
            # Last look before anything becomes visible: a worktree that went away is not one without files.
            recheck(w.place)
            importer.finish()
        assert commit is not None
        index = Index(commit, w.ref, rest, seen_heads, w.trees)
        if new or (index.trees, index.heads) != (w.index.trees, w.index.heads):
            save(w.place.admin, index)
        self._index = index
        files = sum(len(entries) for name, entries in w.trees.items() if not name) + rest["nested_files"]
        return Snapshot(w.ref, commit, w.head.commit, tuple(row[1] for row in nested), left_out, files, new)

    def _refs(self, unit: str) -> dict[str, str]:
        out = self.git.run("for-each-ref", "--format=%(refname) %(objectname)", f"{SNAPSHOTS}/{unit}/").decode()
        return dict(line.split(" ") for line in out.splitlines())

    def _read_head(self, place: Place) -> Head:
        commit = head_commit(place, self.git)
        if self._head is None or self._head.commit != commit:
            self._head = read_head(self.git, commit)
        return self._head

    def _known(self, place: Place, refs: dict[str, str]) -> Index:
        """What is known to be stored: the index, as long as a ref still keeps the snapshot it describes."""
        kept = set(refs.values())
        for index in (self._index, load(place.admin)):
            if index is not None and index.commit in kept:
                return index
        return Index()


class _Writing:
    """One snapshot while it is written."""

    def __init__(
        self,
        place: Place,
        ref: str,
        attempt: int,
        label: str,
        head: Head,
        index: Index,
        refs: dict[str, str],
        found: Survey,
        trees: dict[str, dict[str, Known]],
    ) -> None:
        self.place = place
        self.attempt = attempt
        self.label = label
        self.head = head
        self.index = index
        self.refs = refs
        self.found = found
        self.trees = trees
        self.ref = ref

    def nested(self, part: Part, importer: Importer) -> tuple[str, str, str]:
        """Store a nested repository → (path, ref, commit); the commit it has when nothing changed."""
        ref = nested_ref(self.ref, part.name)
        about = {"path": part.name, **part.extra, "dirs": part.empty, "private": self._private(part)}
        before = self.index.rest.get("nested", {}).get(part.name)
        commit = self.refs.get(ref)
        if commit and before == [ref, commit, about] and _alike(self.trees[part.name], self.index.trees.get(part.name)):
            part.extra = about
            return part.name, ref, commit
        part.extra = about
        files = ((path, known.mode, known.oid) for path, known in self.trees[part.name].items())
        return (
            part.name,
            ref,
            importer.commit(ref, [commit] if commit else [], _message(self.label, about), files, alone=True),
        )

    def rest(self, nested: list[tuple[str, str, str]], left_out: tuple[LeftOut, ...]) -> dict[str, Any]:
        """What the message says besides the tree."""
        main, *others = self.found.parts
        about = {part.name: part.extra for part in others}
        return {
            "runner": 1,
            "project": self.place.marker.project,
            "unit": self.place.marker.unit,
            "attempt": self.attempt,
            "head": self.head.commit,
            "left_out": [[item.path, item.reason, item.size, item.blocks] for item in left_out],
            "nested": {path: [ref, commit, about[path]] for path, ref, commit in nested},
            "nested_files": sum(len(self.trees[part.name]) for part in others),
            "dirs": main.empty,
            "private": self._private(main),
        }

    def same(self, rest: dict[str, Any]) -> bool:
        """Whether the index's snapshot says the same."""
        return self.index.rest == rest and all(
            _alike(entries, self.index.trees.get(name)) for name, entries in self.trees.items()
        )

    def main(self, importer: Importer, rest: dict[str, Any], others: list[str]) -> str:
        """Store the worktree → its commit."""
        part = self.found.parts[0]
        entries = self.trees[""]
        changed = ((p, k.mode, k.oid) for p, k in entries.items() if part.base.get(p) != (k.mode, k.oid))
        deleted = [path for path in part.base if path not in entries and path not in part.retained]
        deleted += [path for path in self.head.links if not (self.place.path / path).is_dir()]
        previous = self.refs.get(self.ref)
        said = {**rest, "label": self.label, "epoch": self.place.marker.epoch, "previous": previous}
        said["files"] = len(entries) + rest["nested_files"]
        # The nested ones' details are in their own messages.
        said["nested"] = {path: row[:2] for path, row in rest["nested"].items()}
        linked = [commit for other in self.found.parts for commit in other.heads]
        parents = [self.head.commit, *([previous] if previous else []), *others, *linked]
        message = _message(self.label, said)
        return importer.commit(self.ref, list(dict.fromkeys(parents)), message, changed, deleted=deleted)

    def _private(self, part: Part) -> list[str] | bool:
        entries = self.trees[part.name]
        private = [
            path
            for path, known in entries.items()
            if part.files[path].private and part.base.get(path) != (known.mode, known.oid)
        ]
        return private if len(private) <= _PRIVATE else True


def _stats(found: Survey) -> dict[str, Stats]:
    return {
        part.name: {path: (s.mode, s.size, s.mtime, s.ctime, s.inode) for path, s in part.files.items()}
        for part in found.parts
    }


def _alike(entries: dict[str, Known], before: dict[str, Known] | None) -> bool:
    if before is None or len(before) != len(entries):
        return False
    return all(
        (old := before.get(p)) is not None and (old.mode, old.oid) == (k.mode, k.oid) for p, k in entries.items()
    )


def _message(label: str, about: dict[str, Any]) -> str:
    title = " ".join(label.encode("ascii", "replace").decode().split()) or "snapshot"
    return f"{title}\n\n{json.dumps(about, separators=(',', ':'))}\n"


def parse_message(message: str) -> dict[str, Any] | None:
    """What a snapshot's message says; None when it is no snapshot's."""
    try:
        about = json.loads(message.partition("\n\n")[2])
    except ValueError:
        return None
    return about if isinstance(about, dict) else None


def head_commit(place: Place, git: Git) -> str:
    """The commit HEAD is at; on a branch without one (`git checkout --orphan`), the workspace's base."""
    code, out, _ = git.attempt("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return out.decode("ascii").strip() if code == 0 else place.marker.base


def abandoned(place: Place, git: Git, head: str, kept: list[str]) -> tuple[list[str], list[str]]:
    """Commits that HEAD has been at and that neither `head` nor `kept` ones lead to, and all that are kept with them.

    An amended, rebased or reset commit is work too, and only the worktree's own log still names it.
    """
    try:
        rows = (place.admin / "logs" / "HEAD").read_bytes().split(b"\n")
    except OSError:
        rows = []
    # A line that a crash cut short is no reason to take no snapshot.
    words = (word.decode("ascii", "replace") for row in rows for word in row.split(b" ")[:2])
    been = dict.fromkeys(word for word in words if len(word) == len(head) and _HEX.fullmatch(word))
    known = dict.fromkeys([*kept, head])
    new = [commit for commit in been if commit not in known and commit.strip("0")]
    if not new:
        return [], list(known)
    listing = ("rev-list", "--no-walk=unsorted", "--ignore-missing", "--stdin")
    alive = git.run(*listing, input="\n".join([head, *new]).encode()).decode().split()
    tips = git.run("merge-base", "--independent", *alive).decode().split() if len(alive) > 1 else []
    return [tip for tip in tips if tip != head], list(dict.fromkeys([*known, *new]))
