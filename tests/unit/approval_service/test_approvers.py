"""Who may decide an approval, rule by rule."""

import pytest

from station.approval_service.approvers import is_approver, is_same_person, parse_approver, refusal
from station.contracts.approvals import ApprovalView, Principal
from station.contracts.statuses import ApprovalStatus


def approval(*approvers: str, self_approval: bool = True, started_by: str = "user:starter") -> ApprovalView:
    return ApprovalView(
        id="appr_1",
        run_id="run_1",
        step_id="s",
        workflow_id="w",
        state_name="ask",
        message="May it?",
        summary=None,
        summary_digest="d",
        approvers=approvers,
        quorum=1,
        allow_self_approval=self_approval,
        started_by=started_by,
        status=ApprovalStatus.PENDING,
        decisions=(),
        requested_at="2026-01-01T00:00:00.000Z",
        deadline_at=None,
    )


@pytest.mark.parametrize(
    ("entry", "parsed"),
    [
        ("user:alice", ("user", "alice")),
        ("alice", ("user", "alice")),
        ("team:sre", ("team", "sre")),
        ("Team: sre ", ("team", "sre")),
        ("user:alice@example.com", ("user", "alice@example.com")),
        ("group:x", ("user", "group:x")),
        ("user:a:b", ("user", "a:b")),
    ],
)
def test_an_entry_names_a_user_unless_it_says_team(entry: str, parsed: tuple[str, str]) -> None:
    assert parse_approver(entry) == parsed


@pytest.mark.parametrize(
    ("approvers", "user", "teams", "may"),
    [
        ((), "anybody", (), True),
        (("user:alice",), "alice", (), True),
        (("alice",), "alice", (), True),
        (("user:alice",), "Alice", (), False),
        (("user:alice",), "bob", (), False),
        (("team:sre",), "bob", ("sre",), True),
        (("team:sre",), "bob", ("SRE",), False),
        (("team:sre",), "sre", (), False),
        (("user:sre",), "bob", ("sre",), False),
        (("team:sre", "user:bob"), "bob", (), True),
        (("team:sre",), "team:sre", (), False),
        (("user:alice",), "user:alice", (), False),
        (("",), "bob", ("x",), False),
    ],
)
def test_who_is_among_the_approvers(
    approvers: tuple[str, ...], user: str, teams: tuple[str, ...], *, may: bool
) -> None:
    principal = Principal(user=user, teams=teams)
    assert is_approver(approvers, principal) is may
    assert (refusal(approval(*approvers), principal) is None) is may


def test_a_refusal_names_who_may() -> None:
    failure = refusal(approval("team:sre", "user:alice"), Principal(user="bob", teams=("web",)))
    assert failure is not None
    assert (failure.status, failure.code) == (403, "not_an_approver")
    assert failure.context == {"approvers": ["team:sre", "user:alice"]}
    for word in ("bob", "web", "team:sre", "user:alice"):
        assert word in failure.detail


def test_a_refusal_hints_at_capital_letters() -> None:
    failure = refusal(approval("user:alice"), Principal(user="Alice"))
    assert failure is not None
    assert "capital letters" in failure.detail


@pytest.mark.parametrize("user", ["", "  "])
def test_nobody_may_not_decide_even_where_anybody_may(user: str) -> None:
    failure = refusal(approval(), Principal(user=user))
    assert failure is not None
    assert failure.status == 403


@pytest.mark.parametrize("user", ["starter", "Starter", "STARTER", "ｓtarter"])
def test_the_starter_may_not_decide_where_self_approval_is_off(user: str) -> None:
    failure = refusal(approval(self_approval=False), Principal(user=user))
    assert failure is not None
    assert (failure.status, failure.code) == (403, "self_approval")
    assert failure.context["startedBy"] == "user:starter"


def test_self_approval_is_a_matter_of_the_workflow_and_of_nobody_else() -> None:
    assert refusal(approval(self_approval=True), Principal(user="starter")) is None
    assert refusal(approval(self_approval=False), Principal(user="other")) is None


def test_an_actor_that_is_no_user_is_nobodys_self() -> None:
    assert not is_same_person("bus", "bus")
    assert not is_same_person("system:scheduler", "scheduler")
    assert refusal(approval(self_approval=False, started_by="bus"), Principal(user="bus")) is None


def test_not_being_asked_weighs_more_than_having_started() -> None:
    failure = refusal(approval("user:alice", self_approval=False), Principal(user="starter"))
    assert failure is not None
    assert failure.code == "not_an_approver"
