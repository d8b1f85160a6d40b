"""The agent host-report: writes what a run of host-triage measured and did as a page of Markdown, one file a run.

It shows each value beside its threshold and judges nothing: the workflow's switch has decided.
"""

import os
import re
import time
from typing import Any, TypeAlias

from agent_io import answer, fail, read_request, variables_of
from work_dir import replace_text, work_dir

Object: TypeAlias = dict[str, Any]

# branch of the workflow → the threshold it is held against
_ROWS = {
    "cpu": "loadPerCore",
    "memory": "memoryUsedPercent",
    "disk": "diskUsedPercent",
    "processes": "largestProcessPercent",
    "log": "logBytes",
}


def main() -> None:
    """Write the report anew each time it is asked for: the run names the file."""
    request = read_request()
    variables = variables_of(request)
    directory = work_dir()
    run = request.get("runId") or "by-hand"
    path = directory / "reports" / f"{re.sub(r'[^A-Za-z0-9_-]', '-', run)}.md"
    host = os.uname().nodename
    heading = f"# Host triage of {host}: {variables['outcome']}\n\n{_now()}, run `{run}`\n"
    lines = [heading, *_body(variables), f"- Files of this workflow are in `{directory}`."]
    try:
        replace_text(path, "\n".join(lines) + "\n")
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")
    answer({"outcome": variables["outcome"], "host": host, "report": str(path), "workDirectory": str(directory)})


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())


def _body(variables: Object) -> list[str]:
    measures = variables["measures"]
    given: Object = variables.get("given") or {}
    thresholds: Object = {**variables["thresholds"], **given.get("thresholds", {})}
    return [
        "| measured | threshold |",
        "|---|---|",
        *(f"| {_said(measures.get(branch))} | {name}: {thresholds.get(name)} |" for branch, name in _ROWS.items()),
        "\n## Ports\n",
        *_ports(measures.get("ports") or {}, variables.get("targets") or []),
        "\n## Largest processes\n",
        *_processes(measures.get("processes") or {}),
        "\n## Done\n",
        *_done(variables.get("approval") or {}, variables.get("rotation")),
    ]


def _said(branch: Object | None) -> str:
    """Put a branch's result in words; where `onError` led elsewhere, the error says why."""
    written: Object = branch or {}
    text: str = written.get("result", {}).get("text", "not measured")
    error: Object = written.get("error") or {}
    message: str = error.get("message", "").strip()
    reason = f" ({message.splitlines()[-1]})" if message else ""
    return f"{text}{reason}".replace("|", "\\|")


def _ports(branch: Object, targets: list[Object]) -> list[str]:
    probes: list[Object] = branch.get("result") or []
    pairs = zip(targets, probes, strict=False)  # by hand the targets may be left out
    lines = [f"- `{target['host']}:{target['port']}`: {_said(probe)}" for target, probe in pairs]
    return lines or ["- none was asked for"]


def _processes(branch: Object) -> list[str]:
    found: list[Object] = branch.get("result", {}).get("byMemory") or []
    return [
        f"- `{each['command']}` (pid {each['pid']}): {each['rssBytes'] // 2**20} MiB, {each['cpuPercent']} % of a core"
        for each in found
    ] or [f"- {_said(branch)}"]


def _done(approval: Object, rotation: Object | None) -> list[str]:
    if rotation is None:
        return ["- Nothing: all that could be measured was within its threshold."]
    moved = f"Moved {rotation['bytes']} bytes of log to `{rotation['archive']}`."
    approved = f"Approved by {approval.get('decidedBy') or 'nobody on record'}."
    return [f"- {approved}", f"- {moved if rotation['rotated'] else 'There was no log to rotate.'}"]


if __name__ == "__main__":
    main()
