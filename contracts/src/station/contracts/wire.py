"""The base of everything that crosses the bus or the HTTP edge: frozen, keyword-only, camelCase on the wire.

Unknown fields are ignored on decoding, so that a field added within v1 never breaks an older reader.
"""

from typing import Any, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class KeywordOnly(msgspec.StructMeta):
    """Makes every field keyword-only, also in subclasses (msgspec does not inherit ``kw_only``)."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> "KeywordOnly":
        config.setdefault("kw_only", True)
        return super().__new__(cls, name, bases, namespace, **config)


class Wire(msgspec.Struct, metaclass=KeywordOnly, frozen=True, rename="camel"):
    """Base of messages, answers and events."""


class Record(msgspec.Struct, metaclass=KeywordOnly, frozen=True, rename="camel", omit_defaults=True):
    """Base of event data: defaults are left out, so that stored and hashed events stay small."""
