"""What each action takes as its `input`, and what its state should say beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from station.contracts.actions import AGENT_RUN, HUMAN_APPROVAL, SIGNAL_WAIT, TIMER_WAIT
from station.core.checks.fields import (
    Check,
    Field,
    anything,
    boolean,
    check_object,
    integer,
    json_object,
    list_of,
    non_empty,
    number,
    path,
    shown,
    templated,
    wrong_type,
)
from station.core.codes import Code
from station.core.findings import Findings
from station.core.instants import from_text
from station.core.jsonvalue import Object, is_array, is_object
from station.core.templates import TemplateError, parse_template, texts_in

_SECONDS = Field(templated(number(above=0)))
_APPROVER = re.compile(r"(?:(?:user|team):)?[^\s:]+")

ON_REJECT = ("cancel", "fail")
"""What `onReject` may say beside the name of a state."""
ON_TIMEOUT = ("fail",)
"""What `onTimeout` may say beside the name of a state."""


def _approver(findings: Findings, value: Any, pointer: str) -> None:
    if not isinstance(value, str):
        wrong_type(findings, value, pointer, "string")
    elif "{{" not in value and not _APPROVER.fullmatch(value):
        hint = 'write "user:<name>", "team:<name>" or a bare name'
        findings.error(Code.BAD_VALUE, pointer, f"{shown(value)} does not name an approver", hint)


def _instant(findings: Findings, value: Any, pointer: str) -> None:
    if not isinstance(value, str):
        wrong_type(findings, value, pointer, "string")
    elif "{{" not in value:
        try:
            from_text(value)
        except (ValueError, OverflowError):
            hint = 'write it as RFC 3339 with an offset, such as "2026-01-31T08:00:00Z"'
            findings.error(Code.BAD_VALUE, pointer, f"{shown(value)} is not a time", hint)


def _target(words: tuple[str, ...]) -> Check:
    def check(findings: Findings, value: Any, pointer: str) -> None:
        if not isinstance(value, str):
            wrong_type(findings, value, pointer, "string")
        elif "{{" in value or not value.strip():
            hint = f"write {', '.join(words)} or the name of a state; where a run goes cannot be a template"
            findings.error(Code.BAD_VALUE, pointer, f"{shown(value)} is no way on", hint)

    return check


_INPUTS: Mapping[str, Mapping[str, Field]] = MappingProxyType(
    {
        AGENT_RUN: {
            "agent": Field(non_empty, required=True),
            "task": Field(anything),
            "variables": Field(templated(json_object)),
            "timeoutSeconds": _SECONDS,
        },
        HUMAN_APPROVAL: {
            "message": Field(non_empty, required=True),
            "summaryPath": Field(path),
            "approvers": Field(templated(list_of(_approver, least=1))),
            "timeoutSeconds": _SECONDS,
            "onReject": Field(_target(ON_REJECT)),
            "onTimeout": Field(_target(ON_TIMEOUT)),
            "quorum": Field(templated(integer(least=1, most=1000))),
            "allowSelfApproval": Field(templated(boolean)),
        },
        SIGNAL_WAIT: {"signal": Field(non_empty, required=True), "timeoutSeconds": _SECONDS},
        TIMER_WAIT: {"seconds": Field(templated(number(least=0))), "until": Field(_instant)},
    }
)


def check_action(findings: Findings, state: Object, pointer: str) -> None:
    """Check the input of an operation whose action is known, and what goes with that action."""
    action = state.get("action")
    fields = _INPUTS.get(action) if isinstance(action, str) else None
    payload: Any = state.get("input", {})
    if fields is None or not is_object(payload):
        return
    place = f"{pointer}/input"
    if check_object(findings, payload, place if "input" in state else pointer, fields, f"the input of {action}"):
        check_templates(findings, payload, place)
        if action == HUMAN_APPROVAL:
            _check_approval(findings, state, payload, pointer)
        if action == TIMER_WAIT and ("seconds" in payload) == ("until" in payload):
            findings.error(Code.BAD_VALUE, place, "timer.wait takes exactly one of 'seconds' and 'until'")
    if "retry" in state and action != AGENT_RUN:
        message = f"retry is ignored: {action} is never tried again"
        findings.warning(Code.RETRY_IGNORED, f"{pointer}/retry", message, "leave it out")
    if "budget" in state and action != AGENT_RUN:
        message = f"the budget is ignored: {action} spends nothing"
        findings.warning(Code.BUDGET_IGNORED, f"{pointer}/budget", message, "leave it out")
    if "timeoutSeconds" in state and action == TIMER_WAIT:
        message = "timeoutSeconds is ignored: a timer.wait always waits for its moment"
        findings.warning(Code.TIMEOUT_IGNORED, f"{pointer}/timeoutSeconds", message, "leave it out, or wait for less")


def check_templates(findings: Findings, value: Any, pointer: str) -> None:
    """Note every text whose placeholders cannot be read."""
    for where, template in texts_in(value, pointer):
        try:
            parse_template(template)
        except TemplateError as error:
            hint = "write {{ path }}; text with braces of its own can be put into the context by an inject state"
            findings.error(Code.BAD_TEMPLATE, where, str(error), hint)


def _check_approval(findings: Findings, state: Object, payload: Object, pointer: str) -> None:
    if "timeoutSeconds" not in payload and "timeoutSeconds" not in state:
        message = "this approval has no deadline: the run may wait for ever"
        findings.warning(Code.APPROVAL_WITHOUT_DEADLINE, pointer, message, "add timeoutSeconds")
    approvers, quorum = payload.get("approvers"), payload.get("quorum", 1)
    if not is_array(approvers) or not isinstance(quorum, int):
        return
    people = {a.removeprefix("user:") for a in approvers if isinstance(a, str)}
    open_ended = any(isinstance(a, str) and (a.startswith("team:") or "{{" in a) for a in approvers)
    if people and not open_ended and quorum > len(people):
        message = f"a quorum of {quorum} can never be reached by {len(people)} approvers"
        findings.error(Code.BAD_VALUE, f"{pointer}/input/quorum", message, "name more approvers or lower the quorum")


def approval_targets(state: Object) -> list[tuple[str, str]]:
    """List the states that an approval may go to: `(field of the input, name)`."""
    payload = state.get("input")
    if state.get("action") != HUMAN_APPROVAL or not is_object(payload):
        return []
    targets = [("onReject", payload.get("onReject"), ON_REJECT), ("onTimeout", payload.get("onTimeout"), ON_TIMEOUT)]
    return [
        (field, target)
        for field, target, words in targets
        if isinstance(target, str) and target.strip() and target not in words and "{{" not in target
    ]
