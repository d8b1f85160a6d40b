"""The small parts around models: prices, names of tools, which provider can be used, settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from station.agent_runner.loop.config import NAMES, model_settings
from station.agent_runner.loop.prices import Prices
from station.agent_runner.loop.providers import PREFIXES, Access, Providers
from station.agent_runner.loop.tools import SAFE_NAME, safe_name
from station.agent_runner.redaction import secrets_of
from station.agent_runner.settings import providers_of, read_settings


def test_prices_are_those_of_the_file_as_it_is_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prices.json"
    prices = Prices(file)
    assert prices.cost("openai/m", 1, 1) is None, "there is no file yet"
    file.write_text('{"openai/m": {"inputPerMillion": 2, "outputPerMillion": 10}}')
    assert prices.cost("openai/m", 500_000, 100_000) == 2.0
    assert prices.cost("openai/other", 1, 1) is None
    file.write_text('{"openai/m": {"inputPerMillion": "much"}}')
    os.utime(file, (1, 1))
    assert prices.cost("openai/m", 500_000, 100_000) == 2.0, "the old ones hold"
    assert "much" not in capsys.readouterr().out
    file.write_text('{"openai/m": {"inputPerMillion": 0, "outputPerMillion": 0}}')
    os.utime(file, (2, 2))
    assert prices.cost("openai/m", 500_000, 100_000) == 0.0


@pytest.mark.parametrize("name", ["kubernetes__list_pods", "log-reader", "x" * SAFE_NAME])
def test_a_name_that_providers_take_stays(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ["log reader", "größer", "a.b__c", "x" * (SAFE_NAME + 1)])
def test_other_names_are_made_safe_and_stay_apart(name: str) -> None:
    safe = safe_name(name)
    assert len(safe) <= SAFE_NAME
    assert safe.replace("_", "").replace("-", "").isascii()
    assert safe != safe_name(name + "!")
    assert safe == safe_name(name)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_provider_that_is_not_set_up_says_what_to_set(prefix: str) -> None:
    assert f"STATION_{prefix.upper()}_" in str(Providers().missing(prefix))


def test_a_server_that_needs_no_key_needs_an_address() -> None:
    local = Access(base_url="http://127.0.0.1:1/v1")
    providers = Providers(openai=local, ollama=local, anthropic=local, google=local)
    assert [prefix for prefix in PREFIXES if providers.missing(prefix) is None] == ["openai", "ollama"]


def test_our_settings_come_before_those_of_the_providers() -> None:
    settings = read_settings(
        {
            "STATION_OPENAI_API_KEY": "ours",
            "OPENAI_API_KEY": "theirs",
            "GEMINI_API_KEY": "older",
            "GOOGLE_API_KEY": "newer",
            "OLLAMA_BASE_URL": " ",
        }
    )
    providers = providers_of(settings)
    assert (providers.openai.api_key, providers.google.api_key, providers.ollama.base_url) == ("ours", "newer", None)
    assert secrets_of(settings) == ["ours", "newer"]


def test_config_is_taken_in_both_ways_of_writing() -> None:
    assert model_settings({"topP": 0.5, "max_output_tokens": 3, "stopSequences": ["x"]}) == {
        "top_p": 0.5,
        "max_tokens": 3,
        "stop_sequences": ["x"],
    }
    assert len(NAMES) == len(set(NAMES))
