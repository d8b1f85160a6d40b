"""Labels of a query, and where a page of events begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.gateway.parameters import labels_of, position
from station.runtime.errors import Refused


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (None, {}),
        (["team:ops"], {"team": "ops"}),
        (["team=ops"], {"team": "ops"}),
        (["url:http://x=1"], {"url": "http://x=1"}),
        (["a=b:c"], {"a": "b:c"}),
        (["empty:"], {"empty": ""}),
        (["a:1", "b:2"], {"a": "1", "b": "2"}),
        (["a:1", "a=1"], {"a": "1"}),
        (["a:1", "a:2"], None),
    ],
)
def test_both_separators_the_first_one_counts(texts: list[str] | None, labels: dict[str, str] | None) -> None:
    assert labels_of(texts) == labels


@given(st.text(min_size=1).filter(lambda name: not {":", "="} & set(name)), st.text())
def test_every_name_and_value_comes_through(name: str, value: str) -> None:
    assert labels_of([f"{name}:{value}"]) == {name: value}
    assert labels_of([f"{name}={value}"]) == {name: value}


@pytest.mark.parametrize("texts", [["team"], [""], [":"], ["=x"]])
def test_what_is_no_label_is_refused(texts: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        labels_of(texts)
    assert refused.value.failure.status == 400


def test_a_cursor_of_events_is_a_seq() -> None:
    assert position(None, 7) == 7
    assert position("12", 0) == 12
    assert position("12", 20) == 20
