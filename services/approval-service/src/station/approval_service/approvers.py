"""Who may decide an approval. Pure: what the approval says and who asks go in, a refusal or None comes out.

Names are matched exactly, capital letters included, because identity providers do not agree on whether case counts, and
a wrong yes is worse than a wrong no. For the same reason "is this the person who started the run" ignores case.
"""

import unicodedata

from station.contracts.approvals import ApprovalView, Principal
from station.contracts.errors import Failure

KINDS = ("user", "team")


def parse_approver(entry: str) -> tuple[str, str]:
    """``(kind, name)`` of one entry: ``user:alice``, ``team:sre``; anything without a known kind names a user."""
    text = entry.strip()
    kind, colon, name = text.partition(":")
    if colon and (known := kind.strip().lower()) in KINDS:
        return known, name.strip()
    return "user", text


def is_approver(approvers: tuple[str, ...], principal: Principal) -> bool:
    """Whether the principal is among those asked; an empty list asks everybody."""
    if not approvers:
        return True
    own = {("user", principal.user)} | {("team", team) for team in principal.teams}
    return any(parse_approver(entry) in own for entry in approvers)


def is_same_person(actor: str, user: str) -> bool:
    """Whether an actor such as ``user:alice`` is this user; deliberately loose about case and spelling of letters."""
    kind, _, name = actor.partition(":")
    return kind == "user" and _loose(name) == _loose(user)


def refusal(approval: ApprovalView, principal: Principal) -> Failure | None:
    """Why this principal may not decide this approval; None when they may."""
    if not principal.user.strip():
        detail = "nobody is named as deciding this approval; send your user name (X-Station-User)"
        return Failure(status=403, code="not_an_approver", detail=detail, context=_facts(approval))
    if not is_approver(approval.approvers, principal):
        return Failure(
            status=403, code="not_an_approver", detail=_who_may(approval, principal), context=_facts(approval)
        )
    if not approval.allow_self_approval and is_same_person(approval.started_by, principal.user):
        detail = (
            f"{principal.user} started run {approval.run_id} and so may not decide its approval; "
            "ask somebody else, or set allowSelfApproval in the workflow"
        )
        context = {**_facts(approval), "startedBy": approval.started_by}
        return Failure(status=403, code="self_approval", detail=detail, context=context)
    return None


def _who_may(approval: ApprovalView, principal: Principal) -> str:
    teams = f" (teams: {', '.join(principal.teams)})" if principal.teams else " (no teams)"
    hint = ""
    if any(_loose(parse_approver(entry)[1]) == _loose(principal.user) for entry in approval.approvers):
        hint = "; names are matched exactly, capital letters included"
    return (
        f"{principal.user}{teams} may not decide this approval; one of these may: {', '.join(approval.approvers)}{hint}"
    )


def _facts(approval: ApprovalView) -> dict[str, list[str]]:
    return {"approvers": list(approval.approvers)}


def _loose(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()
