"""Where the placeholders of a shell command stand, and what is written there so that a value stays data.

A reading of the shell's grammar, just deep enough to know of each placeholder whether it is in a bare word, in
double or single quotes, in a here-document or a comment. It refuses, with a hint, every place where a shell
would evaluate a variable's value once more (arithmetic, names, code for another interpreter), and what it can't
classify.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from runner.templates import shellwords
from runner.templates.shellwords import HIT
from runner.templates.syntax import Placeholder, TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.templates.shellwords import Simple

EXPANSION: Final = "\ue001"
"""What the shell itself will expand, in a word's text."""

_BLANK: Final = " \t"
_META: Final = " \t\n;&|<>()"
_AGAIN: Final = frozenset(("if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "coproc"))
"""Reserved words after which a command begins."""
_OVER: Final = frozenset(("fi", "done", "}"))
_PLAIN_DELIMITER: Final = re.compile(r"[A-Za-z0-9_]+")


@dataclass(slots=True)
class Word:
    """A word of a command: its text without quotes, and the numbers of the placeholders in it."""

    start: int
    text: str = ""
    hits: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Heredoc:
    delimiter: str
    quoted: bool
    strip: bool
    span: tuple[int, int]
    command: Simple


class Scan:
    """Reads one command. `edits` says, after `run`, what stands in place of the unit at an offset.

    `units` are the command's characters, a placeholder being one unit (its number).
    """

    def __init__(self, parts: Sequence[str | Placeholder], *, bash: bool) -> None:
        self.units: list[str | int] = []
        self.names: list[str] = []
        for part in parts:
            if isinstance(part, str):
                self.units += part
            else:
                self.units.append(len(self.names))
                self.names.append(part.source)
        self.edits: dict[int, str] = {}
        self.warnings: list[str] = []
        self._bash = bash
        self._end = len(self.units)
        self._i = 0
        self._pending: list[_Heredoc] = []

    def run(self) -> None:
        """Read it all; TemplateError for a place where a value can't stand."""
        self._commands(None)
        self._bodies()

    # What is found

    def _put(self, form: str) -> int:
        """A placeholder here becomes a reference to its variable → its number."""
        number = self.units[self._i]
        assert isinstance(number, int)
        reference = "${" + variable(number) + "}"
        self.edits[self._i] = form.replace("@", reference)
        self._i += 1
        return number

    def refuse(self, number: int, where: str, hint: str) -> None:
        """Raise for a placeholder."""
        raise TemplateError(f"'{{{{{self.names[number]}}}}}' can't stand {where}", hint)

    def _unclear(self, what: str) -> None:
        raise TemplateError(
            f"the command can't be read ({what}), so no value can be put in safely", "put values into simple words"
        )

    def _at(self, offset: int = 0) -> str | int:
        place = self._i + offset
        return self.units[place] if place < self._end else ""

    def _is(self, text: str) -> bool:
        return all(self._at(n) == sign for n, sign in enumerate(text))

    # Commands

    def _commands(self, closer: str | None) -> None:
        """Commands up to the end, or up to and with the `closer` of a group."""
        command = shellwords.Simple()
        pipeline = [command]
        cases: list[str] = []

        def ended() -> None:
            nonlocal command, pipeline
            shellwords.judge(self, pipeline)
            command = shellwords.Simple()
            pipeline = [command]

        while True:
            self._blanks()
            sign = self._at()
            if command.is_test and sign not in ("", "\n"):
                command.words.append(self._test_word())
                continue
            if sign == "":
                if closer is not None:
                    self._unclear(f"'{closer}' is missing")
                ended()
                return
            if sign == "\n":
                ended()
                self._i += 1
                self._bodies()
            elif sign == "#":
                self._comment()
            elif sign == ")":
                self._i += 1
                if cases and cases[-1] == "pattern":
                    cases[-1] = "body"
                    command, pipeline = (fresh := shellwords.Simple()), [fresh]
                    continue
                if closer is None:
                    self._unclear("a ')' closes nothing")
                ended()
                return
            elif sign == "|" and self._at(1) != "|":
                self._i += 2 if self._at(1) == "&" else 1
                if not (cases and cases[-1] == "pattern"):
                    command = shellwords.Simple()
                    pipeline.append(command)
            elif isinstance(sign, str) and sign in ";&|":
                ended()
                if self._is(";;") or self._is(";&"):
                    self._i += 2
                    if cases:
                        cases[-1] = "pattern"
                elif self._is("&>"):
                    self._i += 1
                else:
                    self._i += 2 if self._is("&&") or self._is("||") else 1
            elif sign == "(":
                self._paren(command, cases)
            elif isinstance(sign, str) and sign in "<>":
                self._redirect(command)
            else:
                self._take(self._word(_META), command, cases)

    def _take(self, word: Word, command: Simple, cases: list[str]) -> None:
        """A word of a command: a reserved one opens or closes something, others are its words."""
        if word.text.isdecimal() and not word.hits and self._at() in ("<", ">"):
            return
        if command.words:
            command.words.append(word)
            first = command.words[0].text
            if first == "case" and word.text == "in" and len(command.words) == 3:
                cases.append("pattern")
                shellwords.judge(self, [command])
                command.words.clear()
            elif first == "function" and len(command.words) == 2:
                command.words.clear()
            return
        if cases and cases[-1] == "pattern" and word.text != "esac":
            return
        if word.text == "esac":
            if not cases:
                self._unclear("'esac' closes nothing")
            cases.pop()
        elif word.text not in _AGAIN and word.text not in _OVER:
            command.words.append(word)

    def _paren(self, command: Simple, cases: list[str]) -> None:
        if cases and cases[-1] == "pattern" and not command.words:
            self._i += 1
            return
        if not command.words or command.words[0].text == "for":
            end = self._double_paren() if self._is("((") else None
            if end is not None:
                self._skip(end, "in arithmetic")
                return
            if command.words:
                self._unclear("a '(' after 'for'")
            self._i += 1
            self._commands(")")
            return
        last = command.words[-1]
        if self._at(1) == ")" and len(command.words) == 1:
            self._i += 2
            command.words.clear()
        elif last.text.endswith("=") and last.start < self._i and self.units[self._i - 1] == "=":
            self._i += 1
            self._array(last)
        else:
            self._unclear("a '(' in a word")

    def _array(self, into: Word) -> None:
        while True:
            self._blanks()
            if self._at() == "\n":
                self._i += 1
            elif self._at() == ")":
                self._i += 1
                return
            elif self._at() == "" or self._at() in tuple(";&|<>("):
                self._unclear("an array is not closed")
            elif self._at() == "#":
                self._comment()
            else:
                word = self._word(_META)
                if word.hits and re.match(r"\[[^\]]*" + HIT, word.text):
                    self.refuse(word.hits[0], "in a subscript", "it would be evaluated as arithmetic")
                into.hits += word.hits

    def _redirect(self, command: Simple) -> None:
        if (self._is("<(") or self._is(">(")) and self._bash:
            self._i += 2
            self._commands(")")
            return
        here = self._is("<<") and not self._is("<<<")
        start = self._i
        while self._at() in ("<", ">", "&", "|", "-") and self._i - start < 3:
            self._i += 1
            if here and self._i - start == 2:
                break
        strip = here and self._at() == "-"
        self._i += strip
        self._blanks()
        if here:
            self._delimiter(command, strip)
            return
        if self._at() in ("\n", "", ";", "|", "(", ")"):
            self._unclear("a redirection goes nowhere")
        word = self._word(_META)
        if "".join(str(unit) for unit in self.units[start : start + 3]) == "<<<":
            command.fed += word.hits

    def _delimiter(self, command: Simple, strip: bool) -> None:
        start, raw = self._i, ""
        while isinstance(self._at(), str) and self._at() not in ("", *_META):
            raw += str(self._at())
            self._i += 1
        if isinstance(self._at(), int):
            self.refuse(int(self._at()), "in a here-document's delimiter", "write a plain word there")
        quoted = any(sign in raw for sign in "'\"\\")
        plain = re.sub(r"['\"\\]", "", raw)
        if not plain:
            self._unclear("a here-document has no delimiter")
        self._pending.append(_Heredoc(plain, quoted, strip, (start, self._i), command))

    # Here-documents

    def _bodies(self) -> None:
        """The here-documents that were announced on the line before."""
        pending, self._pending = self._pending, []
        for one in pending:
            start = self._i
            end = self._find(one)
            if any(isinstance(unit, int) for unit in self.units[start:end]):
                self._body(one, start, end)
            self._i = end
            while self._i < self._end and self.units[self._i] != "\n":
                self._i += 1
            self._i += self._i < self._end

    def _find(self, one: _Heredoc) -> int:
        """Where the line with the delimiter starts."""
        place = self._i
        while place < self._end:
            stop = place
            while stop < self._end and self.units[stop] != "\n":
                stop += 1
            line = self.units[place:stop]
            if all(isinstance(unit, str) for unit in line):
                text = "".join(str(unit) for unit in line)
                if (text.lstrip("\t") if one.strip else text) == one.delimiter:
                    return place
            place = stop + 1
        self._unclear(f"the here-document '{one.delimiter}' has no end")
        return place

    def _body(self, one: _Heredoc, start: int, end: int) -> None:
        hits = [unit for unit in self.units[start:end] if isinstance(unit, int)]
        one.command.fed += hits
        shellwords.judge_fed(self, one.command)
        if not one.quoted:
            outer, self._end = self._end, end
            self._expanding(None, Word(start))
            self._end = outer
            return
        if not _PLAIN_DELIMITER.fullmatch(one.delimiter):
            self.refuse(hits[0], f"in the here-document '{one.delimiter}'", "choose a delimiter of letters and digits")
        # A quoted delimiter would leave the reference as it is: the body is escaped instead.
        for place in range(*one.span):
            self.edits[place] = ""
        self.edits[one.span[0]] = one.delimiter
        while self._i < end:
            unit = self.units[self._i]
            if isinstance(unit, int):
                self._put("@")
            else:
                if unit in "\\$`":
                    self.edits[self._i] = "\\" + unit
                self._i += 1

    # Words

    def _blanks(self) -> None:
        while self._at() in (" ", "\t") or self._is("\\\n"):
            self._i += 2 if self._at() == "\\" else 1

    def _comment(self) -> None:
        while self._at() not in ("", "\n"):
            if isinstance(self._at(), int):
                self._put("@")
            else:
                self._i += 1

    def _word(self, stop: str) -> Word:
        word = Word(self._i)
        while (sign := self._at()) != "":
            if isinstance(sign, int):
                word.hits.append(self._put('"@"'))
                word.text += HIT
            elif sign in stop:
                if sign == "(" and word.text[-1:] in tuple("?*+@!"):
                    self._unclear("a '(' in a pattern")
                break
            elif sign == "\\":
                if self._at(1) not in ("", "\n"):
                    word.text += str(self._at(1))
                self._i += 2
            elif sign == "'":
                self._single(word)
            elif sign == '"':
                self._i += 1
                self._expanding('"', word)
            elif sign == "$":
                self._dollar(word, quoted=False)
            elif sign == "`":
                self._backtick(word)
            else:
                word.text += sign
                self._i += 1
        if re.match(r"[A-Za-z_]\w*\[[^\]]*" + HIT, word.text):
            self.refuse(word.hits[0], "in a subscript", "it would be evaluated as arithmetic")
        return word

    def _test_word(self) -> Word:
        """A word of `[[ … ]]`, where `(`, `|` and `&` are not the shell's operators."""
        if self._is("]]"):
            self._i += 2
            return Word(self._i - 2, "]]")
        return self._word(_BLANK + "\n")

    def _single(self, word: Word) -> None:
        self._i += 1
        while (sign := self._at()) != "'":
            if sign == "":
                self._unclear("a ' is not closed")
            if isinstance(sign, int):
                word.hits.append(self._put("'\"@\"'"))
                word.text += HIT
            else:
                word.text += sign
                self._i += 1
        self._i += 1

    def _expanding(self, closer: str | None, word: Word) -> None:
        """Text in which the shell expands `$` and backticks: double quotes, or a here-document's body."""
        while (sign := self._at()) != closer:
            if sign == "":
                if closer is None:
                    return
                self._unclear(f"a {closer} is not closed")
            if isinstance(sign, int):
                word.hits.append(self._put("@"))
                word.text += HIT
            elif sign == "\\":
                word.text += str(self._at(1))
                self._i += 2
            elif sign == "$":
                self._dollar(word, quoted=True)
            elif sign == "`":
                self._backtick(word)
            else:
                word.text += sign
                self._i += 1
        self._i += 1

    def _dollar(self, word: Word, *, quoted: bool) -> None:
        following = self._at(1)
        if isinstance(following, int):
            self.refuse(following, "right after a '$'", r"write \$ for a literal dollar sign")
        elif self._is("$(("):
            self._i += 1
            end = self._double_paren()
            if end is not None:
                self._skip(end, "in arithmetic")
            else:
                self._i += 1
                self._commands(")")
        elif following == "(":
            self._i += 2
            self._commands(")")
        elif following == "{":
            self._skip(self._brace(self._i + 2), "inside '${…}'")
        elif following == "[":
            self._skip(self._match("]"), "in arithmetic")
        elif following == "'" and not quoted:
            if not self._bash:
                self._unclear("shells read $'…' in different ways")
            self._skip(self._ansi_c(), "inside $'…'")
        else:
            self._i += 1
            if isinstance(following, str) and following in "?!#@*$-":
                self._i += 1
        word.text += EXPANSION

    def _backtick(self, word: Word) -> None:
        place = self._i + 1
        while place < self._end and self.units[place] != "`":
            place += 2 if self.units[place] == "\\" else 1
        if place >= self._end:
            self._unclear("a ` is not closed")
        self._skip(place + 1, "between backticks", "write $(…) instead")
        word.text += EXPANSION

    def _skip(self, end: int, where: str, hint: str = "its value would be evaluated again") -> None:
        """Go on at `end`; what lies between may hold no placeholder."""
        for unit in self.units[self._i : end]:
            if isinstance(unit, int):
                self.refuse(unit, where, hint)
        self._i = end

    # Where something ends

    def _double_paren(self) -> int | None:
        """Past the `))` that closes the `((` here; None when these are two groups."""
        depth, place = 0, self._i
        while place < self._end:
            sign = self.units[place]
            if sign == "\\":
                place += 2
                continue
            if sign in ("'", '"'):
                place = self._quote(place)
                continue
            if sign == "(":
                depth += 1
            elif sign == ")":
                depth -= 1
                if depth == 1:
                    return place + 2 if place + 1 < self._end and self.units[place + 1] == ")" else None
            place += 1
        return None

    def _brace(self, place: int) -> int:
        """Past the `}` of a `${` whose inside starts at `place`."""
        depth = 1
        while place < self._end:
            sign = self.units[place]
            if sign == "\\":
                place += 2
                continue
            if sign in ("'", '"'):
                place = self._quote(place)
                continue
            depth += {"{": 1, "}": -1}.get(str(sign), 0) if isinstance(sign, str) else 0
            place += 1
            if depth == 0:
                return place
        self._unclear("a '${' is not closed")
        return place

    def _quote(self, place: int) -> int:
        """Past the quote that closes the one at `place`."""
        kind = self.units[place]
        place += 1
        while place < self._end and self.units[place] != kind:
            place += 2 if self.units[place] == "\\" and kind == '"' else 1
        return place + 1

    def _match(self, closer: str) -> int:
        place = self._i
        while place < self._end and self.units[place] != closer:
            place += 1
        if place >= self._end:
            self._unclear(f"'{closer}' is missing")
        return place + 1

    def _ansi_c(self) -> int:
        place = self._i + 2
        while place < self._end and self.units[place] != "'":
            place += 2 if self.units[place] == "\\" else 1
        if place >= self._end:
            self._unclear("a $' is not closed")
        return place + 1


def variable(number: int) -> str:
    """The shell variable that holds a placeholder's value."""
    return f"_runner_value_{number + 1}"
