"""The conditions of host-triage: each measure alone can lead to the approval, and only what was measured counts."""

from typing import Any

import pytest
import yaml

from station.core.expressions import bindings, compile_expression
from station.scheduler.evaluator.child import Conditions
from tests.support.example_agents import ENVIRONMENT

CALM: dict[str, Any] = {
    "cpu": {"result": {"measured": True, "loadPerCore": 0.4}},
    "memory": {"result": {"measured": True, "usedPercent": 40.5}},
    "disk": {"result": {"measured": True, "usedPercent": 60}},
    "processes": {"result": {"measured": True, "largestPercent": 3.5}},
    "log": {"result": {"measured": True, "bytes": 200}},
    "ports": {"result": [{"result": {"open": True}}]},
}
NOT_MEASURED = {"result": {"measured": False, "text": "not measured"}, "error": {"message": "why"}}


@pytest.fixture(scope="module")
def decide():
    """Give the name of the state that the switch goes to."""
    workflow = yaml.safe_load((ENVIRONMENT / "workflows" / "host-triage.workflow.yaml").read_text())
    states = {state["name"]: state for state in workflow["states"]}
    switch, config = states["decide"], states["inject_defaults"]["data"]
    expressions = [compile_expression(condition["if"]) for condition in switch["conditions"]]
    evaluator = Conditions()

    def decided(measures: dict[str, Any], **given: Any) -> str:
        context = {**given, "config": config, "steps": {"measures": measures}}
        root = {**context, "ctx": context, "input": given}
        names = bindings(*expressions, root_lookup=root.__getitem__, data_value=measures, has_data=True)
        answer = evaluator.answer({"conditions": [each.starlark for each in expressions], "names": names})
        assert "failed" not in answer, answer
        matched = answer["matched"]
        return switch["defaultNext"] if matched < 0 else switch["conditions"][matched]["next"]

    return decided


def test_all_within_their_thresholds_is_the_all_clear(decide):
    assert decide(CALM) == "report_ok"


@pytest.mark.parametrize(
    ("branch", "measured"),
    [
        ("cpu", {"measured": True, "loadPerCore": 2.01}),
        ("memory", {"measured": True, "usedPercent": 90.1}),
        ("disk", {"measured": True, "usedPercent": 91}),
        ("processes", {"measured": True, "largestPercent": 51}),
        ("log", {"measured": True, "bytes": 257}),
        ("ports", [{"result": {"open": True}}, {"result": {"open": False, "text": "down"}}]),
    ],
)
def test_one_over_its_threshold_asks_a_person(decide, branch, measured):
    assert decide({**CALM, branch: {"result": measured}}) == "request_approval"


def test_at_the_threshold_is_within_it(decide):
    assert decide({**CALM, "log": {"result": {"measured": True, "bytes": 256}}}) == "report_ok"


def test_a_threshold_of_the_input_wins_and_the_others_stay(decide):
    assert decide(CALM, thresholds={"diskUsedPercent": 50}) == "request_approval"
    assert decide(CALM, thresholds={"logBytes": 100}) == "request_approval"
    assert decide(CALM, thresholds={"logBytes": 1000}) == "report_ok"


def test_nothing_measured_and_no_ports_is_no_reason_to_act(decide):
    unknown = dict.fromkeys(("cpu", "memory", "disk", "processes", "log"), NOT_MEASURED)

    assert decide({**unknown, "ports": {"result": []}}) == "report_ok"
