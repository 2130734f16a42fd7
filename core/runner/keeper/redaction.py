"""What is secret, as a value: the same rules for what children print and for what the core itself writes."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import ConfigError
from runner.keeper.scan import Secrets, redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?$", re.IGNORECASE)
"""The ends of names of variables whose values are secret."""
_SHORTEST = 8
"""Characters of a variable's value from which on it is taken for a secret: `TOKEN=1` is none."""


def is_secret(name: str, value: str) -> bool:
    """Whether the value of a variable of this name is taken for a secret."""
    return _SECRET.search(name) is not None and len(value) >= _SHORTEST


@dataclass(frozen=True, slots=True)
class Redaction:
    """Known `secrets` (as they are; from 4 bytes on) and `patterns`: regular expressions matched line by line.

    The common key formats (`runner.keeper.patterns`) are always looked for. What is not found: a
    secret that is encoded (base64, percent signs), or has terminal codes in the middle.
    """

    secrets: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str], patterns: Iterable[str]) -> Redaction:
        """What is secret for children with this environment: its keys, tokens, passwords, and the patterns."""
        values = {value for name, value in environ.items() if is_secret(name, value)}
        # As JSON has them too: an agent's output is mostly that.
        values |= {json.dumps(value, ensure_ascii=ascii)[1:-1] for value in list(values) for ascii in (True, False)}
        return cls(tuple(sorted(values)), tuple(patterns))

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            try:
                re.compile(pattern.encode("utf-8", "surrogateescape"))
            except re.error as error:
                raise ConfigError(
                    f"redact: '{pattern}' is not a regular expression: {error}", "correct the pattern"
                ) from None

    def __repr__(self) -> str:
        return f"Redaction({len(self.secrets)} secrets, {len(self.patterns)} patterns)"

    def text(self, text: str) -> str:
        """`text` with everything secret replaced by `[redacted]`."""
        data = text.encode("utf-8", "surrogatepass")
        return redacted(data, _secrets(self)).decode("utf-8", "surrogatepass")


@functools.lru_cache(maxsize=32)
def _secrets(redaction: Redaction) -> Secrets:
    return Secrets(redaction.secrets, redaction.patterns)
