"""The `stn` command: puts the subcommands together, and turns their errors into words and exit codes."""

import contextlib
import os
import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from station.cli.commands import agent, approval, backup, demo, doctor, run, up, workflow
from station.cli.errors import INTERRUPTED, CommandError
from station.cli.inputs import check_text
from station.cli.output import show_error

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Station: durable workflows for agents. Start with `stn demo`, or `stn up`.",
)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("status")(up.status)
app.add_typer(workflow.app, name="workflow")
app.add_typer(run.app, name="run")
app.add_typer(approval.app, name="approval")
app.add_typer(agent.app, name="agent")
app.command("doctor")(doctor.doctor)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)


@app.command("version")
def version(*, short: Annotated[bool, typer.Option("--short", help="The number alone.")] = False) -> None:
    """Show the version."""
    number = installed_version("station-cli")
    print(number if short else f"stn {number} (Python {sys.version.split()[0]})")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line (``sys.argv`` without ``arguments``) and exit."""
    try:
        ours = [value for name, value in os.environ.items() if name.startswith("STATION_")]
        check_text([*(sys.argv[1:] if arguments is None else arguments), *ours])
        app(arguments)
    except CommandError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell.
        with contextlib.suppress(OSError):
            sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
