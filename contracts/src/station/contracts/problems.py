"""One problem of something a person wrote: a definition, an input, a setting."""

import msgspec


class Problem(msgspec.Struct, frozen=True, rename="camel"):
    """What is wrong, where, and what to do about it."""

    code: str
    """Stable, machine-readable."""
    path: str
    """JSON pointer into what was sent; empty for the whole of it."""
    message: str
    """What is wrong, for a person."""
    hint: str | None = None
    """What to do about it."""
