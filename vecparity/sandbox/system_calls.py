"""System calls that no process of a sandbox may make, at any level: a filter that the kernel keeps, permanently.

A strategy must not reach into other processes, nor leave anything in the kernel that a later worker could find: an
object that outlives its maker, or what it did to a file that both can read. A refused call fails with EPERM.

Sources: https://docs.kernel.org/userspace-api/seccomp_filter.html and, for the numbers, the kernel's headers.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence

# The machines that the numbers below are for, in this order, and the kernel's names of them (linux/audit.h).
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_MACHINES = tuple(_ARCHITECTURES)
_NUMBERS = {
    # Reach into other processes: their memory, registers, files and pages.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # Tell which pages of a file are in memory, and so which of them another worker has read.
    "mincore": (27, 232),
    "cachestat": (451, 451),
    "io_setup": (206, 0),  # its reads may have the flag that is refused to `preadv2`, where no filter can see it
    "io_submit": (209, 2),
    # System V's shared memory, semaphores and messages, which outlive their makers.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    # POSIX's message queues, which do, too.
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183),
    "mq_notify": (244, 184),
    "mq_getsetattr": (245, 185),
    # Keys of a user or a session, and the kernel's log, in which a crash is noted.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "syslog": (103, 116),
    # Make calls that no filter sees, run code in the kernel, or watch it and its files at work.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}
# Calls that are refused with some arguments only.
_CONDITIONAL_NUMBERS = {
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "preadv2": (327, 286),
    "pwritev2": (328, 287),
    "fcntl": (72, 25),
}
_IOPRIO_WHO_PROCESS = 1
# Arguments, by index, that must have a value: the caller changes itself, which has the number 0, and nobody else.
_ITSELF: dict[str, dict[int, int]] = {
    "prlimit64": {0: 0},
    "setpriority": {0: os.PRIO_PROCESS, 1: 0},
    "sched_setaffinity": {0: 0},
    "sched_setscheduler": {0: 0},
    "sched_setparam": {0: 0},
    "sched_setattr": {0: 0},
    "ioprio_set": {0: _IOPRIO_WHO_PROCESS, 1: 0},
}
# A flag that an argument must not have: read what is in memory, and do not wait for what is not.
_RWF_NOWAIT = 0x8
_FLAGS = {"preadv2": (5, _RWF_NOWAIT), "pwritev2": (5, _RWF_NOWAIT)}
# Values that an argument must not have: marks that a file keeps for as long as it is in memory.
_F_GET_RW_HINT, _F_SET_RW_HINT, _F_GET_FILE_RW_HINT, _F_SET_FILE_RW_HINT = range(1035, 1039)
_VALUES = {"fcntl": (1, (_F_GET_RW_HINT, _F_SET_RW_HINT, _F_GET_FILE_RW_HINT, _F_SET_FILE_RW_HINT))}
# Calls from here on are newer than these tables (Linux 6.18): to a strategy, the kernel does not have them.
_FIRST_UNKNOWN = 470
# Numbers from here on are the calls of another convention of x86_64.
_OTHER_CONVENTION = 0x40000000

# Seccomp: its prctl constants, and a filter's answers (linux/seccomp.h).
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_ALLOW, _REFUSE, _MISSING = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
# Instructions of the kernel's packet filter, in which seccomp's filters are written (linux/bpf_common.h): an operation,
# how many instructions to skip if it holds and if not, and its operand.
Instruction = tuple[int, int, int, int]
_LOAD, _IS_EQUAL, _IS_AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Offsets in the data of a call; of an argument, those of its lower half: all above are 32 bits wide.
_NUMBER, _ARCHITECTURE, _ARGUMENTS, _ARGUMENT_BYTES = 0, 4, 16, 8


def why_not() -> str | None:
    """Returns the reason why this machine cannot refuse system calls to a strategy; None if it does."""
    if not sys.platform.startswith("linux"):
        return f"needs Linux, got {sys.platform}"
    if platform.machine() not in _MACHINES:
        return f"needs a processor of the kind {' or '.join(_MACHINES)}, got {platform.machine()}"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, None, 0, 0)  # a filter at no address changes nothing
    if ctypes.get_errno() != errno.EFAULT:
        return "needs a kernel with seccomp's filters (CONFIG_SECCOMP_FILTER)"
    return None


def number(name: str) -> int | None:
    """Returns a call's number on this machine; None if the machine is not among those in the tables."""
    if platform.machine() not in _MACHINES:
        return None
    return (_NUMBERS | _CONDITIONAL_NUMBERS)[name][_MACHINES.index(platform.machine())]


def refuse() -> None:
    """Refuses the calls to this thread and its future children; the thread can gain no new privileges already.

    Raises:
        OSError: The kernel does not take the filter, although `why_not` knows no reason.
    """
    program = _program(platform.machine())
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    filter_ = struct.pack("@HP", len(program), ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"expected the kernel to take a filter of system calls, got {os.strerror(code)}")


def _program(machine: str) -> list[Instruction]:
    index = _MACHINES.index(machine)
    conditional = {name: numbers[index] for name, numbers in _CONDITIONAL_NUMBERS.items()}
    return [
        _load(_ARCHITECTURE),
        *_unless(_IS_EQUAL, _ARCHITECTURES[machine], [_answer(_REFUSE)]),
        _load(_NUMBER),
        *_if(_IS_AT_LEAST, _OTHER_CONVENTION, [_answer(_REFUSE)]),
        *_if(_IS_AT_LEAST, _FIRST_UNKNOWN, [_answer(_MISSING)]),
        *_conditions(conditional),
        *(part for numbers in _NUMBERS.values() for part in _if(_IS_EQUAL, numbers[index], [_answer(_REFUSE)])),
        _answer(_ALLOW),
    ]


def _conditions(numbers: Mapping[str, int]) -> Iterator[Instruction]:
    for name, values in _ITSELF.items():
        tests = [
            part
            for argument, value in values.items()
            for part in (_load_argument(argument), *_unless(_IS_EQUAL, value, [_answer(_REFUSE)]))
        ]
        yield from _if(_IS_EQUAL, numbers[name], [*tests, _answer(_ALLOW)])
    for name, (argument, flag) in _FLAGS.items():
        tests = [_load_argument(argument), *_if(_HAS_BITS, flag, [_answer(_REFUSE)])]
        yield from _if(_IS_EQUAL, numbers[name], [*tests, _answer(_ALLOW)])
    for name, (argument, refused) in _VALUES.items():
        tests = [part for value in refused for part in _if(_IS_EQUAL, value, [_answer(_REFUSE)])]
        yield from _if(_IS_EQUAL, numbers[name], [_load_argument(argument), *tests, _answer(_ALLOW)])


def _load(offset: int) -> Instruction:
    return _LOAD, 0, 0, offset


def _load_argument(index: int) -> Instruction:
    return _load(_ARGUMENTS + _ARGUMENT_BYTES * index)


def _answer(answer: int) -> Instruction:
    return _RETURN, 0, 0, answer


def _if(test: int, operand: int, then: Sequence[Instruction]) -> list[Instruction]:
    return [(test, 0, len(then), operand), *then]


def _unless(test: int, operand: int, then: Sequence[Instruction]) -> list[Instruction]:
    return [(test, len(then), 0, operand), *then]
