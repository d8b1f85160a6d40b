"""The codes of everything that loading a definition can find: stable, so that tools may rely on them."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "either", "note"]


class Code(StrEnum):
    """What a problem is; `MEANINGS` says it in words."""

    DOCUMENT_TOO_LARGE = "document_too_large"
    DOCUMENT_SYNTAX = "document_syntax"
    DOCUMENT_TOO_DEEP = "document_too_deep"
    DOCUMENT_NOT_OBJECT = "document_not_object"
    YAML_ANCHOR = "yaml_anchor"
    YAML_TAG = "yaml_tag"
    DUPLICATE_KEY = "duplicate_key"
    KEY_NOT_TEXT = "key_not_text"
    BAD_NUMBER = "bad_number"

    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    BAD_VALUE = "bad_value"
    BAD_DURATION = "bad_duration"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_ACTION = "unknown_action"
    UNKNOWN_ERROR_TYPE = "unknown_error_type"
    UNSUPPORTED_JOIN = "unsupported_join"
    NESTED_TOO_DEEP = "nested_too_deep"

    MISSING_NAME = "missing_name"
    DUPLICATE_NAME = "duplicate_name"
    UNKNOWN_STATE = "unknown_state"
    NEXT_AND_END = "next_and_end"
    SWITCH_WITHOUT_WAY_OUT = "switch_without_way_out"
    SWITCH_TRANSITION = "switch_transition"

    BAD_EXPRESSION = "bad_expression"
    BAD_PATH = "bad_path"
    BAD_TEMPLATE = "bad_template"
    BAD_SCHEMA = "bad_schema"

    AGENT_MISSING = "agent_missing"

    START_LEFT_OUT = "start_left_out"
    UNREACHABLE_STATE = "unreachable_state"
    NO_TRANSITION = "no_transition"
    APPROVAL_WITHOUT_DEADLINE = "approval_without_deadline"
    UNWRITTEN_PATH = "unwritten_path"
    RETRY_IGNORED = "retry_ignored"
    BUDGET_IGNORED = "budget_ignored"
    TIMEOUT_IGNORED = "timeout_ignored"
    UNKNOWN_MEMBER = "unknown_member"
    SCHEMA_MAY_FAIL = "schema_may_fail"
    SCHEMA_CANNOT = "schema_cannot"
    SCHEMA_OPTIONAL = "schema_optional"
    UNDECLARED_MEMBER = "undeclared_member"


class Meaning(NamedTuple):
    """How bad a problem of a code is, and what it says."""

    severity: Severity
    text: str


MEANINGS: MappingProxyType[Code, Meaning] = MappingProxyType(
    {
        Code.DOCUMENT_TOO_LARGE: Meaning("error", "The document is larger than 256 KiB."),
        Code.DOCUMENT_SYNTAX: Meaning("error", "The text is not one YAML or JSON document in UTF-8."),
        Code.DOCUMENT_TOO_DEEP: Meaning("error", "Objects and lists are nested more than 64 deep."),
        Code.DOCUMENT_NOT_OBJECT: Meaning("error", "The document is not an object with fields."),
        Code.YAML_ANCHOR: Meaning("error", "An anchor or an alias; write the value out where it is needed."),
        Code.YAML_TAG: Meaning("error", "A YAML tag; only plain JSON values are read."),
        Code.DUPLICATE_KEY: Meaning("error", "The same name twice in one object."),
        Code.KEY_NOT_TEXT: Meaning("error", "A name that is not text; put it in quotes."),
        Code.BAD_NUMBER: Meaning("error", "Not a number that JSON can hold: NaN, an infinity, or too large."),
        Code.UNKNOWN_FIELD: Meaning("error", "A field that this place does not have."),
        Code.MISSING_FIELD: Meaning("error", "A field that must be there is not."),
        Code.WRONG_TYPE: Meaning("error", "A value of another JSON type than the field takes."),
        Code.BAD_VALUE: Meaning("error", "A value of the right type that the field does not take."),
        Code.BAD_DURATION: Meaning("error", "A `timeout` that is neither seconds nor a duration such as 1h30m."),
        Code.UNKNOWN_TYPE: Meaning("error", "A state type that does not exist."),
        Code.UNKNOWN_ACTION: Meaning("error", "An action that does not exist."),
        Code.UNKNOWN_ERROR_TYPE: Meaning("error", "`retry.on` names an error type that does not exist."),
        Code.UNSUPPORTED_JOIN: Meaning("error", "A join mode other than `all`."),
        Code.NESTED_TOO_DEEP: Meaning("error", "Branches and iterators are nested more than 16 deep."),
        Code.MISSING_NAME: Meaning("error", "A state or branch without a name."),
        Code.DUPLICATE_NAME: Meaning("error", "Two states of one scope, or two branches, with the same name."),
        Code.UNKNOWN_STATE: Meaning("error", "A way on to a state that its scope does not have."),
        Code.NEXT_AND_END: Meaning("error", "Both `next` and `end`."),
        Code.SWITCH_WITHOUT_WAY_OUT: Meaning("error", "A switch with neither a condition nor a `defaultNext`."),
        Code.SWITCH_TRANSITION: Meaning("error", "`next` or `end` on a switch, whose ways on are its conditions."),
        Code.BAD_EXPRESSION: Meaning("error", "A condition that does not parse or names what cannot exist."),
        Code.BAD_PATH: Meaning("error", "Not a path into the context."),
        Code.BAD_TEMPLATE: Meaning("error", "A `{{ path }}` that cannot be read."),
        Code.BAD_SCHEMA: Meaning("error", "Not a JSON Schema that can be used here."),
        Code.AGENT_MISSING: Meaning("either", "The environment has no agent of this name."),
        Code.START_LEFT_OUT: Meaning("warning", "No `start` although there are several states; the first is taken."),
        Code.UNREACHABLE_STATE: Meaning("warning", "No way leads to this state."),
        Code.NO_TRANSITION: Meaning("warning", "Neither `next` nor `end`; taken as the end."),
        Code.APPROVAL_WITHOUT_DEADLINE: Meaning("warning", "An approval that may wait for ever."),
        Code.UNWRITTEN_PATH: Meaning("warning", "A path that no state on some way in has written."),
        Code.RETRY_IGNORED: Meaning("warning", "A `retry` on an action that is never tried again."),
        Code.BUDGET_IGNORED: Meaning("warning", "A `budget` on an action that spends nothing."),
        Code.TIMEOUT_IGNORED: Meaning("warning", "A `timeoutSeconds` on a `timer.wait`, which waits for its moment."),
        Code.UNKNOWN_MEMBER: Meaning("warning", "A member that a value on some way in never has, by its schema."),
        Code.SCHEMA_MAY_FAIL: Meaning("warning", "A value that may be given to an agent breaks its input schema."),
        Code.SCHEMA_CANNOT: Meaning("either", "Nothing that is given to an agent here can fit its input schema."),
        Code.SCHEMA_OPTIONAL: Meaning("note", "It fits as long as members that are declared, not required, are there."),
        Code.UNDECLARED_MEMBER: Meaning("note", "A member that a schema leaves open and that looks mistyped."),
    }
)
