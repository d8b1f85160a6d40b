"""`stn agent`: what runners have loaded from their environments, and one agent by itself."""

import os
from pathlib import Path
from typing import Annotated

import typer

from station.cli.inputs import input_pairs, object_argument, segment
from station.cli.options import Session, connected
from station.cli.output import Format, Output, note, plain, pretty
from station.contracts.agents import AgentList, AgentSummary

app = typer.Typer(no_args_is_help=True, help="The agents that workflows can run.")
Environment = Annotated[str | None, typer.Option("--environment", "-e", help="Only this environment.")]


@app.command("list")
@connected
def list_agents(session: Session, environment: Environment = None) -> None:
    """List the agents of one or all environments."""
    agents = session.api.get("/agents", AgentList, {"environment": environment})
    if session.out.is_json:
        session.out.answer(agents)
        return
    rows = [(a.name, a.environment, a.model, a.description, a.source_file, a.digest[:12]) for a in agents.items]
    columns = ("NAME", "ENVIRONMENT", "MODEL", "DESCRIPTION", "FILE", "DIGEST")
    session.out.table(columns, rows, empty="no agents")
    for problem in agents.problems:
        note(f"{problem.path}: {problem.message}" + (f" → {problem.hint}" if problem.hint else ""), style="red")


@app.command("show")
@connected
def show_agent(session: Session, name: str, environment: Environment = None) -> None:
    """Show one agent: its model, schemas and tools."""
    agent = session.api.get(f"/agents/{segment(name)}", AgentSummary, {"environment": environment})
    if session.out.is_json:
        session.out.answer(agent)
        return
    session.out.fields(
        [
            ("name", agent.name),
            ("environment", agent.environment),
            ("model", agent.model),
            ("description", agent.description),
            ("tools", ", ".join(agent.tools)),
            ("agents", ", ".join(agent.agents)),
            ("most steps", agent.max_steps),
            ("file", agent.source_file),
            ("input", agent.input_schema and pretty(agent.input_schema)),
            ("output", agent.output_schema and pretty(agent.output_schema)),
            ("digest", plain(agent.digest[:12])),
        ]
    )


@app.command("run")
def run_agent(
    *,
    name: str,
    environment: Annotated[str, typer.Option("--environment", "-e", help="Where it lives.")] = "default",
    task: Annotated[str | None, typer.Option("--task", "-t", help="What it is to do.")] = None,
    input_text: Annotated[
        str | None, typer.Option("--input", help="Its variables: a JSON object, @file, or - for stdin.")
    ] = None,
    pairs: Annotated[list[str] | None, typer.Option("-i", metavar="KEY=VALUE", help="One variable.")] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", min=0.001, help="Seconds until it is stopped.")] = None,
    environments_dir: Annotated[
        Path | None, typer.Option("--environments-dir", help="Its files (STATION_ENVIRONMENTS_DIR).")
    ] = None,
    form: Annotated[Format, typer.Option("--output", "-o", help="For people or for programs.")] = Format.TABLE,
) -> None:
    """Run one agent by itself, as its file is now: no Station needs to run.

    What it does is told on stderr, its result is JSON on stdout. With -o json stdout has result, usage and error.
    An agent of model nats/... needs STATION_NATS_URL: the broker's address, with agent-runner's user and password.
    """
    from station.cli.alone import run_alone
    from station.contracts.alone import RunAlone

    variables = object_argument("--input", input_text) | input_pairs(pairs or ())
    request = RunAlone(agent=name, environment=environment, task=task, variables=variables, timeout_seconds=timeout)
    own = {} if environments_dir is None else {"STATION_ENVIRONMENTS_DIR": str(environments_dir.absolute())}
    run_alone(request, {**os.environ, **own}, Output(form))
