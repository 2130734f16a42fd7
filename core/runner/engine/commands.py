"""What a check's command depends on: the programs it names that are files here, and the tools it runs."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runner.engine.gates import FAMILIES, WORDS, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_SHELLS: Final = names("sh bash dash zsh ksh ash busybox")
_INTERPRETERS: Final = names("node nodejs deno bun ruby perl php lua Rscript tclsh pwsh tsx ts-node")
_WRAPPERS: Final = names(
    "env time timeout nice ionice nohup stdbuf xvfb-run exec command builtin sudo setsid chronic run exec -- uv poetry"
    " pdm hatch pipenv rye npx bunx bundle conda micromamba mamba dlx x flock direnv nix-shell doas caffeinate"
    " cross-env dotenv if then else elif while until do ! { }"
)
_RUNNERS: Final = names("npm yarn pnpm bun")
_DEPTH: Final = 5
"""How far a script that names a script that names a script is followed."""


@dataclass(slots=True)
class Gate:
    """What commands depend on. Paths are relative to the workspace, with `/`; `folders` are on Python's path."""

    scripts: set[str] = field(default_factory=set)
    families: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    """Scripts of package.json that a command names."""


def gate_of(commands: Iterable[str], root: Path, cwd: Path | None = None) -> Gate:
    """The gate that these shell commands are, run in `cwd` (default `root`)."""
    gate = Gate()
    start = os.path.relpath(cwd or root, root)
    for command in commands:
        _Reader(root, gate, [start]).read(command, _DEPTH)
    for name in tuple(gate.families):
        gate.families.update(FAMILIES[name].brings)
    if "python" in gate.families:
        gate.folders.update((".", os.path.normpath(start), "src", "lib"))
    return gate


class _Reader:
    """Reads one command; `folders` are those it may be in (`cd` adds one)."""

    def __init__(self, root: Path, gate: Gate, folders: list[str]) -> None:
        self.root, self.gate, self.folders = root, gate, folders

    def read(self, text: str, depth: int) -> None:
        if depth <= 0 or len(text) > 1_000_000:
            return
        for inner in re.findall(r"\$\(([^()]*)\)|`([^`]*)`", text):
            self.read("".join(inner), depth - 1)
        for words in _simple_commands(text):
            self._command(words, depth)

    def _command(self, words: list[str], depth: int) -> None:
        wrapped = words[:1] != [] and words[0] in _WRAPPERS
        while words and (words[0] in _WRAPPERS or _passed_over(words[0])):
            if words[0] in _WRAPPERS and words[0] in WORDS:
                self.gate.families.add(WORDS[words[0]])
            words = words[1:]
        if not words:
            return
        program, rest = words[0], words[1:]
        base = os.path.basename(program)
        name = re.sub(r"[\d.]+$", "", base) if base.startswith(("python", "pypy", "ruby", "php", "node")) else base
        self._script(program, depth)
        if base == "cd" and rest:
            self.folders.append(os.path.normpath(os.path.join(self.folders[0], rest[-1])))
        elif name in _SHELLS or base in (".", "source", "eval"):
            self._shell(base, rest, depth)
        elif name in ("python", "pypy"):
            self._python(rest, depth)
        elif base in _RUNNERS:
            self._package_script(base, rest, depth)
        if name in _INTERPRETERS:
            self._first_file(rest, depth)
        if name in ("make", "gmake", "just"):
            self._makefile(rest, depth)
        self._tool(name, rest)
        if wrapped and name not in WORDS:  # `uv run --with x pytest`: an option's value was taken for the program
            self.gate.families.update(WORDS[word] for word in rest if word in WORDS)

    def _tool(self, name: str, rest: list[str]) -> None:
        family = WORDS.get(name) or WORDS.get(re.sub(r"[-.](?:cmd|exe|bat|js|mjs|cjs)$", "", name))
        if family:
            self.gate.families.add(family)
        if name in ("node", "nodejs") and any(word.startswith("--test") for word in rest):
            self.gate.families.add("jest")
        if name == "bun" and rest[:1] == ["test"]:
            self.gate.families.add("jest")
        if name in ("coverage", "hatch", "uv", "poetry") and "test" in rest:
            self.gate.families.add("pytest")

    def _shell(self, base: str, rest: list[str], depth: int) -> None:
        if base == "eval":
            self.read(" ".join(rest), depth - 1)
            return
        for place, word in enumerate(rest):
            if word.startswith("-") and not word.startswith("--") and word.endswith("c") and place + 1 < len(rest):
                self.read(rest[place + 1], depth - 1)
                return
        self._first_file(rest, depth)

    def _python(self, rest: list[str], depth: int) -> None:
        self.gate.families.add("python")
        place = 0
        while place < len(rest) and rest[place].startswith("-") and rest[place] != "-":
            word = rest[place]
            if word.startswith("-c"):
                return
            if re.fullmatch(r"-[A-Za-z]*m", word):
                if place + 1 < len(rest):
                    self._module(rest[place + 1], rest[place + 2 :], depth)
                return
            place += 2 if word in ("-W", "-X") else 1
        if place < len(rest):
            self._script(rest[place], depth)
            for folder in self.folders:
                self.gate.folders.add(os.path.normpath(os.path.join(folder, os.path.dirname(rest[place]) or ".")))
            if rest[place].endswith("manage.py") and "test" in rest[place + 1 :]:
                self.gate.families.add("pytest")

    def _module(self, module: str, rest: list[str], depth: int) -> None:
        if module in WORDS:
            self.gate.families.add(WORDS[module])
            if module == "coverage":
                self._python([word for word in rest if word != "run"], depth)
            return
        path = module.replace(".", "/")
        for name in (f"{path}.py", f"{path}/__main__.py"):
            self._script(name, depth)

    def _package_script(self, base: str, rest: list[str], depth: int) -> None:
        words = [word for word in rest if not word.startswith("-")]
        if words[:1] in (["run"], ["run-script"], ["exec"]):
            words = words[1:]
        if not words:
            return
        name = {"t": "test", "tst": "test"}.get(words[0], words[0])
        if rest[:1] == ["exec"]:
            self._command(words, depth)
        self.gate.named.add(name)
        for folder in self.folders:
            scripts = _package_scripts(self.root / folder / "package.json")
            for key in (f"pre{name}", name, f"post{name}"):
                if key in scripts:
                    self.read(scripts[key], depth - 1)

    def _makefile(self, rest: list[str], depth: int) -> None:
        folders, files = list(self.folders), ["GNUmakefile", "makefile", "Makefile", "justfile"]
        for flag, value in itertools.pairwise(rest):
            if flag in ("-C", "--directory"):
                folders.append(os.path.normpath(os.path.join(self.folders[0], value)))
            elif flag in ("-f", "--file", "--makefile", "--justfile"):
                files.append(value)
        for folder in folders:
            for file in files:
                path = os.path.normpath(os.path.join(folder, file))
                text = _text(self.root / path)
                if text is None:
                    continue
                self.gate.scripts.add(path)
                recipe = (line.strip().lstrip("@-+") for line in text.splitlines() if line[:1] in ("\t", " "))
                _Reader(self.root, self.gate, [folder]).read("\n".join(recipe), depth - 1)

    def _first_file(self, words: list[str], depth: int) -> None:
        for word in words:
            if not word.startswith("-") and self._script(word, depth):
                return

    def _script(self, word: str, depth: int) -> bool:
        """Note the file that the word names, and read on in it; False when there is none."""
        found = False
        for folder in self.folders:
            path = os.path.normpath(os.path.join(folder, word))
            if os.path.isabs(path):
                path = os.path.relpath(path, self.root)
            if path.startswith("..") or path in self.gate.scripts or not (self.root / path).is_file():
                found = found or path in self.gate.scripts
                continue
            found = True
            self.gate.scripts.add(path)
            text = _text(self.root / path)
            if text is not None:
                self._inside(path, text, depth - 1)
        return found

    def _inside(self, path: str, text: str, depth: int) -> None:
        first = text.partition("\n")[0]
        if path.endswith(".py") or (first.startswith("#!") and "python" in first):
            self.gate.families.add("python")
            self.gate.folders.add(os.path.dirname(path) or ".")
            tools = ("pytest", "unittest", "tox", "nox", "coverage")
            if any(re.search(rf"\b{tool}\b", text) for tool in tools):
                self.gate.families.add("pytest")
            return
        plain = not first.startswith("#!") and "." not in os.path.basename(path)
        if plain or path.endswith((".sh", ".bash", ".zsh")) or (first.startswith("#!") and first.endswith("sh")):
            self.read(text, depth)


def _simple_commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a shell text, as far as one can tell without being a shell."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        tokens = list(lexer)
    except ValueError:  # an open quote: no shell would run it, but the words still say what it is about
        tokens = re.findall(r"[^\s;&|()<>'\"]+|[;&|()\n]", text)
    words: list[str] = []
    comment = False
    for token in tokens:
        if set(token) <= set("();|&\n"):
            comment = comment and "\n" not in token
            yield words
            words = []
        elif comment or token.startswith("#"):
            comment = True
        elif not set(token) <= set("<>&"):
            words.append(token)
    yield words


def _passed_over(word: str) -> bool:
    """Words between a wrapper and its program: options, numbers, assignments."""
    return bool(re.fullmatch(r"-.*|[\d.]+[smhd]?|[A-Za-z_]\w*=.*", word, re.DOTALL))


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > 1_000_000:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _package_scripts(path: Path) -> dict[str, str]:
    text = _text(path)
    try:
        value: Any = json.loads(text or "{}")
        scripts = value.get("scripts", {}) if isinstance(value, dict) else {}
        return {k: v for k, v in scripts.items() if isinstance(v, str)} if isinstance(scripts, dict) else {}
    except (ValueError, RecursionError):
        return {}
