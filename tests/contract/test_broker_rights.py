"""The broker of a deployment gives the same rights as the bundled one: both say what `RIGHTS` says."""

import re
from pathlib import Path

import pytest

from station.runtime.broker import RIGHTS, inbox_prefix
from station.runtime.parts import MOST_PARTS

CONFIGURATION = Path(__file__).parents[2] / "deploy/nats/nats.conf"
# Only on the machine of a developer: in a deployment people go through the gateway.
NOT_DEPLOYED = {"cli"}


def deployed() -> dict[str, str]:
    """The part of the file about each user, without comments."""
    text = re.sub(r"#.*", "", CONFIGURATION.read_text())
    _, *parts = re.split(r"\buser:\s*([\w-]+)", text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def allowed(part: str, verb: str) -> list[str]:
    found = re.search(rf"\b{verb}:\s*{{\s*allow:\s*\[([^\]]*)\]", part)
    assert found, f"no list of what may be used to {verb}"
    return re.findall(r'"([^"]+)"', found[1])


def test_the_deployment_has_a_user_for_every_service_and_for_other_systems() -> None:
    assert set(deployed()) == set(RIGHTS) - NOT_DEPLOYED


@pytest.mark.parametrize("user", sorted(set(RIGHTS) - NOT_DEPLOYED))
def test_a_user_may_do_the_same_in_a_deployment_as_on_the_bundled_broker(user: str) -> None:
    part = deployed()[user]
    assert sorted(allowed(part, "publish")) == sorted(RIGHTS[user].publish)
    assert sorted(allowed(part, "subscribe")) == sorted([*RIGHTS[user].subscribe, f"{inbox_prefix(user)}.>"])
    assert f'allow_responses: {{ max: {MOST_PARTS}, expires: "2m" }}' in part
    assert "deny" not in part
