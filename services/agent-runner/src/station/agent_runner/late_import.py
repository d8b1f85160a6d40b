"""Imports what costs seconds and a hundred megabytes when it is first needed, and without stopping the loop."""

import asyncio
import importlib
import threading
from types import ModuleType

_one_at_a_time = threading.Lock()


async def late_import(module: str) -> ModuleType:
    """Import a module in a thread. Big packages share parts, so only one is imported at a time."""
    return await asyncio.to_thread(_imported, module)


def _imported(module: str) -> ModuleType:
    with _one_at_a_time:
        return importlib.import_module(module)
