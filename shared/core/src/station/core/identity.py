"""Names that follow from what they name: step ids, approval ids, idempotency keys, digests."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_canonical = msgspec.json.Encoder(order="deterministic").encode
_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


def step_id(run_id: str, state_name: str, branch_path: tuple[Any, ...], foreach_index: int | None, visit: int) -> str:
    """Give the identity of a step: 32 hex digits over the run, the state and where it stands.

    The visit counts only from the second one on, so that a state that is visited once keeps the plain identity.
    """
    parts: list[Any] = [run_id, state_name, branch_path, foreach_index]
    if visit > 1:
        parts.append(visit)
    return hashlib.sha256(_canonical(parts)).hexdigest()[:32]


def approval_id(step: str, at: int) -> str:
    """Give the id of the approval that a step asks for: sortable by the time of asking, the same on every replay."""
    return f"appr_{_time_text(at)}{step[:16]}"


def idempotency_key(run_id: str, step: str, attempt: int) -> str:
    """Give the key under which everything downstream may recognise a repeated attempt."""
    return f"{run_id}:{step}:{attempt}"


def digest(value: Any) -> str:
    """Give the sha256, in hex, of a JSON value."""
    return hashlib.sha256(_canonical(value)).hexdigest()


def unit_interval(seed: str) -> float:
    """Give a number in [0, 1) that follows from the seed: the jitter of a retry, the same on every replay."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6]) / 2**48


def _time_text(at: int) -> str:
    text = ""
    for _ in range(10):
        text = _BASE32[at & 31] + text
        at >>= 5
    return text
