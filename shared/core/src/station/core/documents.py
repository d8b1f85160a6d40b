"""From the text of a YAML or JSON document to plain JSON data, within fixed limits.

Only what JSON can say is read: no anchors, tags, duplicate names or dates, and a plain YAML scalar is a
number, boolean or null only in JSON's spelling (`on`, `1:30` and `010` are text). A top-level `version`
is kept as typed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from station.contracts.problems import Problem
from station.core.codes import Code
from station.core.json_text import read_json
from station.core.yaml_text import read_yaml

MAX_DOCUMENT_BYTES = 256 * 1024


class Document(msgspec.Struct, frozen=True):
    """What a text says, or why it cannot be read; with problems the data means nothing."""

    data: Any
    problems: tuple[Problem, ...] = ()


def parse_document(source: bytes | str, content_type: str | None = None) -> Document:
    """Read one document. A content type of JSON is strict; else YAML, of which JSON is the most part."""
    try:
        raw = source.encode() if isinstance(source, str) else source
        if len(raw) > MAX_DOCUMENT_BYTES:
            return _refused(
                Code.DOCUMENT_TOO_LARGE, f"the document has {len(raw)} bytes; {MAX_DOCUMENT_BYTES} are allowed"
            )
        text = raw.decode("utf-8-sig")
    except UnicodeError as error:
        return _refused(Code.DOCUMENT_SYNTAX, f"the document is not UTF-8 text: {error}")
    strict_json = content_type is not None and "json" in content_type.lower()
    if strict_json or text.lstrip()[:1] in ("{", "["):
        data, problems = read_json(text)
        if strict_json or not problems:
            return Document(data, problems)
    return Document(*read_yaml(text))


def _refused(code: Code, message: str) -> Document:
    return Document(None, (Problem(code.value, "", message),))
