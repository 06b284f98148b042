import signal
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


def test_an_exception_leaves_the_handlers_as_they_were() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="no"), undisturbed():
        raise ValueError("no")
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_do_without() -> None:
    def work() -> None:
        with undisturbed():
            done.append(True)

    done: list[bool] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
