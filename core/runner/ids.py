"""Names for tasks, runs and requests: short enough to type, random enough never to meet."""

from __future__ import annotations

import os

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o, u, so an id can be read aloud."""


def new_id(length: int = 12) -> str:
    """A random id of `length` characters, 5 bits each (12: one clash in 10^6 ids has odds of 4e-7)."""
    # os.urandom is what `secrets` reads; that module would import random and hashlib on every start.
    bits = int.from_bytes(os.urandom((5 * length + 7) // 8), "big")
    return "".join(_ALPHABET[(bits >> (5 * i)) & 31] for i in range(length))
