"""Names for tasks, runs and requests: short enough to type, random enough never to meet."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o, u, so an id can be read aloud."""


def new_id(length: int = 12) -> str:
    """A random id of `length` characters, 5 bits each (12: one clash in 10^6 ids has odds of 4e-7)."""
    bits = secrets.randbits(5 * length)
    return "".join(_ALPHABET[(bits >> (5 * i)) & 31] for i in range(length))
