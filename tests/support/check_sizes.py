"""Fails when a hand-written Python file or function has grown past its limit; warns before that.

A file is questioned at 250 lines and may not pass 400; a function may not pass 60 (its whole text, decorators apart).
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_WARNS, FILE_FAILS, FUNCTION_FAILS = 250, 400, 60
ROOT = Path(__file__).parents[2]


def python_files(root: Path = ROOT) -> list[Path]:
    """Every Python file that git knows or would know; ignored files (virtual environments, caches) are not ours."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(path for name in set(names) if (path := root / name).exists())


def too_long(source: str) -> Iterator[str]:
    """What is over a hard limit in one file's text, each as words to follow the file's name."""
    lines = source.count("\n")
    if lines > FILE_FAILS:
        yield f": {lines} lines, the limit is {FILE_FAILS}; split it by noun"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_FAILS:
                yield f":{node.lineno}: {node.name} has {length} lines, the limit is {FUNCTION_FAILS}; name its parts"


def main() -> int:
    """Print every finding; 1 if any limit is passed."""
    failed = False
    for path in python_files():
        source, name = path.read_text(), path.relative_to(ROOT)
        for finding in too_long(source):
            failed = True
            print(f"error: {name}{finding}")
        if FILE_WARNS < (lines := source.count("\n")) <= FILE_FAILS:
            print(f"warning: {name}: {lines} lines; does it still hold one noun?")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
