"""Which approvals a list shows, and how many there are, at the cost of a page however many were ever decided.

Somebody's own are found under every name that means them: these inboxes are read from the newest on and merged. How
many they are is counted up to ``COUNTED``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from station.contracts.approvals import ListApprovals, Principal
from station.contracts.statuses import ApprovalStatus
from station.scheduler.handlers import paging
from station.scheduler.handlers.run_lists import COUNTED
from station.scheduler.handlers.views import APPROVAL_COLUMNS
from station.scheduler.store.reader import Reader, Row

_ALL = f"SELECT {APPROVAL_COLUMNS} FROM workflow_approvals"  # noqa: S608 - our own names
_BY_ID = f"{_ALL} WHERE approval_id IN (SELECT value FROM json_each(?)) ORDER BY approval_id DESC"  # noqa: S608 - our own names
_COUNT = "SELECT coalesce(sum(approvals), 0) FROM workflow_approval_counts"
_COUNT_OF_RUN = "SELECT count(*) FROM workflow_approvals"
_INBOX = """
SELECT approval_id FROM workflow_approvers
WHERE approver = ? AND status = ? AND approval_id < ? AND barred <> lower('user:' || ?)
"""
_OF_RUN = " AND approval_id IN (SELECT approval_id FROM workflow_approvals WHERE run_id = ?)"
_NEWEST_FIRST = " ORDER BY approval_id DESC LIMIT ?"
_MERGED_AT_ONCE = 64
_ANYBODY = ""
_AFTER_ALL = "~"
"""Sorts after every id."""


async def page(reader: Reader, request: ListApprovals) -> tuple[list[Row], int]:
    """Give the rows of ``views.APPROVAL_COLUMNS``, one more than is to be shown, and the total."""
    before = _AFTER_ALL if request.cursor is None else paging.token(request.cursor)
    if request.mine and request.principal is not None:
        return await _mine(reader, request, request.principal, before)
    where, values = _conditions(request)
    total = await reader.row(f"{_COUNT if request.run_id is None else _COUNT_OF_RUN}{_where(where)}", values)
    sql = f"{_ALL}{_where([*where, 'approval_id < ?'])}{_NEWEST_FIRST}"
    return await reader.rows(sql, (*values, before, request.limit + 1)), total[0] if total else 0


async def _mine(reader: Reader, request: ListApprovals, who: Principal, before: str) -> tuple[list[Row], int]:
    statuses = list(ApprovalStatus) if request.status is None else [request.status]
    inboxes = [(name, status) for name in _names(who) for status in statuses]
    shown = await _ids(reader, request, inboxes, before, request.limit + 1)
    rows = await reader.rows(_BY_ID, (msgspec.json.encode(shown).decode(),))
    if request.cursor is None and len(shown) <= request.limit:
        return rows, len(rows)
    return rows, await _counted(reader, request, inboxes)


async def _counted(reader: Reader, request: ListApprovals, inboxes: list[tuple[str, str]]) -> int:
    """Give how many approvals are in these inboxes; those in several of them count once."""
    if len(inboxes) > _MERGED_AT_ONCE:
        return len(await _ids(reader, request, inboxes, _AFTER_ALL, COUNTED))
    sql, values = _merged(request, inboxes, _AFTER_ALL)
    row = await reader.row(f"SELECT count(*) FROM ({sql})", (*values, COUNTED))  # noqa: S608 - our own names
    return row[0] if row else 0


async def _ids(
    reader: Reader, request: ListApprovals, inboxes: list[tuple[str, str]], before: str, limit: int
) -> list[str]:
    """Give the newest of the approvals in these inboxes, each once."""
    found: set[str] = set()
    for first in range(0, len(inboxes), _MERGED_AT_ONCE):
        sql, values = _merged(request, inboxes[first : first + _MERGED_AT_ONCE], before)
        found.update(row[0] for row in await reader.rows(sql, (*values, limit)))
    return sorted(found, reverse=True)[:limit]


def _merged(request: ListApprovals, inboxes: list[tuple[str, str]], before: str) -> tuple[str, list[Any]]:
    """Merge inboxes. A UNION in the order of its parts' index is a merge: no more is read than is given."""
    user = request.principal.user if request.principal else ""
    inbox, of_run = (_INBOX, ()) if request.run_id is None else (_INBOX + _OF_RUN, (request.run_id,))
    values = [value for name, status in inboxes for value in (name, status, before, user, *of_run)]
    return " UNION ".join([inbox] * len(inboxes)) + _NEWEST_FIRST, values


def _names(principal: Principal) -> list[str]:
    """Give the entries of ``approvers`` that mean the principal, and that of approvals for anybody."""
    teams = (f"team:{team}" for team in principal.teams)
    return list(dict.fromkeys((_ANYBODY, principal.user, f"user:{principal.user}", *teams)))


def _conditions(request: ListApprovals) -> tuple[list[str], list[Any]]:
    asked = {"run_id": request.run_id, "status": request.status}
    chosen = {column: value for column, value in asked.items() if value is not None}
    return [f"{column} = ?" for column in chosen], list(chosen.values())


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
