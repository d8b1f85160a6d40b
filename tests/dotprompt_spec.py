"""Plays the cases of the public dotprompt specification through the runner's own loader and renderer.

    just dotprompt-spec DIR

A case is the text of a prompt with what it must render to. Where Station differs on purpose, the case is out of scope
and the reason is printed. The exit code is 1 if a case failed, and if there was none.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple

import yaml
from dotpromptz import Message

from station.agent_runner.prompts import PromptError, PromptFile, compile_body, history_of, read_prompt, render_messages

Verdict = Literal["passed", "failed", "out of scope"]
FRONT_MATTER = re.compile(r"^---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
MODEL = "scripted"
"""Stands in the front matter of a case that names none: a file without a model is no agent."""


class Result(NamedTuple):
    """What became of one case."""

    case: str
    verdict: Verdict
    reason: str = ""


class OutOfScope(Exception):
    """Station differs here, and means to. The message says why."""


def cases(folder: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every case below a folder: its name, its group and itself. Other YAML and JSON files are passed over."""
    for file in sorted(path for pattern in ("*.yaml", "*.yml") for path in folder.rglob(pattern)):
        groups = yaml.safe_load(file.read_text())
        for group in groups if isinstance(groups, list) else []:
            for number, test in enumerate(group.get("tests") or (), 1):
                words = test.get("desc") or f"case {number}"
                yield f"{file.relative_to(folder)}: {group.get('name')}: {words}", group, test


async def play(name: str, group: Mapping[str, Any], test: Mapping[str, Any]) -> Result:
    """Load and render one case."""
    try:
        differences = await _differences(group, test)
    except OutOfScope as reason:
        return Result(name, "out of scope", str(reason))
    except (PromptError, ValueError, TypeError, KeyError) as error:
        return Result(name, "failed", f"{type(error).__name__}: {error}")
    return Result(name, "failed" if differences else "passed", "; ".join(differences))


async def _differences(group: Mapping[str, Any], test: Mapping[str, Any]) -> list[str]:
    expected: Mapping[str, Any] = test["expect"]
    data: dict[str, Any] = {**(group.get("data") or {}), **(test.get("data") or {})}
    source, ours = _source(group["template"], test.get("options") or {})
    prompt = await _loaded(source, group)
    # A file has front matter, and the text below front matter is trimmed; a case without any says what the text alone
    # renders to.
    whole = FRONT_MATTER.search(group["template"]) is None
    body = await compile_body(group["template"], prompt.partials) if whole else prompt.prompt
    # As the runner does: defaults first, and what is no variable of the workflow under its own mark.
    context = {f"@{key}": value for key, value in (data.get("context") or {}).items()}
    variables = {**prompt.defaults, **(data.get("input") or {}), **context}
    said = [Message.model_validate(message) for message in data.get("messages") or ()]
    history = said or history_of(variables)
    messages = [_plain(one) for one in await render_messages(body, None, variables, history)]
    from_file = [_plain(one) for one in await render_messages(prompt.prompt, None, variables, history)]
    if _stripped(messages) != _stripped(from_file):
        return [f"as a file it renders to {json.dumps(from_file)}, its text alone to {json.dumps(messages)}"]
    found: dict[str, Any] = {"messages": messages, **_facts(prompt, ours)}
    return [
        f"{key}: expected {json.dumps(value)}, got {json.dumps(found.get(key))}"
        for key, value in expected.items()
        if found.get(key) != value
    ]


async def _loaded(source: str, group: Mapping[str, Any]) -> PromptFile:
    partials = {**(group.get("partials") or {}), **(group.get("resolverPartials") or {})}
    try:
        return await read_prompt(source, PurePath("case.prompt"), partials)
    except PromptError as error:
        named = {**(group.get("schemas") or {}), **(group.get("resolverSchemas") or {})}
        if any(f"names {name!r}" in str(error) for name in named):
            raise OutOfScope(f"Station keeps no schemas by name and refuses the file: {error}") from error
        raise


def _source(template: str, options: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The text of an agent's file, and which fields of its front matter are not the case's own."""
    found = FRONT_MATTER.search(template)
    if found is None:
        return f"---\n{json.dumps({'model': MODEL, **options})}\n---\n{template}", {"model", *options}
    front = yaml.safe_load(found[1]) or {}
    added: dict[str, Any] = {**({} if "model" in front else {"model": MODEL}), **options}
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in added.items())
    return template[: found.start(1)] + lines + template[found.start(1) :], set(added)


def _facts(prompt: PromptFile, ours: set[str]) -> dict[str, Any]:
    """What the loader knows of the file, in the words of the specification."""
    raw = {key: value for key, value in prompt.front_matter.items() if key not in ours}
    extensions: dict[str, dict[str, Any]] = {}
    for key, value in raw.items():
        space, dot, last = key.rpartition(".")
        if dot:
            extensions.setdefault(space, {})[last] = value
    stated = {"default": prompt.defaults or None, "schema": prompt.input_schema}
    return {
        **{key: prompt.front_matter[key] for key in ("name", "variant", "version") if key in prompt.front_matter},
        "model": prompt.model,
        "description": prompt.description,
        "config": prompt.config or None,
        "tools": list(prompt.tools) or None,
        "input": {key: value for key, value in stated.items() if value is not None} or None,
        "output": _output(prompt),
        "ext": extensions or None,
        "raw": raw,
    }


def _output(prompt: PromptFile) -> dict[str, Any] | None:
    section = prompt.front_matter.get("output") or {}
    stated = {"format": section.get("format"), "schema": prompt.output_schema}
    return {key: value for key, value in stated.items() if value is not None} or None


def _plain(message: Message) -> dict[str, Any]:
    return message.model_dump(mode="json", by_alias=True, exclude_none=True)


def _stripped(messages: list[dict[str, Any]]) -> list[list[Any]]:
    return [[part["text"].strip() if "text" in part else part for part in message["content"]] for message in messages]


async def play_all(folder: Path) -> list[Result]:
    """The result of every case below a folder."""
    return [await play(name, group, test) for name, group, test in cases(folder)]


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: just dotprompt-spec DIR (a folder with the specification's YAML files)")
    results = asyncio.run(play_all(Path(sys.argv[1])))
    for result in results:
        print(f"{result.verdict:<12}  {result.case}" + (f"\n{'':14}{result.reason}" if result.reason else ""))
    counts = Counter(result.verdict for result in results)
    print(", ".join(f"{counts[verdict]} {verdict}" for verdict in ("passed", "failed", "out of scope")))
    sys.exit(1 if counts["failed"] or not results else 0)


if __name__ == "__main__":
    main()
