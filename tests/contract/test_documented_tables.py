"""Tables of the documentation list what the code has, all of it and nothing else."""

import importlib
import pkgutil
import re
from pathlib import Path

import msgspec
import pytest
import typer

from station.agent_runner import front_matter
from station.agent_runner.loop import config, providers
from station.cli import errors
from station.cli.__main__ import app
from station.core import definition
from station.core.codes import MEANINGS
from station.runtime.metrics import REGISTRY

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "scheduler", "agent_runner", "approval_service")


NODES = [
    found
    for found in vars(definition).values()
    if isinstance(found, type) and issubclass(found, definition.Node) and found is not definition.Node
]
"""A definition and all that it is made of."""


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of every table row between a heading and the next of its kind, table heads left out."""
    text = (ROOT / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in re.split(r" ?(?<!\\)\| ?", line)] for line in lines]


def modules(package: str) -> list[str]:
    found = importlib.import_module(package)
    return [package, *(each.name for each in pkgutil.walk_packages(found.__path__, f"{package}."))]


def test_the_codes_of_validation_are_those_that_are_documented() -> None:
    severity = {"either": "error or warning"}
    known = [[f"`{code}`", severity.get(of.severity, of.severity), of.text] for code, of in MEANINGS.items()]
    assert [row for row in rows("docs/language.md", "What validation finds") if row[0] != "code"] == known


@pytest.mark.parametrize("node", NODES)
def test_every_field_of_a_definition_is_documented(node: type[definition.Node]) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / "docs/language.md").read_text(), flags=re.DOTALL)
    words = {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", code)}
    assert {field.encode_name for field in msgspec.structs.fields(node)} <= words


def test_the_fields_of_a_definition_are_its_table() -> None:
    text = (ROOT / "docs/language.md").read_text().split("\n## Definition\n")[1].split("\n## ")[0]
    first = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    listed = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert listed == {field.encode_name for field in msgspec.structs.fields(definition.Definition)}


def test_what_an_agents_file_may_say_is_documented() -> None:
    text = (ROOT / "docs/agents.md").read_text()
    words = {word for row in re.findall(r"^\| (.*?) \|", text, re.MULTILINE) for word in re.findall(r"`([\w.]+)`", row)}
    inside = {f"{section}.{name}" for section, names in front_matter.SECTIONS.items() for name in names}
    outer = {*front_matter.FIELDS} - {*front_matter.SECTIONS, "maxSteps", "metadata"}
    assert {*outer, *inside, "metadata.name", *config.NAMES} <= words
    assert {f"{prefix}/<model>" for prefix in providers.PREFIXES} <= set(
        re.findall(r"^\| `(\w+/<model>)`", text, re.MULTILINE)
    )


def test_the_metrics_are_those_that_are_documented() -> None:
    for name in ("runtime", *SERVICES):
        for module in modules(f"station.{name}"):
            if not module.endswith("__main__"):
                importlib.import_module(module)
    labels = {names[0]: collector for collector, names in REGISTRY._collector_to_names.items()}
    known = [
        [
            f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            ", ".join(f"`{label}`" for label in getattr(labels[family.name], "_labelnames", ())),
            family.documentation,
        ]
        for family in REGISTRY.collect()
        if family.name.startswith("station_")
    ]
    assert len(known) > 50
    table = [row for row in rows("docs/observability.md", "Metrics") if row[0].startswith("`station_")]
    assert sorted(table) == sorted(known)


def test_metrics_to_alert_on_exist() -> None:
    documented = {row[0] for row in rows("docs/observability.md", "Metrics")}
    alerts = {row[0] for row in rows("docs/operations.md", "What to alert on") if row[0].startswith("`station_")}
    assert alerts <= documented


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/cli.md").read_text()
    for group, names in GROUPS.items():
        line = "\n".join(line for line in text.splitlines() if line.startswith(f"| `stn {group}"))
        assert set(names) <= set(re.findall(r"\w+", line)), group
    assert set(COMMANDS) <= set(re.findall(r"`stn (\w+)", text))


def test_exit_codes_are_those_of_the_code() -> None:
    documented = {int(row[0]) for row in rows("docs/cli.md", "Exit codes") if row[0].isdigit()}
    names = ("FAILED", "USAGE", "CANCELLED", "TIMED_OUT", "WAITS_FOR_A_PERSON", "UNREACHABLE", "INTERRUPTED")
    assert documented == {0, *(getattr(errors, name) for name in names)}


def test_codes_of_refusals_that_are_documented_exist() -> None:
    folders = (ROOT / "services", ROOT / "shared/core")
    sources = "\n".join(file.read_text() for folder in folders for file in folder.rglob("*.py"))
    codes = {code for row in rows("docs/api.md", "Errors") for code in re.findall(r"`(\w+)`", row[1])}
    assert len(codes) > 30
    assert not {code for code in codes if f'"{code}"' not in sources}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_readme_names_every_setting(service: str) -> None:
    settings = importlib.import_module(f"station.{service}.settings").Settings
    text = (ROOT / "services" / service.replace("_", "-") / "README.md").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("| settings "))
    named = {name.removeprefix("STATION_").strip("_") for name in re.findall(r"`(\w+)`", line)}
    assert named == {field.name.upper() for field in msgspec.structs.fields(settings)}


GROUPS = {
    str(group.name): [str(command.name) for command in group.typer_instance.registered_commands]
    for group in app.registered_groups
    if isinstance(group.typer_instance, typer.Typer)
}
COMMANDS = [str(command.name) for command in app.registered_commands]
