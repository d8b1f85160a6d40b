"""The base of everything that crosses the bus or the HTTP edge: frozen, keyword-only, camelCase on the wire.

Unknown fields are ignored on decoding, so that a field added within v1 never breaks an older reader.
"""

import msgspec


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of messages, answers and events."""


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of event data: defaults are left out, so that stored and hashed events stay small."""
