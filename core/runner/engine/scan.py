"""One walk over a workspace that fingerprints what a gate depends on; taken before and after the agent."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from runner import globs
from runner.engine.gates import ANYWHERE, FAMILIES, SHADOWS, SKIPPED, STANDARD, VOLATILE
from runner.engine.sections import facts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from runner.engine.commands import Gate

_MODULE: Final = re.compile(r"(\w+)\.(?:py|pyc|pyd|(?:[\w-]+\.)?so)\Z")
_VENV_PTH: Final = re.compile(r"__editable__.*|_virtualenv|distutils-precedence|easy-install|a1_coverage|.*-nspkg")
_HUGE: Final = 64 << 20
"""From this size on a file is known by size and change time, not by content."""


@dataclass(slots=True)
class Scan:
    """What was found. `files`: path → fingerprint; `kinds`: path → config, script, test or protected.

    `facts`: path of a configuration → its parts that count. `modules`: files that may hide one of
    Python's own, path → (folder, module). `packages`: folders with an `__init__`.
    """

    files: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    modules: dict[str, tuple[str, str]] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)
    test_folders: set[str] = field(default_factory=set)

    def hiding(self, on_path: Iterable[str]) -> dict[str, str]:
        """Those `modules` that Python would find: path → module name."""
        folders = set(on_path)
        for folder in self.test_folders:
            while folder in self.packages and folder != ".":
                folder = os.path.dirname(folder) or "."
            folders.add(folder)
        return {p: name for p, (folder, name) in self.modules.items() if folder in folders or name in ANYWHERE}


class Scanner:
    """Knows what to look for: made of a gate and the policy's globs."""

    def __init__(self, gate: Gate, protect: tuple[str, ...], may_edit: tuple[str, ...]) -> None:
        families = [FAMILIES[name] for name in sorted(gate.families)]
        self._gate = gate
        self._python = "python" in gate.families
        self._plugins = "pytest" in gate.families
        self._tests = _names(word for family in families for word in family.tests)
        self._config = _names(word for family in families for word in family.config)
        self._volatile = _names(VOLATILE)
        self._test_folders = _folders(word for family in families for word in family.folders)
        self._config_folders = _folders(word for family in families for word in family.config_folders)
        self._sections = {word for family in families for word in family.sections}
        self._protect = globs.matcher(protect)
        self._may_edit = globs.matcher(may_edit)
        self._globs = bool(protect or may_edit)
        self.above = sorted({word for family in families for word in family.above})

    def scan(self, root: Path) -> Scan:
        """Walk `root`, following no links."""
        found = Scan()
        pending = [("", False, False)]
        while pending:
            folder, tests, config = pending.pop()
            try:
                with os.scandir(os.path.join(root, folder)) as listing:
                    entries = list(listing)
            except OSError:
                continue
            if folder and any(entry.name == "pyvenv.cfg" for entry in entries):
                self._venv(found, root, folder)
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not entry.is_dir(follow_symlinks=False):
                    self._leaf(found, entry, folder or ".", path, tests, config)
                elif entry.name not in SKIPPED:
                    pending.append(
                        (path, tests or bool(self._test_folders(path)), config or bool(self._config_folders(path)))
                    )
        self._named(found, root)
        return found

    def _leaf(self, found: Scan, entry: os.DirEntry[str], folder: str, path: str, tests: bool, config: bool) -> None:
        name = entry.name
        if self._python:
            self._module(found, name, folder, path)
        # A link named as a test folder counts as one.
        inside = tests or (entry.is_symlink() and self._test_folders(path) is not None)
        test = self._tests(name) is not None or (inside and self._volatile(name) is None)
        if test and name.endswith(".py"):
            found.test_folders.add(folder)
        if name in self._sections:
            if not self._may_edit(path):
                found.facts[path] = facts_of(name, _content(entry.path))
            return
        if config or self._config(name):
            kind = "config"
        elif self._plugins and name == "entry_points.txt" and folder.endswith((".dist-info", ".egg-info")):
            kind = "config" if b"pytest11" in _content(entry.path) else ""
        else:
            kind = "test" if test else ""
        if kind == "config" and name.endswith(".pth") and _content(entry.path)[:1] in (b"P", b"\x80"):
            kind = ""  # weights of a model, not a path configuration
        if self._globs and (kind or self._protect(path)):
            kind = "" if self._may_edit(path) else kind or "protected"
        if kind:
            found.files[path] = fingerprint(entry.path)
            found.kinds[path] = kind

    def _module(self, found: Scan, name: str, folder: str, path: str) -> None:
        stem = name.partition(".")[0]
        if stem == "__init__":
            found.packages.add(folder)
            parent, base = os.path.split(folder)
            if base in SHADOWS or base in STANDARD:
                found.modules[path] = (parent or ".", base)
        elif (stem in SHADOWS or stem in STANDARD) and _MODULE.match(name):
            found.modules[path] = (folder, stem)

    def _named(self, found: Scan, root: Path) -> None:
        """The scripts that commands name, wherever they lie, and the links on the way to them."""
        for path in self._gate.scripts:
            parts = path.split("/")
            for length in range(1, len(parts) + 1):
                step = "/".join(parts[:length])
                last = length == len(parts)
                if (last or os.path.islink(root / step)) and step not in found.files and not self._may_edit(step):
                    if os.path.basename(step) in self._sections or not os.path.lexists(root / step):
                        continue
                    found.files[step] = fingerprint(os.path.join(root, step))
                    found.kinds[step] = "script"

    def _venv(self, found: Scan, root: Path, folder: str) -> None:
        """Of an environment for Python only what runs at each start of it."""
        if not self._python:
            return
        for lib in sorted((root / folder).glob("lib*/python*/site-packages")):
            try:
                names = os.listdir(lib)
            except OSError:
                continue
            for name in names:
                stem = name.partition(".")[0]
                starts = stem in ("sitecustomize", "usercustomize")
                if starts or (name.endswith(".pth") and not _VENV_PTH.fullmatch(name[:-4])):
                    path = os.path.relpath(lib / name, root)
                    if not self._may_edit(path):
                        found.files[path] = fingerprint(os.path.join(lib, name))
                        found.kinds[path] = "config"


def fingerprint(path: str) -> str:
    """What a file is: a link and where to, and the digest of its bytes (of what it leads to)."""
    prefix = ""
    try:
        if os.path.islink(path):
            prefix = f"link {os.readlink(path)} "
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"{prefix}error {error.errno}"
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return f"{prefix}kind {stat.S_IFMT(status.st_mode):o}"
        if status.st_size > _HUGE:
            return f"{prefix}size {status.st_size} at {status.st_ctime_ns}"
        digest = hashlib.sha256()
        while data := os.read(handle, 1 << 20):
            digest.update(data)
        return prefix + digest.hexdigest()
    except OSError as error:
        return f"{prefix}error {error.errno}"
    finally:
        os.close(handle)


def _content(path: str) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(handle, 4 << 20)
    except OSError:
        return b""
    finally:
        os.close(handle)


def _names(words: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    """A test for a file's name alone: one regular expression for all globs."""
    parts = [globs.segment(word) for word in dict.fromkeys(words)]
    return re.compile(f"(?:{'|'.join(parts)})\\Z" if parts else r"(?!)", re.DOTALL).match


def _folders(words: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    """A test for a folder's path: its last one or two names, at any level."""
    parts = ["/".join(globs.segment(part) for part in word.split("/")) for word in dict.fromkeys(words)]
    return re.compile(f"(?:.*/)?(?:{'|'.join(parts)})\\Z" if parts else r"(?!)", re.DOTALL).match
