"""The tree of a run, folded from its events, and how it is shown."""

from datetime import datetime

from station.cli.live import event_line, tree_lines, waits_for_a_person
from station.cli.progress import Progress
from station.contracts.statuses import RunStatus, StepStatus
from tests.unit.cli.events import Story

NOW = datetime.fromisoformat("2026-01-01T00:01:00Z").timestamp()


def folded(story: Story) -> Progress:
    progress = Progress(story.run_id)
    for event in story.events:
        progress.apply(event)
    return progress


def begun() -> Story:
    story = Story()
    story.add("run_created", workflowId="deploy", version=1)
    story.add("run_started")
    return story


def test_a_step_goes_through_its_attempts() -> None:
    story = begun()
    story.enter("check", action="agent.run")
    story.add("step_started", "check")
    story.add("step_failed", "check", error={"type": "agent_error", "message": "boom"})
    story.add("step_retry_scheduled", "check", attempt=2, wakeAt=0)
    story.add("step_started", "check", attempt=2)
    progress = folded(story)
    step = progress.steps["check"]
    assert (step.status, step.attempt, step.ended_at) == (StepStatus.RUNNING, 2, None)
    story.add("step_succeeded", "check", attempt=2, output=1)
    story.add("state_exited", "check", status="SUCCEEDED")
    step = folded(story).steps["check"]
    assert (step.status, step.ended_at) == (StepStatus.SUCCEEDED, "2026-01-01T00:00:08.000Z")


def test_branches_and_items_are_under_their_container() -> None:
    story = begun()
    story.enter("all", "parallel")
    story.add("step_started", "all")
    story.enter("pods", path=[["all", "left"]])
    story.enter("each", "foreach", path=[["all", "right"]])
    story.enter("probe", path=[["all", "right"], ["each", 0]], foreachIndex=0)
    progress = folded(story)
    (container,) = progress.top
    assert [(child.arm, child.name) for child in container.children] == [("left", "pods"), ("right", "each")]
    assert [(child.arm, child.name) for child in container.children[1].children] == [("0", "probe")]


def test_a_container_visited_again_has_its_own_children() -> None:
    story = begun()
    for visit, step in ((1, "first"), (2, "second")):
        more = {} if visit == 1 else {"visit": 2}
        story.add("state_entered", f"all{visit}", stateName="all", stateType="parallel", branchPath=[], **more)
        element = ["all", "left"] if visit == 1 else ["all", "left", 2]
        story.enter(step, path=[element])
    progress = folded(story)
    assert [[child.name for child in container.children] for container in progress.top] == [["first"], ["second"]]


def test_the_run_waits_only_when_every_open_step_waits() -> None:
    story = begun()
    story.enter("both", "parallel")
    story.add("step_started", "both")
    story.enter("ask", path=[["both", "a"]])
    story.add("approval_requested", "ask", approvalId="appr_1", message="May it?", summaryDigest="d")
    story.enter("work", path=[["both", "b"]])
    story.add("step_started", "work")
    progress = folded(story)
    assert progress.status is RunStatus.RUNNING
    assert not waits_for_a_person(progress)
    story.add("step_succeeded", "work")
    progress = folded(story)
    assert progress.status is RunStatus.WAITING_APPROVAL
    assert waits_for_a_person(progress)
    assert progress.open_approvals == {"appr_1": "May it?"}


def test_an_approval_is_open_until_the_decisive_answer() -> None:
    story = begun()
    story.enter("ask")
    story.add("approval_requested", "ask", approvalId="appr_1", message="May it?", summaryDigest="d", quorum=2)
    story.add("approval_approved", "ask", approvalId="appr_1", by="user:a", decisive=False)
    assert folded(story).open_approvals
    story.add("approval_approved", "ask", approvalId="appr_1", by="user:b")
    assert not folded(story).open_approvals


def test_a_run_that_waits_for_a_signal_says_which() -> None:
    story = begun()
    story.enter("hold", action="signal.wait")
    story.add("step_started", "hold", signal="go")
    progress = folded(story)
    assert progress.status is RunStatus.WAITING_SIGNAL
    assert "waits for the signal go" in progress.steps["hold"].note


def test_pause_holds_and_resume_goes_on() -> None:
    story = begun()
    story.add("run_paused", reason="lunch")
    assert folded(story).status is RunStatus.PAUSED
    story.add("run_resumed")
    assert folded(story).status is RunStatus.RUNNING


def test_the_end_closes_what_was_asked_and_keeps_the_error() -> None:
    story = begun()
    story.enter("ask")
    story.add("approval_requested", "ask", approvalId="appr_1", message="m", summaryDigest="d")
    story.add("run_failed", error={"type": "timeout", "message": "too late"})
    progress = folded(story)
    assert progress.status is RunStatus.FAILED
    assert progress.open_approvals == {}
    assert progress.error == "timeout: too late"


def test_an_event_of_a_later_version_changes_nothing() -> None:
    story = begun()
    story.add("moon_landed", "nowhere", x=1)
    assert folded(story).status is RunStatus.RUNNING


def test_the_tree_shows_status_try_time_and_reason() -> None:
    story = begun()
    story.enter("check", action="agent.run")
    story.add("step_started", "check", attempt=2)
    story.enter("old")
    story.add("step_failed", "old", error={"type": "agent_error", "message": "boom\x1b[31m\nline 2"})
    head, check, old = [line.plain for line in tree_lines(folded(story), NOW)]
    assert head == "run_1  deploy  RUNNING  59.0s"
    assert check == "  ● check  agent.run  attempt 2  57.0s"
    assert old.startswith("  ✘ old  operation  1.0s  agent_error: boom\\x1b[31m line 2")


def test_a_long_foreach_is_shown_by_what_tells_something() -> None:
    story = begun()
    story.enter("each", "foreach")
    for index in range(100):
        story.enter(f"item{index}", path=[["each", index]])
        if index != 50:
            story.add("step_succeeded", f"item{index}")
    lines = [line.plain for line in tree_lines(folded(story), NOW)]
    assert len(lines) == 3
    assert "99 of 100 done" in lines[1]
    assert "50 · item50" in lines[2]


def test_an_event_as_a_line() -> None:
    story = begun()
    story.enter("check")
    story.add("step_started", "check")
    last = story.add("step_succeeded", "check")
    progress = folded(story)
    assert event_line(last, progress) == "00:00:05.000  step_succeeded        check  2.0s"
