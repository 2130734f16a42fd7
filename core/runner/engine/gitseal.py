"""What of a repository's own settings could change a gate or what git shows: fingerprints of hooks and settings."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_RISKY: Final = re.compile(
    r"core\.(?:hookspath|fsmonitor|worktree|attributesfile|excludesfile|gitproxy|sshcommand)"
    r"|include\..*|includeif\..*|filter\..*|diff\.external|diff\..*\.(?:command|textconv)|merge\..*\.driver",
    re.DOTALL,
)
"""Settings that run programs or change what is seen. A name, an address, a remote or a branch is anybody's to set."""

_HUSKY: Final = {"core.hookspath=.husky", "core.hookspath=.husky/_"}
"""What `npm install` sets in many projects: checks and the runner's own commits run with hooks off anyway."""


def prints(root: Path) -> dict[str, str]:
    """Label → fingerprint of the worktree's `.git` link, its hooks, risky settings and attributes."""
    out: dict[str, str] = {}
    root = next((folder for folder in (root, *root.parents) if os.path.lexists(folder / ".git")), root)
    place = root / ".git"
    if place.is_symlink():
        out[".git"] = f"link {os.readlink(place)}"
    folder = place
    if place.is_file():
        text = _read(place)
        out[".git"] = _digest(text)
        folder = root / text.decode(errors="surrogateescape").partition("gitdir:")[2].strip()
    if not folder.is_dir():
        return out
    common = folder
    pointer = _read(folder / "commondir")
    if pointer:
        common = folder / pointer.decode(errors="surrogateescape").strip()
    for base, name in ((common, "config"), (folder, "config.worktree")):
        for setting in settings(_read(base / name)):
            if _RISKY.fullmatch(setting.partition("=")[0]) and setting not in _HUSKY:
                out[f".git/{name}: {setting.partition('=')[0]}"] = _digest(setting.encode(errors="surrogateescape"))
    for base, name in ((common, "info/attributes"), (common, "info/grafts")):
        if content := _read(base / name):
            out[f".git/{name}"] = _digest(content)
    out.update(_hooks(common / "hooks"))
    return out


def _hooks(folder: Path) -> dict[str, str]:
    out = {}
    if folder.is_symlink():
        out[".git/hooks"] = f"link {os.readlink(folder)}"
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return out
    for name in names:
        if not name.endswith(".sample"):
            out[f".git/hooks/{name}"] = _digest(_read(folder / name))
    return out


def settings(content: bytes) -> list[str]:
    """The settings of a git configuration file as `section.subsection.key=value`, names in lower case."""
    out: list[str] = []
    section = ""
    text = content.decode(errors="surrogateescape").replace("\\\n", "")
    for line in text.splitlines():
        line = line.strip()
        match = re.match(r'\[\s*([^\s"\]]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\](.*)', line)
        if match:
            name, inner, line = match.groups()
            section = name.lower() + (f".{inner}" if inner is not None else "")
            line = line.strip()
        if not line or line[0] in "#;":
            continue
        key, equals, value = line.partition("=")
        out.append(f"{section}.{key.strip().lower()}={value.strip() if equals else 'true'}")
    return out


def _read(path: Path) -> bytes:
    try:
        # A pipe put in a file's place must not be waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(handle, 1 << 20)
    except OSError:
        return b""
    finally:
        os.close(handle)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
