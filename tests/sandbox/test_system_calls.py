"""The filter of system calls: what the kernel answers, and what it would answer on the other machines."""

import errno
import json
import platform
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from vecparity.sandbox import system_calls

NUMBERS = system_calls._NUMBERS | system_calls._CONDITIONAL_NUMBERS
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
NOWAIT = system_calls._RWF_NOWAIT
# Calls with their arguments, and whether they are refused.
CONDITIONAL: list[tuple[str, Sequence[int], bool]] = [
    ("prlimit64", (0, 3), False),
    ("prlimit64", (1 << 32, 3), False),  # the kernel reads the lower half of a process's number
    ("prlimit64", (7, 3), True),
    ("setpriority", (0, 0, 1), False),
    ("setpriority", (0, 7, 1), True),
    ("setpriority", (1, 0, 1), True),
    ("setpriority", (2, 0, 1), True),
    ("ioprio_set", (1, 0), False),
    ("ioprio_set", (1, 7), True),
    ("ioprio_set", (3, 0), True),
    *[
        (name, (pid,), bool(pid))
        for name in ("sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
        for pid in (0, 7)
    ],
    *[
        (name, (3, 0, 1, 0, 0, flags), bool(flags & NOWAIT))
        for name in ("preadv2", "pwritev2")
        for flags in (0, 2, NOWAIT, NOWAIT | 1)
    ],
    *[("fcntl", (3, command), 1035 <= command <= 1038) for command in (1, 4, 1030, *range(1034, 1040))],
]


def answer(machine: str, number: int, arguments: Sequence[int] = (), architecture: int | None = None) -> int:
    """Runs the filter as the kernel does, and returns its answer."""
    architecture = system_calls._ARCHITECTURES[machine] if architecture is None else architecture
    values = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *values)
    program = system_calls._program(machine)
    value, place = 0, 0
    while True:
        operation, if_true, if_false, operand = program[place]
        place += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
            continue
        holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[operation]
        place += if_true if holds else if_false


@pytest.mark.parametrize("machine", HEADERS)
def test_the_numbers_are_the_kernels(machine: str) -> None:
    header = next((path for path in map(Path, HEADERS[machine]) if path.exists()), None)
    if header is None:
        pytest.skip(f"needs the kernel's headers for {machine}")
    found = {name: int(number) for name, number in re.findall(r"__NR(?:3264)?_(\w+) (\d+)\n", header.read_text())}
    index = list(HEADERS).index(machine)
    ours = {name: numbers[index] for name, numbers in NUMBERS.items()}
    assert len(ours.keys() & found.keys()) > 50
    assert {name: number for name, number in ours.items() if name in found} == {
        name: found[name] for name in ours if name in found
    }
    assert max(found.values()) < system_calls._FIRST_UNKNOWN


@pytest.mark.parametrize("machine", HEADERS)
def test_the_filter_refuses_what_is_listed_and_no_more(machine: str) -> None:
    index = list(HEADERS).index(machine)
    listed = {numbers[index] for numbers in system_calls._NUMBERS.values()}
    assert len(listed) == len(system_calls._NUMBERS)
    refused = {number for number in range(600) if answer(machine, number) == system_calls._REFUSE}
    assert refused - listed == {NUMBERS["ioprio_set"][index]}  # of no kind of process
    assert listed <= refused
    newer = [answer(machine, number) for number in (system_calls._FIRST_UNKNOWN, 599, 0x3FFFFFFF)]
    assert newer == [system_calls._MISSING] * 3
    assert answer(machine, 0x40000000) == answer(machine, 2**32 - 1) == system_calls._REFUSE
    assert answer(machine, 0, architecture=0x40000003) == system_calls._REFUSE  # i386's convention


@pytest.mark.parametrize("machine", HEADERS)
@pytest.mark.parametrize(("name", "arguments", "is_refused"), CONDITIONAL)
def test_the_filter_looks_at_arguments(machine: str, name: str, arguments: Sequence[int], is_refused: bool) -> None:
    number = NUMBERS[name][list(HEADERS).index(machine)]
    expected = system_calls._REFUSE if is_refused else system_calls._ALLOW
    assert answer(machine, number, arguments) == expected


IN_FORCE = """
import ctypes, json, os, sys
from vecparity.sandbox import privileges, system_calls
privileges.renounce()
libc = ctypes.CDLL(None, use_errno=True)
def code(number, arguments):
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(number, *map(ctypes.c_long, arguments)) == -1 else 0
calls = json.loads(sys.argv[1])
child = os.fork()
if child == 0:
    print(json.dumps([code(number, arguments) for number, arguments in calls]), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_the_kernel_keeps_the_filter_for_children_too() -> None:
    if problem := system_calls.why_not():
        pytest.skip(f"the filter {problem}")
    index = list(HEADERS).index(platform.machine())
    whole = [(numbers[index], [-1] * 6) for numbers in system_calls._NUMBERS.values()]
    some = [(NUMBERS[name][index], list(arguments)) for name, arguments, is_refused in CONDITIONAL if is_refused]
    calls = [*whole, *some, (system_calls._FIRST_UNKNOWN, [])]
    done = subprocess.run(
        [sys.executable, "-c", IN_FORCE, json.dumps(calls)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [*[errno.EPERM] * (len(calls) - 1), errno.ENOSYS]


def test_a_machine_without_the_filter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert system_calls.why_not() == "needs a processor of the kind x86_64 or aarch64, got riscv64"
    assert system_calls.number("keyctl") is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert system_calls.why_not() == "needs Linux, got darwin"


def test_a_filter_that_the_kernel_does_not_take_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    if problem := system_calls.why_not():
        pytest.skip(f"the filter {problem}")
    monkeypatch.setattr(system_calls, "_program", lambda machine: [(0xFFFF, 0, 0, 0)])
    with pytest.raises(OSError, match="expected the kernel to take a filter of system calls, got "):
        system_calls.refuse()
