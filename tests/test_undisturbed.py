import _thread
import signal
import subprocess
import sys
import threading

import pytest

from vecparity.undisturbed import undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_wait_for_the_end(number: signal.Signals) -> None:
    arrived: list[int] = []
    before = signal.signal(number, lambda own, _: arrived.append(own))
    try:
        with undisturbed():
            signal.raise_signal(number)
            signal.raise_signal(number)
            assert arrived == []
        assert arrived == [number]
        signal.raise_signal(number)
        assert arrived == [number, number]
    finally:
        signal.signal(number, before)


def test_a_signal_arrives_though_the_process_blocks_it() -> None:
    """Ray's workers block SIGINT, and are told of it by `_thread.interrupt_main`, which needs no signal."""
    arrived: list[int] = []
    before = signal.signal(signal.SIGINT, lambda own, _: arrived.append(own))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with undisturbed():
            _thread.interrupt_main()
            assert arrived == []
        assert arrived == [signal.SIGINT]
        assert not signal.sigpending()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_what_the_system_does_at_a_signal_is_done(handler: signal.Handlers) -> None:
    code = (
        "import signal; from vecparity.undisturbed import undisturbed\n"
        f"signal.signal(signal.SIGTERM, signal.Handlers({handler:d}))\n"
        "with undisturbed():\n    signal.raise_signal(signal.SIGTERM)\n    print('held', flush=True)\n"
        "print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    expected = (0, "held\nwent on\n") if handler == signal.SIG_IGN else (-signal.SIGTERM, "held\n")
    assert (done.returncode, done.stdout) == expected, done.stderr


def test_an_exception_leaves_the_handlers_as_they_were() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="no"), undisturbed():
        raise ValueError("no")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_arrives_after_an_exception() -> None:
    def fail() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("no")

    with pytest.raises(KeyboardInterrupt):
        fail()


def test_other_threads_do_without() -> None:
    def work() -> None:
        with undisturbed():
            done.append(True)

    done: list[bool] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
