"""Signals that ask a run to stop."""

import signal

import pytest

from nst_jax.system.interrupts import StopRequest, stop_requests

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def handlers():
    """The handlers before a test, which it has to find again when it ends."""
    # Whatever the tests were started by: Ctrl-C raises, and SIGTERM would end the process.
    earlier = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: pytest.fail("SIGTERM was not caught"))
    yield {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in earlier.items():
        signal.signal(number, handler)


def current_handlers():
    return {number: signal.getsignal(number) for number in SIGNALS}


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_sets_the_request_and_does_not_raise(number):
    with stop_requests() as request:
        assert not request
        signal.raise_signal(number)
        assert request
    assert request.signal_number == number


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_code_is_that_of_shells(number, code):
    with stop_requests() as request:
        signal.raise_signal(number)
    assert request.exit_code == code


def test_request_is_not_set_without_a_signal():
    with stop_requests() as request:
        pass
    assert not request
    assert request.signal_number is None


def test_second_interrupt_acts_at_once():
    with stop_requests() as request:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert request


def test_interrupt_after_sigterm_acts_at_once():
    with stop_requests() as request:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert request.exit_code == 143


@pytest.mark.parametrize("number", [None, *SIGNALS])
def test_handlers_are_restored_at_the_end(handlers, number):
    with stop_requests():
        assert current_handlers() != handlers
        if number:
            signal.raise_signal(number)
    assert current_handlers() == handlers


def test_handlers_are_restored_after_an_exception(handlers):
    def fail():
        with stop_requests():
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert current_handlers() == handlers


def test_requests_do_not_share_their_signal():
    with stop_requests() as first:
        signal.raise_signal(signal.SIGINT)
    assert first
    assert not StopRequest()
