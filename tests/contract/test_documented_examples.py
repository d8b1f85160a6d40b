"""Every example of the documentation is what Station takes: workflows load without a word of complaint, those of the
language's page end as the page says, agents' files load, and addresses lead somewhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from station.agent_runner.backends.registry import all_backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.loop.providers import Access, Providers
from station.agent_runner.mcp.servers import McpServers
from station.contracts.actions import AGENT_RUN, HUMAN_APPROVAL, SIGNAL_WAIT
from station.contracts.errors import ErrorType, StepError
from station.core.loading import load
from station.core.run import Step
from tests.support.driven_run import DrivenRun

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "deploy/environments/default/README.md",
    *(f"docs/{f.name}" for f in (ROOT / "docs").glob("*.md")),
)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOST_TURNS = 100
REPORTER = "---\nmodel: scripted\nscripted: [{answer: reported}]\n---\n"
"""An agent that documented ones call."""


def blocks(page: str) -> list[tuple[str, str]]:
    """Each fenced block of a page: its language and its text."""
    return FENCED.findall((ROOT / page).read_text())


def yaml_blocks(*, prompts: bool) -> list[Any]:
    """Workflows, or agents' files: those that begin with front matter."""
    found = [(page, text) for page in PAGES for language, text in blocks(page) if language == "yaml"]
    return [
        pytest.param(text, id=f"{page}:{number}")
        for number, (page, text) in enumerate(found)
        if text.startswith("---\n") is prompts
    ]


def outcomes() -> list[Any]:
    """Each workflow of the language's page with one way it was run: the JSON blocks that follow it."""
    found: list[Any] = []
    workflow = ""
    for language, text in blocks("docs/language.md"):
        if language == "yaml":
            workflow = text
        elif language == "json":
            found.append(pytest.param(workflow, json.loads(text), id=f"{workflow.split()[1]}-{len(found)}"))
    return found


@pytest.mark.parametrize("text", yaml_blocks(prompts=False))
def test_a_documented_workflow_loads_without_errors_and_warnings(text: str) -> None:
    loaded = load(text)
    assert (loaded.errors, loaded.warnings) == ((), ())


def test_every_workflow_of_the_language_page_is_followed_by_what_it_does() -> None:
    languages = [language for language, _ in blocks("docs/language.md")]
    assert languages[-1] == "json"
    assert "yaml,yaml" not in ",".join(languages)


@pytest.mark.parametrize(("text", "told"), outcomes())
def test_a_documented_workflow_ends_as_the_page_says(text: str, told: dict[str, Any]) -> None:
    loaded = load(text)
    assert loaded.definition is not None
    assert set(told) <= {"input", "agents", "approve", "signals", "output"}
    run = DrivenRun(loaded.definition, told.get("input"))
    for _ in range(MOST_TURNS):
        if run.run.ended is not None:
            break
        move(run, told)
    assert (run.status, run.run.output) == ("COMPLETED", told["output"])


def move(run: DrivenRun, told: dict[str, Any]) -> None:
    """Do what the first open step waits for."""
    step = run.open()[0]
    if step.action == AGENT_RUN and step.wake_at is not None and step.wake_at > run.now:
        run.let_pass(60)
    elif step.action == AGENT_RUN:
        answer(run, step, told["agents"])
    elif step.action == HUMAN_APPROVAL:
        run.say(step.state_name, yes=told["approve"])
    elif step.action == SIGNAL_WAIT and step.signal is not None:
        run.signal(step.signal, told["signals"][step.signal])
    else:
        run.let_pass(60)


def answer(run: DrivenRun, step: Step, agents: dict[str, list[dict[str, Any]]]) -> None:
    """Report what the page says that the agent answered to these variables."""
    task = run.handed_out[step.step_id, step.attempt]
    entry = next(one for one in agents[task.agent] if one.get("variables", {}).items() <= task.variables.items())
    error = entry.get("error")
    token = run.claimed(step)
    if error is None:
        run.report(step, token, entry["answer"])
    else:
        run.report(step, token, error=StepError(type=ErrorType(error["type"]), message=error["message"]))


@pytest.mark.parametrize("text", yaml_blocks(prompts=True))
async def test_a_documented_agent_loads(text: str, tmp_path: Path) -> None:
    (tmp_path / "default/agents").mkdir(parents=True)
    (tmp_path / "default/agents/documented.prompt").write_text(text)
    (tmp_path / "default/agents/reporter.prompt").write_text(REPORTER)
    providers = Providers(openai=Access(api_key="key"))
    catalog = await load_catalog(tmp_path, all_backends(providers=providers, servers=McpServers(tmp_path)))
    assert (catalog.problems, len(catalog.agents)) == ((), 2)


@pytest.mark.parametrize("page", [*PAGES, *(str(f.relative_to(ROOT)) for f in (ROOT / "services").glob("*/README.md"))])
def test_links_within_the_repository_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), f"{page} refers to {target}"
        assert not heading or heading in anchors(file), f"{page} refers to {target}"


def anchors(file: Path) -> set[str]:
    """What a page's headings are called in an address."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
