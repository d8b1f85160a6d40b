"""Definitions over HTTP: store, change, roll back, disable, delete; and files, which are taken up by themselves."""

import json
from typing import Any

from tests.e2e.workflows import agent, inject, store, wait_signal
from tests.support.driver import ok
from tests.support.system import System

YAML = {"content-type": "application/yaml"}


def text(identity: str, value: int, **more: Any) -> str:
    document = {
        "id": identity,
        "version": "1.10",
        "states": [{"name": "a", "type": "inject", "data": {"v": value}, "end": True}],
    }
    return json.dumps(document | more)


def put(system: System, identity: str, value: int, **more: Any) -> Any:
    return system.api.put(f"/workflows/{identity}", content=text(identity, value, **more), headers=YAML)


def test_from_the_first_revision_to_the_last(system: System) -> None:
    made = system.api.post("/workflows", content=text("life", 1), headers=YAML)
    assert made.status_code == 201
    assert made.headers["location"].endswith("/workflows/life")
    first = made.json()
    assert (first["version"], first["versionLabel"], first["status"], first["source"]) == (1, "1.10", "active", "api")
    again = system.api.post("/workflows", content=text("life", 1), headers=YAML)
    assert (again.status_code, again.json()["code"]) == (409, "workflow_exists")
    assert ok(put(system, "life", 1))["version"] == 1, "the same content is no new revision"
    assert ok(put(system, "life", 2))["version"] == 2
    run = system.finish(system.start_run("life", version=1))
    assert (run["version"], run["context"]["v"]) == (1, 1)
    assert system.finish(system.start_run("life"))["context"]["v"] == 2
    rolled = ok(system.api.post("/workflows/life/rollback", json={"version": 1}))
    assert rolled["version"] == 3
    assert rolled["definition"]["states"][0]["data"] == {"v": 1}
    assert system.finish(system.start_run("life"))["context"]["v"] == 1
    assert [version["version"] for version in system.all_pages("/workflows/life/versions", limit=2)] == [3, 2, 1]
    shown = ok(system.api.get("/workflows/life", params={"version": 2}))
    assert shown["definition"]["states"][0]["data"] == {"v": 2}
    assert shown["validation"]["errors"] == []
    shown = ok(system.api.get("/workflows/life"))
    assert shown["successRate30d"] == 1.0
    assert shown["lastRunAt"]


def test_a_run_stays_bound_to_its_revision(system: System) -> None:
    store(system, "bound", wait_signal("listen", "go", next="old"), inject("old", {"is": "old"}))
    run_id = system.start_run("bound")
    system.wait_status(run_id, "WAITING_SIGNAL")
    assert store(system, "bound", wait_signal("listen", "go", next="new"), inject("new", {"is": "new"}))["version"] == 2
    ok(system.signal(run_id, "go"))
    assert system.finish(run_id)["context"]["is"] == "old"


def test_a_definition_with_mistakes_is_refused_with_all_of_them(system: System) -> None:
    bad = """
    id: bad
    version: 1
    start: frist
    states:
      - {name: first, type: operation, action: agent.runn, input: {agent: a}, next: gone}
      - {name: second, type: switch, conditions: [{if: "1 +", next: first}], defualtNext: first}
    """
    store(system, "worse", inject("a", {}))
    for method, path in (("POST", "/workflows"), ("PUT", "/workflows/worse")):
        answer = system.api.request(method, path, content=bad, headers=YAML)
        assert answer.status_code == 400
        problem = answer.json()
        assert problem["code"] == "definition_invalid"
        paths = {error["path"] for error in problem["errors"]}
        assert {"/start", "/states/0/action", "/states/0/next", "/states/1/conditions/0/if"} <= paths
        assert any("defaultNext" in (error["hint"] or "") + error["message"] for error in problem["errors"])
    checked = ok(system.api.post("/workflows/validate", content=bad, headers=YAML))
    assert checked["valid"] is False
    assert {error["path"] for error in checked["errors"]} == paths
    assert system.api.get("/workflows/bad").status_code == 404


def test_validate_stores_nothing(system: System) -> None:
    assert ok(system.api.post("/workflows/validate", content=text("unseen", 1), headers=YAML))["valid"] is True
    assert system.api.get("/workflows/unseen").status_code == 404
    document = {"id": "unseen", "states": [agent("a", "nobody")]}
    asked = system.api.post("/workflows/validate", json=document, params={"environment": "test"})
    assert ok(asked)["valid"] is False


def test_validate_follows_the_schemas_to_the_agents(system: System) -> None:
    given = {"sure": {"type": "boolean"}, "perhaps": {"type": ["boolean", "null"]}, "left": {"type": "boolean"}}
    states = [
        agent("a", "strict", variables={"ready": "{{ sure }}"}, next="b"),
        agent("b", "strict", variables={"ready": "{{ perhaps }}"}, next="c"),
        agent("c", "strict", variables={"ready": "{{ left }}"}, next="d"),
        agent("d", "strict", variables={"ready": "{{ steps.a.ready }}"}, next="e"),
        agent("e", "strict", variables={"ready": "{{ steps.a.ready }}, it says"}),
    ]
    schema = {"type": "object", "properties": given, "required": ["sure", "perhaps"]}
    document = {"id": "unseen", "inputSchema": schema, "start": "a", "states": states}
    checked = ok(system.api.post("/workflows/validate", json=document, params={"environment": "test"}))
    assert checked["valid"] is False
    said = {kind: [(one["code"], one["path"]) for one in checked[kind]] for kind in ("errors", "warnings", "notes")}
    assert said == {
        "errors": [("schema_cannot", "/states/4/input/variables/ready")],
        "warnings": [("schema_may_fail", "/states/1/input/variables/ready")],
        "notes": [("schema_optional", "/states/2/input/variables/ready")],
    }
    assert "as in null" in checked["warnings"][0]["message"]


def test_put_of_another_id_and_of_nothing(system: System) -> None:
    store(system, "mine", inject("a", {}))
    other = system.api.put("/workflows/mine", content=text("other", 1), headers=YAML)
    assert (other.status_code, other.json()["code"]) == (400, "id_mismatch")
    absent = put(system, "absent", 1)
    assert (absent.status_code, absent.json()["code"]) == (404, "workflow_not_found")
    assert system.api.post("/workflows/mine/rollback", json={"version": 9}).status_code == 404


def test_delete_only_what_never_ran(system: System) -> None:
    store(system, "unused", inject("a", {}))
    assert system.api.delete("/workflows/unused").status_code == 204
    assert system.api.get("/workflows/unused").status_code == 404
    assert system.api.delete("/workflows/unused").status_code == 404
    assert store(system, "unused", inject("a", {}))["version"] == 1
    store(system, "used", inject("a", {}))
    for _ in range(2):
        system.finish(system.start_run("used"))
    refused = system.api.delete("/workflows/used")
    assert refused.status_code == 409
    assert refused.json()["code"] == "workflow_has_runs"
    assert refused.json()["runs"] == 2
    assert ok(system.api.get("/workflows/used"))["id"] == "used"


def test_search_and_pages(system: System) -> None:
    for number in range(3):
        store(system, f"searched-{number}", inject("a", {}), name=f"Findable {number}")
    found = [workflow["id"] for workflow in system.all_pages("/workflows", search="findABLE", limit=2)]
    assert sorted(found) == ["searched-0", "searched-1", "searched-2"]


def test_a_file_is_taken_up_changed_and_disabled(system: System) -> None:
    file = system.write_workflow("from-file", text("from-file", 1))
    stored = system.wait_workflow("from-file")
    assert (stored["source"], stored["syncStatus"], stored["version"]) == ("file", "synced", 1)
    assert system.finish(system.start_run("from-file", environment=None))["environment"] == "test"
    system.write_workflow("from-file", text("from-file", 2))
    system.wait_workflow("from-file", lambda workflow: workflow["version"] == 2)
    system.write_workflow("from-file", "id: from-file\nstates: 7\n")
    broken = system.wait_workflow("from-file", lambda workflow: workflow["syncStatus"] == "invalid")
    assert (broken["version"], broken["status"]) == (2, "active")
    file.unlink()
    gone = system.wait_workflow("from-file", lambda workflow: workflow["status"] == "disabled")
    assert gone["syncStatus"] == "missing"
    assert system.post_run("from-file").status_code == 409
