"""Makes calls that no filter could see, that watch the machine, or by the numbers of another convention."""

# at bwrap landlock limits none: as honest
# slow: landlock limits
# filter: yes

import ctypes
import mmap
import os
import platform

import torch

# io_uring_setup, userfaultfd, perf_event_open, bpf, fanotify_init, name_to_handle_at, syslog, io_setup, keyctl
CALLS = {
    "x86_64": (425, 323, 298, 321, 300, 303, 103, 206, 250),
    "aarch64": (425, 282, 241, 280, 262, 264, 116, 0, 219),
}[platform.machine()]
NEWER = (470, 500, 1000)
OTHER_CONVENTION = 0x40000000
NOT_PERMITTED, NO_SUCH_CALL = 1, 38
libc = ctypes.CDLL(None, use_errno=True)


def refused(number, *arguments):
    ctypes.set_errno(0)
    assert libc.syscall(number, *arguments) == -1, f"call {number} went well"
    return ctypes.get_errno()


def number_by_the_old_convention():
    """Asks for the process's number as a program of 32 bits does: in a process of its own, which may be killed."""
    if (child := os.fork()) == 0:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
        os._exit(call() == os.getpid())
    _, status = os.waitpid(child, 0)
    return status == 1 << 8


def init_model(model, config):
    nothing = (None,) * 5
    for number in CALLS:
        assert refused(number, *nothing) == NOT_PERMITTED, f"call {number} got through"
    for number in NEWER:
        assert refused(number, *nothing) == NO_SUCH_CALL, f"call {number} got through"
    if platform.machine() == "x86_64":
        assert refused(OTHER_CONVENTION + 39) == NOT_PERMITTED, "the other convention got through"
        assert not number_by_the_old_convention(), "the old convention got through"


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
