"""Secrets are struck out wherever they stand, and nothing else is."""

import base64
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.agent_runner.backends.registry import all_backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.executors.agent_run import AgentRun
from station.agent_runner.executors.protocol import Outcome
from station.agent_runner.redaction import SHORTEST, STRUCK, Redactor, looks_secret, secrets_of
from station.agent_runner.settings import Settings
from station.runtime.logging import strike_out
from tests.support.agent_files import found_in, write_agent
from tests.support.backend_conformance import held_for
from tests.unit.agent_runner.test_exec_backend import program

SECRET = "hunter2-hunter2"
secrets = st.text(min_size=SHORTEST, max_size=40).filter(lambda text: len(text.strip()) >= SHORTEST)
innocent = st.text(alphabet="abc \n", max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@pytest.mark.parametrize(
    "name",
    [
        "password", "dbPassword", "DB_PASSWORD", "passwd", "client_secret", "token", "accessToken", "x-auth-token",
        "GITHUB_TOKEN", "apiKey", "api_key", "API-KEY", "apikey", "OPENAI_API_KEY", "Authorization",
        "proxy-authorization", "cookie", "Set-Cookie", "private_key", "privateKey", "credential", "credentials",
        "password1", "tokenValue", "passwordHash", "accessTokens",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "maxTokens", "max_tokens", "inputTokens", "outputTokens", "totalTokens", "tokens", "tokenCount",
        "token_usage", "tokenType", "nextPageToken", "continue_token", "secretName", "passwordPolicy", "key",
        "idempotencyKey", "primaryKey", "author", "name", "",
    ],
)  # fmt: skip
def test_names_that_only_sound_like_it(name: str) -> None:
    assert not looks_secret(name)


@given(secrets, innocent, innocent)
def test_a_known_secret_is_in_no_text(secret: str, before: str, after: str) -> None:
    found = Redactor([secret]).text(f"{before}{secret}{after}")
    assert secret.strip() not in found.replace(STRUCK, "\0")


@given(values)
def test_what_holds_no_secret_is_the_same_object(value: Any) -> None:
    assert Redactor(["\0 never said \0"]).value([{"plain": value}])[0]["plain"] is value or _has_secret_name(value)


@given(secrets, values)
def test_a_secret_is_found_anywhere_in_a_value(secret: str, value: Any) -> None:
    redactor = Redactor([secret])
    struck = redactor.value({"list": [value, {secret: f"is {secret}"}, [[secret]]]})
    for text in _texts(struck):
        assert secret.strip() not in text.replace(STRUCK, "\0")
    assert redactor.value(struck) == struck, "once is enough"


@given(secrets, st.lists(innocent, min_size=1, max_size=3), st.data())
def test_a_secret_said_in_pieces_is_never_told(secret: str, words: list[str], data: st.DataObject) -> None:
    whole = secret.join([*words, ""]) + "."
    redactor = Redactor([secret])
    told, waiting = "", ""
    for piece in data.draw(_pieces(whole)):
        waiting += piece
        settled = redactor.settled(waiting)
        told, waiting = told + redactor.text(waiting[:settled]), waiting[settled:]
    told += redactor.text(waiting)
    assert told == redactor.text(whole)


def test_other_ways_to_write_a_secret_are_known() -> None:
    secret = 'pa"ss/wörd\n&more'
    redactor = Redactor([secret])
    for form in (
        msgspec.json.encode(secret).decode(),
        quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode(),
        f"postgres://me:{quote(secret, safe='')}@db",
    ):
        assert STRUCK in redactor.text(form)
        assert redactor.text(form).count("more") == 0


def test_short_values_are_not_looked_for() -> None:
    redactor = Redactor(["", "a", "12345"])
    assert redactor.text("a 12345") == "a 12345"


def test_everything_below_a_secret_name_goes_and_its_shape_stays() -> None:
    value = {"credentials": {"user": "me", "pins": [1234, "x"], "valid": True, "note": None}, "token": "", "count": 7}
    assert Redactor().value(value) == {
        "credentials": {"user": STRUCK, "pins": [STRUCK, STRUCK], "valid": True, "note": None},
        "token": "",
        "count": 7,
    }


def test_deep_values_are_struck_too() -> None:
    deep: Any = SECRET
    for _ in range(300):
        deep = [deep]
    found = Redactor([SECRET]).value(deep)
    while isinstance(found, list):
        (found,) = found  # pyright: ignore[reportUnknownVariableType]
    assert found == STRUCK


def test_the_settings_name_their_secrets() -> None:
    settings = Settings(nats_url="nats://agent-runner:broker%2Fpassword@nats:4222,nats://agent-runner:other@b:4222")
    assert secrets_of(settings) == ["broker%2Fpassword", "broker/password", "other", "other"]
    assert secrets_of(Settings()) == []


async def test_neither_output_nor_error_of_an_agent_holds_a_secret(tmp_path: Path) -> None:
    said = await _execute(
        tmp_path, 'print("""{"said": "it is hunter2-hunter2", "apiKey": "k", "n": 1}""")', Redactor([SECRET])
    )
    assert said.output == {"said": f"it is {STRUCK}", "apiKey": STRUCK, "n": 1}
    assert said.size == len(msgspec.json.encode(said.output))
    failed = await _execute(tmp_path, 'import sys; sys.exit("wrong: hunter2-hunter2")', Redactor([SECRET]))
    assert failed.error is not None
    assert SECRET not in failed.error.message
    assert f"wrong: {STRUCK}" in failed.error.message


async def test_the_environment_that_a_file_gives_its_program_is_learnt_by_name(tmp_path: Path) -> None:
    code = 'import os; print(os.environ["DB_PASSWORD"], os.environ["REGION"])'
    said = await _execute(tmp_path, code, Redactor(), ", env: {DB_PASSWORD: swordfish, REGION: north-1}")
    assert said.output == f"{STRUCK} north-1"


def test_no_line_of_the_log_holds_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    root = logging.getLogger()
    before = root.handlers
    root.handlers = [handler]
    try:
        strike_out(Redactor([SECRET]).text)
        try:
            int(SECRET)
        except ValueError:
            root.exception("failed with %s", SECRET)
    finally:
        root.handlers = before
    written = capsys.readouterr().err
    assert f"failed with {STRUCK}" in written
    assert f"literal for int() with base 10: '{STRUCK}'" in written
    assert SECRET not in written


async def _execute(root: Path, code: str, redactor: Redactor, more: str = "") -> Outcome:
    backends = all_backends(None, redactor.learn)
    write_agent(root, "subject", f"---\n{program(code, more)}---\n")
    catalog = await load_catalog(root, backends)
    assert not catalog.problems
    executor = AgentRun(found_in(catalog), max_output_bytes=1 << 20, redactor=redactor)
    return await executor.execute(held_for("subject"))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts(part)]  # pyright: ignore[reportUnknownVariableType]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def _has_secret_name(value: Any) -> bool:
    if isinstance(value, dict):
        return any(looks_secret(name) or _has_secret_name(item) for name, item in value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return isinstance(value, list) and any(map(_has_secret_name, value))  # pyright: ignore[reportUnknownArgumentType]


@st.composite
def _pieces(draw: st.DrawFn, whole: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
