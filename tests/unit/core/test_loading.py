"""What loading gives back, and that every example of the PRD loads as it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from station.core.definition import from_canonical
from station.core.loading import load
from tests.unit.core.definitions import agent, inject, switch, workflow

PRD = sorted((Path(__file__).parents[2] / "data" / "prd").glob("*.workflow.yaml"))


def test_the_examples_are_there() -> None:
    assert len(PRD) == 10


@pytest.mark.parametrize("file", PRD, ids=lambda file: file.name)
def test_every_example_of_the_prd_loads(file: Path) -> None:
    loaded = load(file.read_bytes())
    assert loaded.errors == ()
    assert loaded.warnings == ()
    assert loaded.definition is not None
    assert loaded.canonical is not None
    assert from_canonical(loaded.canonical) == loaded.definition


@pytest.mark.parametrize("file", PRD, ids=lambda file: file.name)
def test_json_and_canonical_mean_the_same(file: Path) -> None:
    loaded = load(file.read_bytes())
    as_json = json.dumps(yaml.safe_load(file.read_text()))
    assert load(as_json, content_type="application/json").digest == loaded.digest
    assert loaded.canonical is not None
    assert load(loaded.canonical).digest == loaded.digest


def test_what_was_left_out_is_filled_in() -> None:
    source = "id: w\nversion: 1.10\nstates:\n- {name: a, type: inject, data: {}}\n"
    loaded = load(source)
    assert loaded.canonical == {
        "id": "w",
        "version": "1.10",
        "start": "a",
        "states": [{"type": "inject", "name": "a", "data": {}}],
    }


def test_other_spellings_are_shown_as_canonical() -> None:
    loaded = load("id: w\nstates:\n- {id: a, type: agent, agent: x, task: 'in {{ $.y }}', timeout: 2m, end: true}\n")
    assert loaded.errors == ()
    assert loaded.canonical is not None
    assert loaded.canonical["states"] == [
        {
            "type": "operation",
            "name": "a",
            "action": "agent.run",
            "input": {"agent": "x", "task": "in {{ ctx.y }}"},
            "timeoutSeconds": 120,
            "end": True,
        }
    ]


def test_with_errors_there_is_nothing_to_run() -> None:
    loaded = load(workflow(agent(next="b")))
    assert (loaded.definition, loaded.canonical, loaded.digest) == (None, None, None)


def test_the_source_is_left_as_it_is() -> None:
    source = {"id": "w", "states": [{"id": "a", "type": "agent", "agent": "x", "end": True}]}
    before = json.dumps(source)
    load(source)
    assert json.dumps(source) == before


def test_thousands_of_states_load() -> None:
    states = [inject(f"s{i}", {f"k{i}": i}, next=f"s{i + 1}") for i in range(2000)]
    states += [
        switch({"if": f"steps.s{i} > 1", "next": "s"}, name=f"s{2000 + i}", defaultNext=f"s{2001 + i}")
        for i in range(300)
    ]
    states.append(agent("s2300"))
    states.append(agent("s"))
    loaded = load(workflow(*states))
    assert loaded.errors == ()
    assert {warning.code for warning in loaded.warnings} == {"unwritten_path"}
