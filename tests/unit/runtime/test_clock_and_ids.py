"""Moments as integers and as text, and ids that sort by them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.contracts.subjects import is_token
from station.runtime import ids
from station.runtime.clock import from_rfc3339, now_ms, to_rfc3339

YEAR_9999 = 253_402_300_799_999


@given(st.integers(0, YEAR_9999))
def test_a_moment_survives_its_text(ms: int) -> None:
    text = to_rfc3339(ms)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert from_rfc3339(text) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00.5+01:00", 500),
        ("2026-01-31T08:00:00.123Z", 1_769_846_400_123),
    ],
)
def test_moments_as_other_systems_write_them(ms: int, text: str) -> None:
    assert from_rfc3339(text) == ms


@pytest.mark.parametrize("text", ["2026-01-31T08:00:00", "yesterday", ""])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time zone|Invalid isoformat"):
        from_rfc3339(text)


def test_ids_are_tokens_that_rise() -> None:
    made = [ids.new_id("run") for _ in range(10_000)]
    assert made == sorted(set(made))
    assert all(re.fullmatch(r"run_[0-9a-z]{26}", one) and is_token(one) for one in made[::1000])


def test_an_id_begins_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    later = now_ms() + 1000
    monkeypatch.setattr(ids, "now_ms", lambda: later)
    monkeypatch.setattr(ids, "_last", 0)
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    time = ids.new_id("run")[4:14]
    assert sum(digits.index(digit) * 32 ** (9 - place) for place, digit in enumerate(time)) == later


def test_a_clock_that_goes_back_does_not_turn_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.new_id("run")
    monkeypatch.setattr(ids, "now_ms", lambda: 0)
    assert ids.new_id("run") > first
