"""The agents of incident-triage answer from the sample of a cluster, from the task's words alone."""

import json

import pytest


@pytest.mark.parametrize(("service", "rate"), [("checkout", 0.08), ("billing", 0.05), ("search", 0.01)])
def test_the_error_rate_is_above_at_and_below_the_threshold(examples, service, rate):
    assert examples.answer("slo-analyzer", task=f"Compute error rate for {service}")["error_rate"] == rate


@pytest.mark.parametrize(
    ("task", "variables"),
    [
        ("Check pods in production", {}),
        ("Check pods in namespace production", {}),
        ("Check the pods of the namespace `production`.", {}),
        ("Check pods", {"namespace": "production"}),
        ("Check pods in staging", {"namespace": "production"}),
    ],
)
def test_pods_of_the_namespace_that_is_named(examples, task, variables):
    checked = examples.answer("k8s-pod-checker", variables, task=task)

    assert checked["namespace"] == "production"
    assert len(checked["pods"]) == 5
    assert checked["unready"] == ["checkout-7f8b6c4d9-4xwzp", "checkout-7f8b6c4d9-qv6hd"]


@pytest.mark.parametrize(
    ("variables", "status"),
    [
        ({"namespace": "staging"}, "healthy"),
        ({"namespace": "production"}, "degraded"),
        ({"namespace": "production", "service": "checkout"}, "critical"),
    ],
)
def test_triage_judges_by_the_share_of_pods_that_are_not_ready(examples, variables, status):
    assert examples.answer("kubernetes-triage", variables)["status"] == status


def test_the_remediator_names_what_it_would_restart(examples):
    done = examples.answer("k8s-remediator", task="Restart unhealthy pods in production")

    assert done["restarted"] == ["checkout-7f8b6c4d9-4xwzp", "checkout-7f8b6c4d9-qv6hd"]
    assert "2 of 5 pods in production" in done["result"]
    assert "nothing real was touched" in done["result"]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("Compute error rate for shop", "the sample has no service 'shop'; it has billing, checkout, search"),
        ("Compute the error rate", "no service: give it as a variable, or end the task with one"),
    ],
)
def test_an_unknown_service_is_an_error_that_says_what_there_is(examples, task, message):
    outcome = examples.run("slo-analyzer", task=task)

    assert outcome.code == 1
    assert message in outcome.stderr


def test_a_notification_is_in_the_outbox_once_for_each_step(examples):
    message = {"channel": "#incidents", "message": "No mitigation required for söarch"}
    sent = examples.answer("notification-sender", message)
    again = examples.answer("notification-sender", message, attempt=2)
    examples.answer("notification-sender", {"channel": "#incidents", "summary": {"restarted": []}}, stepId="s2")

    outbox = [json.loads(line) for line in (examples.work_directory / "outbox.jsonl").read_text().splitlines()]
    assert again == sent
    assert sent["sent"] is True
    assert [(line["id"], line["text"]) for line in outbox] == [
        ("run_1:s1", "No mitigation required for söarch"),
        ("run_1:s2", '{"restarted": []}'),
    ]
