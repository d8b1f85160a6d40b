"""Runs the example agents as agent-runner does: their own command, in their environment's folder, JSON in and out."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import yaml

ENVIRONMENT = Path(__file__).parents[2] / "deploy" / "environments" / "default"


class Outcome(NamedTuple):
    """What a program did; `answer` is None if it failed."""

    code: int
    answer: Any
    stderr: str


class Examples:
    """The example environment, with an area of its own for what the agents write."""

    def __init__(self, temporary: Path) -> None:
        self.environment = ENVIRONMENT
        self.temporary = temporary
        self.work_directory = temporary / f"station-triage-{os.getuid()}"

    def front_matter(self, agent: str) -> dict[str, Any]:
        text = (self.environment / "agents" / f"{agent}.prompt").read_text()
        return yaml.safe_load(text.split("---\n")[1])

    def start(self, agent: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        environ = {"PATH": os.environ["PATH"], "TMPDIR": str(self.temporary)}
        options = self.front_matter(agent)["exec"]
        return subprocess.Popen(
            options["command"],
            cwd=self.environment,
            env=environ | options.get("env", {}),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def run(self, agent: str, variables: dict[str, Any] | None = None, **request: Any) -> Outcome:
        """Run one attempt; what goes in and what comes out must fit the agent's schemas."""
        given = {"task": None, "runId": "run_1", "stepId": "s1", "attempt": 1} | request
        key = f"{given['runId']}:{given['stepId']}:{given['attempt']}"
        variables = variables or {}
        self._check(agent, "input", {"task": given["task"], **variables} if given["task"] else variables)
        process = self.start(agent)
        body = json.dumps({"variables": variables, "idempotencyKey": key, **given})
        stdout, stderr = process.communicate(body, timeout=30)
        if process.returncode:
            return Outcome(process.returncode, None, stderr)
        answer = json.loads(stdout)
        self._check(agent, "output", answer)
        return Outcome(0, answer, stderr)

    def answer(self, agent: str, variables: dict[str, Any] | None = None, **request: Any) -> Any:
        outcome = self.run(agent, variables, **request)
        assert outcome.code == 0, outcome.stderr
        return outcome.answer

    def _check(self, agent: str, part: str, value: Any) -> None:
        schema = self.front_matter(agent)[part]["schema"]
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(value, schema, jsonschema.Draft202012Validator)
