"""The loop that is timed: finish one task and claim the next, again and again."""

from __future__ import annotations

import time
from typing import Any

from crew import Counted


class Fused:
    """A contender of the claim benchmark. `fused` finishes `held` (None: nothing yet) and claims the next (or not)."""

    def fused(self, held: Any, claim: bool = True) -> Any:
        """→ what was claimed, or None."""
        raise NotImplementedError

    def run(self, end: float) -> Counted:
        done, longest = 0, 0.0
        held: Any = None
        begin = before = time.monotonic()
        while before < end:
            taken = self.fused(held)
            after = time.monotonic()
            done += held is not None
            held = taken
            longest = max(longest, after - before)
            before = after
            if taken is None:
                break
        if held is not None:
            self.fused(held, claim=False)
        return Counted(done, longest, before - begin, dry=held is None)
