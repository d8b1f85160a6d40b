"""The files of the example environment load as the services load them."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from station.agent_runner.backends.registry import all_backends
from station.agent_runner.prompts import read_prompt
from station.core.loading import AgentInfo, load
from tests.support.example_agents import ENVIRONMENT, Examples

AGENTS = sorted((ENVIRONMENT / "agents").glob("*.prompt"))
PRD_APPENDIX_SHA256 = "b719ffe3057e29c2310bf2bab719efdd29f365b7d792810af0534c16cc895209"


@pytest.mark.parametrize("file", AGENTS, ids=lambda file: file.stem)
async def test_agent_files_load(file):
    prompt = await read_prompt(file.read_text(), file)
    backend = all_backends().find(prompt.model)

    assert backend is not None
    backend.configure(prompt.front_matter, ENVIRONMENT)
    assert prompt.name == file.stem
    assert prompt.description
    assert prompt.output_schema == yaml.safe_load(file.read_text().split("---\n")[1])["output"]["schema"]


@pytest.mark.parametrize("workflow", ["host-triage", "incident-triage"])
async def test_workflows_load_with_nothing_to_say(workflow):
    prompts = [await read_prompt(file.read_text(), file) for file in AGENTS]
    agents = {
        each.name: AgentInfo(name=each.name, input_schema=each.input_schema, output_schema=each.output_schema)
        for each in prompts
    }
    source = (ENVIRONMENT / "workflows" / f"{workflow}.workflow.yaml").read_bytes()
    loaded = load(source, agents=agents, agents_required=True)

    assert loaded.errors == ()
    assert loaded.warnings == ()
    assert loaded.definition is not None
    assert loaded.definition.id == workflow


PRD = sorted((Path(__file__).parents[2] / "data" / "prd").glob("*.yaml"))


def without_required(schema: Any) -> Any:
    """A schema as the product document writes them: it says what may come and not what must."""
    if isinstance(schema, dict):
        return {name: without_required(part) for name, part in schema.items() if name != "required"}
    return [without_required(part) for part in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("example", PRD, ids=lambda file: file.stem)
async def test_schemas_without_required_are_worth_a_note_at_most(example):
    prompts = [await read_prompt(file.read_text(), file) for file in AGENTS]
    agents = {
        each.name: AgentInfo(each.name, each.input_schema, without_required(each.output_schema)) for each in prompts
    }
    alone, together = load(example.read_bytes()), load(example.read_bytes(), agents=agents)

    assert together.errors == ()
    assert [one for one in together.warnings if one.code != "agent_missing"] == list(alone.warnings)
    assert {one.code for one in together.notes} <= {"schema_optional"}
    assert len({one.path for one in together.notes}) == len(together.notes)


@pytest.mark.parametrize("workflow", ["host-triage", "incident-triage"])
def test_the_agents_that_a_workflow_names_are_there(workflow):
    text = (ENVIRONMENT / "workflows" / f"{workflow}.workflow.yaml").read_text()
    named = set(re.findall(r'^ +agent: "(.+)"$', text, re.MULTILINE))

    assert len(named) >= 4
    assert named <= {file.stem for file in AGENTS}


def test_incident_triage_is_as_the_product_document_has_it():
    """Whoever changes it changes the example that the product promises: then change the promise first."""
    content = (ENVIRONMENT / "workflows" / "incident-triage.workflow.yaml").read_bytes()

    assert hashlib.sha256(content).hexdigest() == PRD_APPENDIX_SHA256


def test_agents_leave_nothing_in_the_environments_folder(tmp_path):
    copied = Path(shutil.copytree(ENVIRONMENT, tmp_path / "environment", ignore=shutil.ignore_patterns("__pycache__")))
    examples = Examples(tmp_path / "tmp")
    examples.temporary.mkdir()
    examples.environment = copied
    before = sorted(copied.rglob("*"))
    examples.answer("host-log-sample")
    examples.answer("host-log-rotate")
    examples.answer("slo-analyzer", task="Compute error rate for checkout")
    examples.answer("notification-sender", {"channel": "#incidents", "message": "done"})

    assert sorted(copied.rglob("*")) == before
