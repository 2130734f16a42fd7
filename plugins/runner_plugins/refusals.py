"""What providers say in the same words whichever CLI asks them."""

from __future__ import annotations

from typing import Final

NO_MODEL: Final = (
    r"\bmodels?\b[^\n]{0,120}"
    r"(?:does(?:n't| not) exist|may not exist|(?:is |was )?not found|is not (?:supported|available))"
    r"|(?:unknown|unsupported|no such|invalid) model\b|model_not_found|model not found"
)
"""For `Agent.errors`: there is no such model. Trying again would bring the same, so a person is asked."""
