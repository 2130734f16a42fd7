"""Simple commands as words: which of them run code that stands in a word, and may therefore hold no value."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.templates.shellscan import Scan, Word

HIT: Final = "\ue000"
"""A placeholder, in a word's text."""
_SHELLS: Final = frozenset(("sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "fish", "su", "script"))
_PREFIXES: Final = frozenset(
    """sudo doas env command builtin exec nohup time nice ionice timeout setsid stdbuf xargs find docker podman kubectl
    strace chroot unshare nsenter flock su""".split()
)
"""Commands that run another, which is one of their words."""
_CODE_OPTIONS: Final = {
    "perl": "eE",
    "ruby": "e",
    "node": "ep",
    "nodejs": "ep",
    "bun": "ep",
    "php": "r",
    "lua": "e",
    "osascript": "e",
    "Rscript": "e",
}
"""Interpreters, and the letters of their options that take code."""
_WHOLE: Final = frozenset(("eval", "alias", "ssh", "watch", "parallel", "let", "rsh", "mosh"))
"""Commands whose words are joined and evaluated again."""
_NAMES: Final = frozenset(("read", "unset", "getopts", "mapfile", "readarray"))
_DECLARE: Final = frozenset(("declare", "typeset", "local", "export", "readonly"))
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")
_NUMERIC: Final = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-v", "-t", "-R"))
_QUIET: Final = frozenset(("echo", "printf", "test", "[", "[[", "for", "select", "case", "cd", *_DECLARE))
_AGAIN: Final = "its value would be evaluated as code there; pass it as an argument, or in a file"
_PYTHON: Final = re.compile(r"python[0-9.]*|pypy[0-9.]*")
_AWK: Final = frozenset(("awk", "gawk", "mawk", "nawk"))
_SED: Final = frozenset(("sed", "gsed"))


@dataclass(slots=True)
class Simple:
    """A simple command: its words so far, and the placeholders that are fed to its standard input."""

    words: list[Word] = field(default_factory=list)
    fed: list[int] = field(default_factory=list)

    @property
    def is_test(self) -> bool:
        """Whether this is `[[ …`, in which `(`, `<` and `&` are no operators of the shell."""
        return bool(self.words) and self.words[0].text == "[[" and self.words[-1].text != "]]"


def judge(scan: Scan, pipeline: Sequence[Simple]) -> None:
    """Refuse the placeholders of commands that would run them as code."""
    for number, command in enumerate(pipeline):
        words = _without_assignments(scan, command.words)
        if words:
            _judge(scan, words)
        judge_fed(scan, command)
        if any(reads_code(later) for later in pipeline[number + 1 :]):
            hits = [hit for word in command.words for hit in word.hits] + command.fed
            if hits:
                scan.refuse(hits[0], "in what is piped to a shell or interpreter", _AGAIN)


def judge_fed(scan: Scan, command: Simple) -> None:
    """Refuse placeholders in the input of a shell."""
    if command.fed and reads_code(command):
        scan.refuse(command.fed[0], "in the input of a shell or interpreter", _AGAIN)


def reads_code(command: Simple) -> bool:
    """Whether the command runs what it reads: a shell, or an interpreter without a script."""
    words = [word.text for word in command.words if not _ASSIGNMENT.match(word.text)]
    for place in _places(words):
        name = os.path.basename(words[place])
        rest = words[place + 1 :]
        given = [word for word in rest if not word.startswith(("-", "+"))]
        code = any(re.fullmatch(r"-\w*c", word) for word in rest)
        if name in _SHELLS and (not given or "-s" in rest):
            return True
        if name in _SHELLS and code and place > 0:
            return True  # `xargs sh -c`, `xargs -I{} sh -c`
        if name == "ssh" and len(given) < 2:
            return True
        if (name in _CODE_OPTIONS or _PYTHON.fullmatch(name)) and (not given or "-" in rest) and not code:
            return True
    return False


def _places(words: Sequence[str]) -> list[int]:
    """Where a command's name may stand: first, and anywhere behind one that runs another."""
    if not words:
        return []
    return list(range(len(words))) if os.path.basename(words[0]) in _PREFIXES else [0]


def _without_assignments(scan: Scan, words: list[Word]) -> list[Word]:
    """The command's words behind its assignments, whose names may hold no placeholder."""
    for number, word in enumerate(words):
        if re.match(rf"[\w{HIT}]*{HIT}[\w{HIT}]*\+?=", word.text):
            scan.refuse(word.hits[0], "in a variable's name", "write the name out")
        if not _ASSIGNMENT.match(word.text):
            return words[number:]
    return []


def _judge(scan: Scan, words: list[Word]) -> None:
    texts = [word.text for word in words]
    for place in _places(texts):
        _judge_program(scan, os.path.basename(texts[place]), words[place + 1 :])
    name = texts[0]
    hits = [word for word in words[1:] if word.hits]
    if name in ("for", "select") and len(words) > 1 and words[1].hits:
        scan.refuse(words[1].hits[0], "in a variable's name", "write the name out")
    if name == "trap" and len(words) > 1 and words[1].hits:
        scan.refuse(words[1].hits[0], "in a trap", _AGAIN)
    if name in _NAMES:
        _judge_names(scan, words)
    if name in _DECLARE:
        _judge_declared(scan, words)
    if name == "printf" and "-v" in texts and texts.index("-v") + 1 < len(words) and words[texts.index("-v") + 1].hits:
        scan.refuse(words[texts.index("-v") + 1].hits[0], "in a variable's name", "write the name out")
    if hits and ((name == "[[" and _NUMERIC & set(texts)) or (name in ("[", "test") and {"-v", "-R"} & set(texts))):
        scan.refuse(hits[0].hits[0], "in an arithmetic comparison", "its value would be evaluated; use [ … ]")
    _warn(scan, words)


def _judge_program(scan: Scan, name: str, rest: list[Word]) -> None:
    """Refuse what this program takes for code."""
    code: list[Word] = []
    if name in _WHOLE:
        code = rest
    elif name in _SHELLS:
        code = _code_of_shell(rest)
    elif _PYTHON.fullmatch(name):
        code = _after_option(rest, "c")
    elif name in _CODE_OPTIONS:
        code = _after_option(rest, _CODE_OPTIONS[name])
        code += [word for word in rest if word.text.startswith(("--eval", "--print"))]
        code += [rest[n + 1] for n, word in enumerate(rest[:-1]) if word.text in ("--eval", "--print")]
    elif name in _AWK or name in _SED:
        code = _script_of(rest, name)
    for word in code:
        if word.hits:
            scan.refuse(word.hits[0], f"in the code that '{name}' runs", _AGAIN)


def _code_of_shell(rest: list[Word]) -> list[Word]:
    """The word that `sh -c` runs; words behind it are its arguments, and data."""
    given = False
    for word in rest:
        if word.text.startswith(("-", "+")) or (given and word.text in ("-o", "+o")):
            if word.hits:
                return [word]
            given = given or bool(re.fullmatch(r"-\w*c\w*", word.text)) or word.text == "--command"
        elif given:
            return [word]
        elif word.text:
            return [word] if word.hits and word.text != HIT and "=" in word.text else []
    return []


def _after_option(rest: list[Word], letters: str) -> list[Word]:
    """The words behind options that take code, and what is written onto such an option."""
    found = []
    for number, word in enumerate(rest):
        option = re.match(rf"-\w*?[{letters}]", word.text)
        if option is None:
            continue
        found.append(word)
        if option.end() == len(word.text) and number + 1 < len(rest):
            found.append(rest[number + 1])
    return found


def _script_of(rest: list[Word], name: str) -> list[Word]:
    """The program of awk or sed: behind `-e`, else the first word that is no option."""
    takes = "vFf" if name in _AWK else "fl"
    named = _after_option(rest, "e")
    if named:
        return named
    skip = False
    for word in rest:
        if skip:
            skip = False
        elif word.text.startswith("-") and len(word.text) > 1:
            if word.text[1] == "f":
                return []
            skip = len(word.text) == 2 and word.text[1] in takes
        else:
            return [word]
    return []


def _judge_names(scan: Scan, words: list[Word]) -> None:
    for before, word in pairwise(words):
        if word.hits and before.text not in ("-p", "-d", "-t", "-n", "-N", "-u", "-i"):
            scan.refuse(word.hits[0], "in a variable's name", "write the name out")


def _judge_declared(scan: Scan, words: list[Word]) -> None:
    integer = any(re.match(r"-\w*[inaA]", word.text) for word in words[1:])
    for word in words[1:]:
        if not word.hits:
            continue
        name = _ASSIGNMENT.match(word.text)
        if name is None:
            scan.refuse(word.hits[0], "in a variable's name", "write the name out")
        elif integer:
            scan.refuse(word.hits[0], "in the value of such a variable", "it would be evaluated as arithmetic")


def _warn(scan: Scan, words: list[Word]) -> None:
    """A value that leads a word and starts with a dash becomes an option."""
    if words[0].text in _QUIET:
        return
    for before, word in pairwise(words):
        if before.text == "--":
            return
        if word.text.startswith(HIT) and not before.text.startswith("-"):
            name = scan.names[word.hits[0]]
            scan.warnings.append(
                f"'{{{{{name}}}}}' leads a word: a value like -rf becomes an option; write -- before it"
            )
