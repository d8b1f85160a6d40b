import json
from pathlib import Path
from typing import Any

import pytest

from station.agent_runner.mcp.config import Child, Remote, Servers, read_servers
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.mcp.tool import NotConfigured

ENVIRONMENT = "test"


def write(root: Path, file: str = "a.json", variables: str | None = None, **servers: Any) -> None:
    """One file of servers."""
    write_text(root, json.dumps({"mcpServers": servers}), file)
    if variables is not None:
        (root / ENVIRONMENT / "variables.yml").write_text(variables)


def write_text(root: Path, text: str, file: str = "a.json") -> None:
    folder = root / ENVIRONMENT / "mcp-servers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)


def read(root: Path, **runners: str) -> Servers:
    return read_servers(root, ENVIRONMENT, runners)


def problem(servers: Servers, code: str = "mcp_config_invalid") -> str:
    """The one problem, in words."""
    assert [problem.code for problem in servers.problems] == [code]
    found = servers.problems[0]
    assert found.path in {"test/mcp-servers/a.json", "test/variables.yml"}
    return f"{found.message}; {found.hint}"


def test_programs_and_addresses_of_several_files(tmp_path: Path) -> None:
    write(tmp_path, "a.json", one={"command": "run", "args": ["-v"], "env": {"A": "b"}, "cwd": "data", "type": "stdio"})
    write(tmp_path, "b.json", two={"url": "https://example.org/mcp", "headers": {"Authorization": "x"}})
    (tmp_path / ENVIRONMENT / "mcp-servers" / "README.md").write_text("Not read.")
    servers = read(tmp_path)
    assert not servers.problems
    folder = tmp_path / ENVIRONMENT
    assert {name: server.reach for name, server in servers.servers.items()} == {
        "one": Child(command="run", args=("-v",), env={"A": "b"}, cwd=folder / "data"),
        "two": Remote(url="https://example.org/mcp", headers={"Authorization": "x"}),
    }
    assert servers.servers["two"].file == "test/mcp-servers/b.json"


def test_a_server_runs_in_the_folder_of_its_environment(tmp_path: Path) -> None:
    write(tmp_path, one={"command": "run"})
    reach = read(tmp_path).servers["one"].reach
    assert isinstance(reach, Child)
    assert reach.cwd == tmp_path / ENVIRONMENT


def test_an_environment_without_servers_has_none(tmp_path: Path) -> None:
    assert read(tmp_path) == Servers()


def test_a_name_in_two_files_is_used_from_neither(tmp_path: Path) -> None:
    write(tmp_path, "a.json", same={"command": "a"}, other={"command": "c"})
    write(tmp_path, "b.json", same={"command": "b"})
    servers = read(tmp_path)
    assert list(servers.servers) == ["other"]
    assert "same" in servers.unusable
    assert [problem.path for problem in servers.problems] == ["test/mcp-servers/a.json", "test/mcp-servers/b.json"]
    for found in servers.problems:
        assert found.code == "duplicate_mcp_server"
        assert "a.json and test/mcp-servers/b.json both define the MCP server 'same'" in found.message


def test_variables_come_from_the_file_first_then_from_the_runner_then_from_the_default(tmp_path: Path) -> None:
    env = {"A": "${A}", "B": "${B}", "C": "${C:-three}", "D": "${EMPTY:-four}", "E": "x${A}${B}", "F": "$A {A}"}
    write(tmp_path, variables="A: one\nPORT: 8080\nEMPTY: ''\n", s={"command": "${CMD:-run}", "env": env})
    write(tmp_path, "b.json", h={"url": "http://host:${PORT}/mcp", "headers": {"X": "Bearer ${A}"}})
    servers = read(tmp_path, A="not this", B="two")
    assert not servers.problems
    child, remote = servers.servers["s"].reach, servers.servers["h"].reach
    assert isinstance(child, Child)
    assert isinstance(remote, Remote)
    assert child.env == {"A": "one", "B": "two", "C": "three", "D": "four", "E": "xonetwo", "F": "$A {A}"}
    assert child.command == "run"
    assert (remote.url, remote.headers) == ("http://host:8080/mcp", {"X": "Bearer one"})


def test_a_value_is_not_looked_at_again(tmp_path: Path) -> None:
    write(tmp_path, variables="A: ${B}\nB: no\n", s={"command": "run", "args": ["${A}"]})
    reach = read(tmp_path).servers["s"].reach
    assert isinstance(reach, Child)
    assert reach.args == ("${B}",)


def test_a_variable_that_is_nowhere_names_file_server_and_variable(tmp_path: Path) -> None:
    write(tmp_path, broken={"command": "run", "env": {"TOKEN": "${THE_TOKEN}"}}, fine={"command": "run"})
    servers = read(tmp_path)
    said = problem(servers, "mcp_variable_missing")
    assert "MCP server 'broken': `env.TOKEN` needs the variable THE_TOKEN" in said
    assert "variables.yml" in said
    assert list(servers.servers) == ["fine"]


def test_secrets_are_learnt_and_what_any_text_may_hold_is_none(tmp_path: Path) -> None:
    env = {
        "A": "${DB_PASSWORD}",
        "B": "${RUNNER_TOKEN}",
        "C": "${THE_SECRET:-default}",
        "H": "${HOME}",
        "N": "${NAMESPACE}",
        "S": "${SEED}",
        "API_KEY": "written-here",
    }
    variables = (
        "DB_PASSWORD: correct horse\nUNUSED_TOKEN: other-secret\nNAMESPACE: production\nSEED: a8Kd02mZq9LxW3vb\n"
    )
    write(tmp_path, variables=variables, s={"command": "run", "env": env})
    write(tmp_path, "remote.json", r={"url": "http://host", "headers": {"Authorization": "Bearer abcdef"}})
    learnt: set[str] = set()
    given = {"RUNNER_TOKEN": "runner-secret", "HOME": "/home/me", "Z_TOKEN": "unused"}
    read_servers(tmp_path, ENVIRONMENT, given, learnt.add)
    assert learnt == {
        "correct horse", "other-secret", "a8Kd02mZq9LxW3vb", "runner-secret", "written-here", "Bearer abcdef",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"comand": "run"}, "the field 'comand' is not known here; did you mean 'command'?"),
        ({"command": "run", "arg": []}, "did you mean 'args'?"),
        ({"url": "http://x", "header": {}}, "did you mean 'headers'?"),
        ({"url": "http://x", "zzzzz": 1}, "there are: url, headers"),
        ({}, "needs `command` (a program) or `url`"),
        ({"command": "run", "url": "http://x"}, "one way only"),
        ({"command": ""}, "`command` must name a program"),
        ({"command": ["run"]}, "`command` must be a text"),
        ({"command": "run", "args": "x"}, "`args` must be a list"),
        ({"command": "run", "args": [1]}, "`args[0]` must be a text"),
        ({"command": "run", "env": {"A": 1}}, "`env.A` must be a text"),
        ({"command": "run", "env": []}, "`env` must be an object"),
        ({"command": "run\0"}, "NUL"),
        ({"url": "ftp://x"}, "`url` must begin with http://"),
        ({"url": "http://x", "type": "sse"}, "`type` must be one of stdio, http, streamable-http"),
        ({"command": "run", "disabled": "yes"}, "`disabled` must be true or false"),
        ([], "it must be an object"),
    ],
)
def test_mistakes_are_told_and_other_servers_go_on(tmp_path: Path, settings: Any, said: str) -> None:
    write(tmp_path, wrong=settings, fine={"command": "run"})
    servers = read(tmp_path)
    assert said in problem(servers)
    assert "MCP server 'wrong'" in problem(servers)
    assert list(servers.servers) == ["fine"]
    assert list(servers.unusable) == ["wrong"]


@pytest.mark.parametrize("name", ["two__parts", "a b", "", "-x", "x" * 65])
def test_a_name_must_fit_into_the_name_of_a_tool(tmp_path: Path, name: str) -> None:
    write_text(tmp_path, json.dumps({"mcpServers": {name: {"command": "run"}}}))
    assert "64 letters" in problem(read(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "the file is no JSON"),
        ("\xff", "the file is no JSON"),
        ("[]", "must hold a JSON object"),
        ('{"mcpservers": {}, "mcpServers": {}}', "the field 'mcpservers' is not known"),
        ('{"mcpServers": []}', "`mcpServers` must be an object"),
        ("{}", "`mcpServers` must be an object"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    write_text(tmp_path, text)
    write(tmp_path, "b.json", fine={"command": "run"})
    servers = read(tmp_path)
    assert said in problem(servers)
    assert list(servers.servers) == ["fine"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ("A: [s3cret-value", "no YAML"),
        ("- s3cret-value", "must hold `NAME: value` lines"),
        ("A: {b: s3cret-value}", "the variable 'A' must be a text or a number"),
        ("A: true", "put its value in quotes"),
    ],
)
def test_mistakes_in_the_variables_are_told_without_their_values(tmp_path: Path, variables: str, said: str) -> None:
    write(tmp_path, variables=variables)
    told = problem(read(tmp_path), "variables_invalid")
    assert said in told
    assert "s3cret" not in told


def test_a_disabled_server_is_no_problem_until_it_is_used(tmp_path: Path) -> None:
    write(tmp_path, off={"command": "run", "env": {"A": "${NOWHERE}"}, "disabled": True})
    servers = read(tmp_path)
    assert (servers.problems, list(servers.servers)) == ((), [])
    assert servers.unusable == {"off": "it is disabled in test/mcp-servers/a.json"}


async def test_a_server_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, kubernetes={"command": "run"}, off={"command": "run", "disabled": True})
    servers = McpServers(tmp_path, variables={})
    with pytest.raises(NotConfigured, match=r"no MCP server 'kubernets'; did you mean 'kubernetes'\?"):
        await servers.tools(ENVIRONMENT, "kubernets")
    with pytest.raises(NotConfigured, match=r"'off' of environment 'test' cannot be used: it is disabled in test/mcp-"):
        await servers.tools(ENVIRONMENT, "off")
    with pytest.raises(NotConfigured, match="environment 'other' has no MCP server 'off'; there are: none"):
        await servers.call("other", "off", "x", {}, meta={})


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    write(tmp_path, one={"command": "run"})
    servers = McpServers(tmp_path, variables={})
    first = servers.configured(ENVIRONMENT)
    assert servers.configured(ENVIRONMENT) is first
    write(tmp_path, "b.json", two={"command": "${COMMAND}"})
    assert servers.configured(ENVIRONMENT).names == ["one", "two"]
    assert list(servers.configured(ENVIRONMENT).servers) == ["one"]
    (tmp_path / ENVIRONMENT / "variables.yml").write_text("COMMAND: run\n")
    assert list(servers.configured(ENVIRONMENT).servers) == ["one", "two"]


def test_a_file_that_is_half_written_takes_nothing_away(tmp_path: Path) -> None:
    write(tmp_path, one={"command": "${COMMAND}"})
    variables = tmp_path / ENVIRONMENT / "variables.yml"
    variables.write_text("COMMAND: run\n")
    servers = McpServers(tmp_path, variables={})
    whole = servers.configured(ENVIRONMENT).servers
    assert list(whole) == ["one"]
    write_text(tmp_path, '{"mcpServers": {"one": ')
    variables.write_text("COMMAND: [run")
    half = servers.configured(ENVIRONMENT)
    assert half.servers == whole
    assert [problem.code for problem in half.problems] == ["variables_invalid", "mcp_config_invalid"]
    assert all("what it said before counts until then" in problem.message for problem in half.problems)
    (tmp_path / ENVIRONMENT / "mcp-servers" / "a.json").unlink()
    assert servers.configured(ENVIRONMENT).names == []
    write_text(tmp_path, "{")
    again = servers.configured(ENVIRONMENT)
    assert again.names == []
    assert not any("before" in problem.message for problem in again.problems if problem.code == "mcp_config_invalid")
