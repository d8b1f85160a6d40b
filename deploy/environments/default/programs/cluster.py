"""The agents k8s-pod-checker, kubernetes-triage, slo-analyzer and k8s-remediator, on a SAMPLE of a cluster's state.

No cluster is asked and none is changed: they read data/cluster.json, or the file that `CLUSTER_FILE` names, and give
the same answer to the same question. The task is a sentence whose last word is the place: "… in production".
"""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_io import answer, fail, read_request, variables_of

_SAMPLE = Path(__file__).parent.parent / "data" / "cluster.json"
_LAST_NAME = re.compile(
    r"\b(?:in|for|of)\s+(?:the\s+)?(?:(?:namespace|service)\s+)?[`'\"]?([a-z0-9][a-z0-9.-]*)[`'\"]?\W*$"
)


def main() -> None:
    """Answer as the agent that is named on the command line."""
    run = AGENTS[sys.argv[1]]
    request = read_request()
    path = Path(os.environ.get("CLUSTER_FILE") or _SAMPLE)
    try:
        cluster = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(f"cannot read the sample of a cluster, {path}: {error}")
    answer(run(cluster, request))


def _check_pods(cluster: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    namespace, pods = _pods(cluster, request)
    unready = [pod["name"] for pod in pods if not pod["ready"]]
    return {"namespace": namespace, "pods": pods, "unready": unready, "healthy": not unready}


def _triage(cluster: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    _, pods = _pods(cluster, request)
    unready = sum(not pod["ready"] for pod in pods)
    status = "healthy" if not unready else "critical" if 2 * unready >= len(pods) else "degraded"
    return {"status": status, "pods": [{"name": pod["name"], "ready": pod["ready"]} for pod in pods]}


def _error_rate(cluster: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    service, found = _named("service", cluster["services"], request)
    rate = found["failed"] / found["requests"]
    return {"error_rate": rate, "service": service, "requests": found["requests"], "failed": found["failed"]}


def _restart(cluster: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    namespace, pods = _pods(cluster, request)
    names = [pod["name"] for pod in pods if not pod["ready"]]
    did = f"Restarted {len(names)} of {len(pods)} pods in {namespace} (sample data, nothing real was touched)"
    return {"result": f"{did}: {', '.join(names)}" if names else did, "namespace": namespace, "restarted": names}


def _pods(cluster: dict[str, Any], request: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Find the pods of the namespace asked for, and only those of one service if the variables name it."""
    namespace, found = _named("namespace", cluster["namespaces"], request)
    service = variables_of(request).get("service")
    return namespace, [pod for pod in found["pods"] if service is None or pod["service"] == service]


def _named(kind: str, known: dict[str, Any], request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Find what the variables name, or else the task's last word."""
    in_task = _LAST_NAME.search(request.get("task") or "")
    name = variables_of(request).get(kind) or (in_task and in_task[1])
    if name is None:
        fail(f"no {kind}: give it as a variable, or end the task with one, as in “… for checkout” or “… in production”")
    if name not in known:
        fail(f"the sample has no {kind} {name!r}; it has {', '.join(sorted(known))}")
    return name, known[name]


AGENTS: dict[str, Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]] = {
    "k8s-pod-checker": _check_pods,
    "k8s-remediator": _restart,
    "kubernetes-triage": _triage,
    "slo-analyzer": _error_rate,
}

if __name__ == "__main__":
    main()
