"""Approvals: asked once per visit, decided once, on what was shown, before the deadline."""

from __future__ import annotations

import pytest

from station.core.messages import DecideApproval
from tests.support.driven_run import DrivenRun, asked
from tests.unit.core.definitions import agent, approval, foreach, inject, parallel, switch, workflow


def asking(name="ask", way_on=None, **payload):
    state = approval(**payload) | {"name": name}
    if way_on:
        del state["end"]
        state["next"] = way_on
    return state


def ask_of(run, name="ask"):
    return asked(run.step(name))


def test_the_question_its_row_its_timer_and_the_notice_come_in_one_turn():
    run = DrivenRun(
        workflow(asking(message="Restart {{ n }}?", summaryPath="ctx.facts", approvers=["user:bob"])),
        {"n": 3, "facts": {"a": 1}},
    )
    approval = ask_of(run)
    assert (run.status, run.step("ask").status) == ("WAITING_APPROVAL", "WAITING_APPROVAL")
    assert (approval.message, approval.summary, approval.approvers) == ("Restart 3?", {"a": 1}, ("user:bob",))
    assert approval.deadline_at == run.now + 60_000 == run.step("ask").wake_at
    (notice,) = run.decisions[0].asks
    assert (notice.approval_id, notice.deadline_at) == (approval.approval_id, approval.deadline_at)
    assert run.facts == ["run_created", "run_started", "state_entered", "approval_requested"]


def test_a_yes_goes_on_with_who_when_and_what_was_said():
    run = DrivenRun(workflow(asking(way_on="b"), agent("b")))
    run.let_pass(1.5)
    run.approve("ask")
    assert run.context["steps"]["ask"] == {
        "approved": True,
        "decidedBy": "user:bob",
        "comment": "so be it",
        "decidedAt": "2023-11-14T22:13:21.500Z",
    }
    assert run.step("b").status == "PENDING"
    assert {event.actor for event in run.of("approval_approved")} == {"user:bob"}


def test_a_no_cancels_the_run_and_is_no_engine_error():
    run = DrivenRun(workflow(parallel("p", one=[asking()], two=[agent("b")])))
    token = run.claimed(run.step("b"))
    decision = run.reject("ask")
    assert (run.status, run.run.error, run.row("ask")["status"]) == ("CANCELLED", None, "CANCELLED")
    assert (run.row("b")["status"], run.row("p")["status"]) == ("CANCELLED", "CANCELLED")
    assert [stop.token for stop in decision.stops] == [token]
    assert run.of("run_cancelled")[0].data.reason == "rejected by user:bob: so be it"
    assert next(iter(run.history.approvals.values()))["status"] == "REJECTED"


def test_a_no_can_fail_the_step():
    run = DrivenRun(workflow(asking(onReject="fail") | {"onError": "b"}, agent("b")))
    run.reject("ask")
    assert run.context["error"]["type"] == "cancelled"
    assert (run.row("ask")["status"], run.step("b").status) == ("FAILED", "PENDING")


def test_a_no_can_go_to_a_state_which_sees_the_answer():
    run = DrivenRun(workflow(asking(onReject="b", way_on="c"), agent("b"), agent("c")))
    run.reject("ask")
    assert run.entered() == ["ask", "b"]
    assert run.context["steps"]["ask"] | {"decidedAt": None} == {
        "approved": False,
        "decidedBy": "user:bob",
        "comment": "so be it",
        "decidedAt": None,
    }
    assert run.row("ask")["status"] == "CANCELLED"
    run.work("b", 1)
    assert run.status == "COMPLETED"


def test_the_deadline_fails_the_run_as_a_timeout():
    run = DrivenRun(workflow(asking()))
    run.let_pass(59.999)
    assert run.status == "WAITING_APPROVAL"
    run.let_pass(0.001)
    assert (run.status, run.error.type, run.row("ask")["status"]) == ("FAILED", "timeout", "TIMED_OUT")
    assert next(iter(run.history.approvals.values()))["status"] == "TIMED_OUT"


def test_the_deadline_can_go_to_a_state():
    run = DrivenRun(workflow(asking(onTimeout="b", way_on="c"), agent("b"), agent("c")))
    run.let_pass(60)
    assert run.entered() == ["ask", "b"]
    assert run.context["steps"]["ask"] == {"approved": False, "decidedBy": None, "comment": None, "decidedAt": None}
    assert run.context["error"]["type"] == "timeout"
    assert run.row("ask")["status"] == "TIMED_OUT"


def test_the_deadline_can_go_to_on_error():
    run = DrivenRun(workflow(asking() | {"onError": "b"}, agent("b")))
    run.let_pass(60)
    assert run.context["error"] == {"step": "ask", "type": "timeout", "message": "nobody decided before the deadline"}


def test_the_earlier_of_two_deadlines_counts():
    run = DrivenRun(workflow(asking(timeoutSeconds=90) | {"timeoutSeconds": 30}))
    assert ask_of(run).deadline_at == run.now + 30_000


def test_a_word_after_the_deadline_is_refused_even_before_the_timer_fired():
    run = DrivenRun(workflow(asking()))
    run.now += 60_000
    run.approve("ask")
    assert run.refusal == "deadline_passed"
    assert run.status == "WAITING_APPROVAL"


def test_a_word_on_something_else_than_what_stands_is_refused():
    run = DrivenRun(workflow(asking()))
    run.approve("ask", digest="0" * 64)
    assert run.refusal == "digest_mismatch"
    assert run.refused.context == {"summaryDigest": ask_of(run).summary_digest}
    run.approve("ask", digest=ask_of(run).summary_digest)
    assert run.status == "COMPLETED"


def test_the_digest_is_over_message_and_summary():
    digests = {
        ask_of(DrivenRun(workflow(asking(message=message, summaryPath="s")), {"s": summary})).summary_digest
        for message, summary in [("a", {"x": 1}), ("b", {"x": 1}), ("a", {"x": 2}), ("a", {"x": 1})]
    }
    assert len(digests) == 3


def test_deciding_twice_is_refused():
    run = DrivenRun(workflow(parallel("p", one=[asking()], two=[agent("b")])))
    identity = ask_of(run).approval_id
    run.approve("ask")
    again = DecideApproval(approval_id=identity, by="user:carol", approve=False)
    run.tell(again)
    assert run.refusal == "approval_closed"
    run.work("b", 1)
    run.tell(again)
    assert (run.refusal, run.refused.context) == ("run_ended", {"status": "COMPLETED"})


def test_a_quorum_needs_as_many_people():
    run = DrivenRun(workflow(asking(quorum=2)))
    run.approve("ask")
    assert run.status == "WAITING_APPROVAL"
    run.approve("ask")
    assert run.refusal == "already_decided_by_you"
    run.approve("ask", by="user:carol")
    assert run.status == "COMPLETED"
    assert [(event.data.by, event.data.decisive) for event in run.of("approval_approved")] == [
        ("user:bob", False),
        ("user:carol", True),
    ]
    assert run.context["steps"]["ask"]["decidedBy"] == "user:carol"


def test_one_no_ends_a_quorum():
    run = DrivenRun(workflow(asking(quorum=3)))
    run.approve("ask")
    run.reject("ask", by="user:carol")
    assert run.status == "CANCELLED"


@pytest.mark.parametrize(
    "payload", [{"approvers": "{{ nobody }}"}, {"quorum": "{{ none }}"}, {"timeoutSeconds": "{{ none }}"}]
)
def test_templates_cannot_make_a_question_that_anybody_may_answer(payload):
    run = DrivenRun(workflow(asking(**payload)), {"nobody": [], "none": 0})
    assert (run.status, run.error.type) == ("FAILED", "validation")


@pytest.mark.parametrize(
    ("approvers", "status"),
    [(["user:a", "a"], "FAILED"), (["user:a", "b"], "WAITING_APPROVAL"), (["team:x"], "WAITING_APPROVAL")],
)
def test_templates_cannot_make_a_quorum_that_nobody_reaches(approvers, status):
    run = DrivenRun(workflow(asking(quorum=2, approvers="{{ people }}")), {"people": approvers})
    assert run.status == status
    if status == "FAILED":
        assert run.error.message.endswith("a quorum of 2 can never be reached by 1 approvers")


def test_a_summary_that_is_not_there_fails_the_step():
    run = DrivenRun(workflow(asking(summaryPath="nowhere")))
    assert (run.status, run.error.type) == ("FAILED", "validation")
    assert "summaryPath" in run.error.message


def test_in_a_branch_only_that_branch_waits():
    run = DrivenRun(
        workflow(parallel("p", one=[asking(way_on="x"), agent("x")], two=[agent("b", next="c"), agent("c")]))
    )
    assert run.status == "RUNNING"
    run.work("b", 1)
    run.work("c", 1)
    assert run.status == "WAITING_APPROVAL"
    run.approve("ask")
    assert run.status == "RUNNING"
    run.work("x", 2)
    assert run.status == "COMPLETED"


def test_a_state_visited_again_asks_again():
    states = [
        asking(onReject="ask", way_on="end"),
        inject("end", {"done": True}),
    ]
    run = DrivenRun(workflow(*states))
    first = ask_of(run).approval_id
    run.let_pass(1)
    run.reject("ask")
    second = ask_of(run).approval_id
    assert first != second
    run.tell(DecideApproval(approval_id=first, by="user:bob", approve=True))
    assert run.refusal == "approval_closed"
    run.approve("ask")
    assert [row["status"] for row in run.history.approvals.values()] == ["REJECTED", "APPROVED"]


def test_each_item_asks_for_itself():
    run = DrivenRun(
        workflow(foreach("f", "list", asking(onReject="no"), inject("no", {"skipped": True}), maxConcurrency=3)),
        {"list": [1, 2, 3]},
    )
    assert len({asked(step).approval_id for step in run.open("ask")}) == 3
    run.approve("ask", key=2)
    run.reject("ask", key=0)
    run.approve("ask", key=1)
    assert [list(item) for item in run.run.output] == [["result", "skipped"], ["result"], ["result"]]


def test_a_condition_reads_the_answer():
    states = [
        asking(onReject="s", way_on="s"),
        switch({"if": "steps.ask.approved", "next": "y"}, defaultNext="n"),
        inject("y", {"went": "on"}),
        inject("n", {"went": "back"}),
    ]
    for word, way in (("approve", "on"), ("reject", "back")):
        run = DrivenRun(workflow(*states))
        getattr(run, word)("ask")
        assert run.run.output == {"went": way}


def test_what_was_shown_does_not_change_with_the_context():
    run = DrivenRun(workflow(asking(summaryPath="steps", way_on="b"), agent("b")))
    run.approve("ask")
    (row,) = run.history.approvals.values()
    assert row["summary"] == "{}"
