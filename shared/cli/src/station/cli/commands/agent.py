"""`stn agent`: what runners have loaded from their environments."""

from typing import Annotated

import typer

from station.cli.inputs import segment
from station.cli.options import Session, connected
from station.cli.output import note, plain, pretty
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
    rows = [(a.name, a.environment, a.model, a.description, a.source_file) for a in agents.items]
    session.out.table(("NAME", "ENVIRONMENT", "MODEL", "DESCRIPTION", "FILE"), rows, empty="no agents")
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
            ("max steps", agent.max_steps),
            ("file", agent.source_file),
            ("input", agent.input_schema and pretty(agent.input_schema)),
            ("output", agent.output_schema and pretty(agent.output_schema)),
            ("digest", plain(agent.digest[:12])),
        ]
    )
