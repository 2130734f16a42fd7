"""What the iterations of a loop are called in addresses."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_SIGNS: Final = re.compile(r"[\x00-\x1f\x7f\[\]%]")
"""What would be no part of an address, or of a path."""
_LONGEST: Final = 160
"""Bytes of an item that an address repeats; a name in a path may have 255."""


def keys_of(items: tuple[str, ...]) -> tuple[str, ...]:
    """What the items of a loop are called in addresses: themselves, as far as that is a path; none twice."""
    seen: dict[str, int] = {}
    found = []
    for item in items:
        key = _SIGNS.sub(lambda sign: f"%{ord(sign[0]):02x}", item)
        key = "/".join("%2e" * len(part) if part in (".", "..") else part for part in key.split("/"))
        if len(key.encode("utf-8", "surrogatepass")) > _LONGEST:
            digest = hashlib.sha256(item.encode("utf-8", "surrogatepass")).hexdigest()[:10]
            key = f"{key[: _LONGEST // 4]}~{digest}"
        seen[key] = seen.get(key, 0) + 1
        found.append(key if seen[key] == 1 else f"{key}#{seen[key]}")
    return tuple(found)
