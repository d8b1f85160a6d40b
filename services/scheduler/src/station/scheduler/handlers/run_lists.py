"""Which runs a list shows, and how many there are, at the cost of a page however many runs the store holds.

The rarest condition leads: its index is read in the order of the list, and the others are looked up run by run. Totals
come from the counts that the store keeps; with labels they are counted, up to ``COUNTED``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from station.contracts.runs import ListRuns
from station.scheduler.handlers import paging, views
from station.scheduler.store.reader import Reader, Row

COUNTED = 1_001
"""How far is counted: a total of so many means that there are more than a thousand."""

_LABELLED = "SELECT 1 FROM workflow_run_labels l WHERE l.name = ? AND l.value = ?"
_HAS_LABEL = f"EXISTS ({_LABELLED} AND l.created_at = r.created_at AND l.run_id = r.run_id)"
_COUNT_LABELLED = f"SELECT count(*) FROM ({_LABELLED} LIMIT ?)"  # noqa: S608 - our own names
_OF_ONE_LABEL = 2
"""Conditions of a list of one label and nothing else: its name and its value."""
_FROM_RUNS = "workflow_runs r"
_FROM_LABEL = "workflow_run_labels d CROSS JOIN workflow_runs r ON r.run_id = d.run_id"

Label = tuple[str, str]


class Conditions(msgspec.Struct):
    """What comes after SELECT … FROM: always the run as ``r``, and what leads under its own name."""

    source: str
    lead: str
    where: list[str]
    values: list[Any]


async def page(reader: Reader, request: ListRuns) -> tuple[list[Row], int]:
    """Give the rows of ``views.SUMMARY_COLUMNS``, one more than is to be shown, and the total."""
    after = None if request.cursor is None else paging.moment_and_id(request.cursor)
    chosen = await _conditions(reader, request)
    where, values = list(chosen.where), list(chosen.values)
    if after is not None:
        where.append(f"({chosen.lead}.created_at, {chosen.lead}.run_id) < (?, ?)")
        values += after
    newest_first = f"ORDER BY {chosen.lead}.created_at DESC, {chosen.lead}.run_id DESC"
    sql = f"SELECT {views.SUMMARY_COLUMNS} FROM {chosen.source}{_where(where)} {newest_first} LIMIT ?"  # noqa: S608 - our own names
    rows = await reader.rows(sql, (*values, request.limit + 1))
    if after is None and len(rows) <= request.limit:
        return rows, len(rows)
    return rows, await _total(reader, request, chosen)


async def _total(reader: Reader, request: ListRuns, chosen: Conditions) -> int:
    if not request.labels:
        return await _counted(reader, request)
    if len(chosen.where) == _OF_ONE_LABEL:
        return await _labelled(reader, next(iter(request.labels.items())))
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {chosen.source}{_where(chosen.where)} LIMIT ?)"  # noqa: S608 - our own names
    row = await reader.row(sql, (*chosen.values, COUNTED))
    return row[0] if row else 0


async def _conditions(reader: Reader, request: ListRuns) -> Conditions:
    where, values = list[str](), list[Any]()
    for column, value in _columns(request).items():
        where.append(f"r.{column} = ?")
        values.append(value)
    lead = await _lead(reader, request)
    if lead is not None:
        where, values = ["d.name = ?", "d.value = ?", *where], [*lead, *values]
    for label in request.labels.items():
        if label != lead:
            where.append(_HAS_LABEL)
            values += label
    return Conditions(_FROM_RUNS, "r", where, values) if lead is None else Conditions(_FROM_LABEL, "d", where, values)


async def _lead(reader: Reader, request: ListRuns) -> Label | None:
    """Give the label that is rarer than everything else that is asked for; None if no label is."""
    rarest: Label | None = None
    fewest = COUNTED + 1
    if request.labels and _columns(request):
        fewest = min(fewest, await _counted(reader, request))
    for label in request.labels.items():
        if (count := await _labelled(reader, label)) < fewest:
            rarest, fewest = label, count
    return rarest


async def _labelled(reader: Reader, label: Label) -> int:
    row = await reader.row(_COUNT_LABELLED, (*label, COUNTED))
    return row[0] if row else 0


async def _counted(reader: Reader, request: ListRuns) -> int:
    """Give how many runs have a workflow and a status, or any."""
    columns = _columns(request)
    where = _where([f"{column} = ?" for column in columns])
    row = await reader.row(f"SELECT coalesce(sum(runs), 0) FROM workflow_run_counts{where}", list(columns.values()))  # noqa: S608 - our own names
    return row[0] if row else 0


def _columns(request: ListRuns) -> Mapping[str, str]:
    asked = {"workflow_id": request.workflow_id, "status": request.status}
    return {column: value for column, value in asked.items() if value is not None}


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
