"""Writes the documents that are made from the code; with --check only says which of them are out of date."""

import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.documents import schemas
from tests.support.documents.asyncapi import asyncapi
from tests.support.documents.contracts import contracts_page
from tests.support.documents.lifecycle import lifecycle_page
from tests.support.documents.settings import settings_page

ROOT = Path(__file__).parents[2]
DOCUMENTS: dict[str, Callable[[], str]] = {
    "contracts/asyncapi.json": asyncapi,
    "docs/contracts.md": contracts_page,
    "docs/lifecycle.md": lifecycle_page,
    "docs/settings.md": settings_page,
    **schemas.DOCUMENTS,
}


def out_of_date(root: Path = ROOT) -> list[str]:
    """Names of the documents whose file is missing or says something else than the code."""
    return [name for name, render in DOCUMENTS.items() if _stored(root / name) != render()]


def write(root: Path = ROOT) -> list[str]:
    """Bring every document up to date; the names of those that had to change."""
    changed = out_of_date(root)
    for name in changed:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(DOCUMENTS[name]())
    return changed


def _stored(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def main(arguments: list[str]) -> int:
    """0: all is well, or has been written; 1: --check found something."""
    if arguments == ["--check"]:
        for name in (stale := out_of_date()):
            print(f"error: {name} is out of date; run ./just generate")
        return int(bool(stale))
    for name in write():
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
