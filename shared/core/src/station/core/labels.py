"""Names of labels: what a filter such as ``label=team:ops`` can say."""

from __future__ import annotations

SEPARATORS = ":="
ADVICE = "rename it: letters, digits, '.', '_', '-' and '/' always fit"


def misnamed(name: str) -> str | None:
    """Say why a label cannot have this name; None if it can."""
    if not name:
        return "a label needs a name"
    found = next((separator for separator in SEPARATORS if separator in name), None)
    if found is None:
        return None
    return f"the label {name!r} has {found!r} in its name, which in a filter ends the name"
