"""Compares what a service really answers with what the catalog says of it."""

from collections.abc import Iterable
from typing import get_type_hints

from station.contracts.catalog import CATALOG, Kind
from station.runtime.rpc import Endpoint


def disagreements(endpoints: Iterable[Endpoint], service: str) -> list[str]:
    """One line for each subject that is missing, too much, or has another request or answer than the catalog says."""
    promised = {one.subject: one for one in CATALOG if one.kind is Kind.REQUEST and service in one.takers}
    served = {endpoint.subject: endpoint for endpoint in endpoints}
    found = [f"{subject} is not served" for subject in promised if subject not in served]
    for subject, endpoint in served.items():
        if subject not in promised:
            found.append(f"{subject} is not in the catalog")
            continue
        answer = get_type_hints(endpoint.handler).get("return")
        if endpoint.request_type is not promised[subject].body:
            found.append(f"{subject} takes {endpoint.request_type.__name__}")
        if answer not in {promised[subject].answer, bytes}:  # bytes: encoded by the handler itself
            found.append(f"{subject} answers {answer}")
    return found
