"""The measures work where there is no /proc, too, and say so where they cannot."""

import importlib.util
import os
import sys

import pytest

VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               100.
Pages active:                          500000.
Pages inactive:                           200.
Pages speculative:                         50.
"""
PS = f"    1  12288   0.0 /sbin/launchd\n{os.getpid():5} 204800  12,5 /Applications/A B/python3\n"


@pytest.fixture
def machine(program):
    spec = importlib.util.spec_from_file_location("example_machine", program("machine.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@pytest.fixture
def without_proc(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_PROC", tmp_path / "none")
    return machine


def test_this_process_is_among_the_processes(machine):
    found = {process.pid: process for process in machine.processes()}

    assert found[os.getpid()].rss_bytes > 2**20
    assert found[os.getpid()].cpu_percent >= 0


def test_ps_stands_in_for_proc(without_proc, monkeypatch):
    monkeypatch.setattr(without_proc, "_run", lambda *_: PS)

    assert without_proc.processes() == [
        (1, "launchd", 12288 * 1024, 0.0),
        (os.getpid(), "python3", 204800 * 1024, 12.5),
    ]


def test_vm_stat_stands_in_for_proc(without_proc, monkeypatch):
    monkeypatch.setattr(without_proc, "_run", lambda *command: "17179869184\n" if command[0] == "sysctl" else VM_STAT)

    assert without_proc.memory() == (17179869184, 350 * 16384)


def test_what_nothing_can_tell_is_not_measured(without_proc, monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(without_proc.NotMeasured, match="neither /proc nor `sysctl`"):
        without_proc.memory()
