"""Which ports: the real bind is replaced, but for one that is made."""

import errno
import socket

import pytest

from flagon import listening
from flagon.listening import CannotListen, addresses, more

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def machine(monkeypatch):
    """A machine where exactly these (family, port) cannot be bound."""
    asked = []

    def machine(refused):
        def bind(family, port):
            asked.append((family, port))
            return refused.get((family, port), 0)

        monkeypatch.setattr(listening, "try_bind", bind)
        return asked

    return machine


NO_IPV6 = {(V6, 8080): errno.EAFNOSUPPORT, (V6, 80): errno.EAFNOSUPPORT, (V6, 5000): errno.EAFNOSUPPORT}
NO_80 = {(V4, 80): errno.EACCES, (V6, 80): errno.EACCES}


@pytest.mark.parametrize(("refused", "port", "expected"), [
    ({}, None, ["0.0.0.0:8080", "[::]:8080", "0.0.0.0:80", "[::]:80"]),
    (NO_80, None, ["0.0.0.0:8080", "[::]:8080"]),
    (NO_IPV6, None, ["0.0.0.0:8080", "0.0.0.0:80"]),
    ({**NO_IPV6, **NO_80}, None, ["0.0.0.0:8080"]),
    ({(V4, 8080): errno.EADDRNOTAVAIL, **NO_80}, None, ["[::]:8080"]),
    ({}, 5000, ["0.0.0.0:5000", "[::]:5000"]),
    (NO_IPV6, 5000, ["0.0.0.0:5000"]),
    ({}, 8080, ["0.0.0.0:8080", "[::]:8080"]),
    ({}, 80, ["0.0.0.0:80", "[::]:80"]),
])  # fmt: skip
def test_addresses(machine, refused, port, expected):
    asked = machine(refused)
    assert addresses(port) == expected
    if port:
        assert {number for _, number in asked} == {port}, "PORT is given: no other port is looked at"


@pytest.mark.parametrize(("refused", "found", "expected"), [
    ({}, ["0.0.0.0:8080"], ["0.0.0.0:5000", "[::]:5000"]), (NO_IPV6, [], ["0.0.0.0:5000"]),
    ({(V4, 5000): errno.EADDRINUSE, (V6, 5000): errno.EACCES}, [], []),
    ({}, ["0.0.0.0:5000", "[::]:5000"], []), ({}, ["0.0.0.0:5000"], ["[::]:5000"]),
])  # fmt: skip
def test_a_port_that_the_start_command_means(machine, refused, found, expected):
    """Beside the main one: what cannot be had is no error."""
    machine(refused)
    assert more(found, 5000) == expected


def test_a_port_beside_that_the_running_box_has_counts_for_a_check(machine):
    machine({(V4, 5000): errno.EADDRINUSE, (V6, 5000): errno.EADDRINUSE})
    assert more([], 5000, taken=True) == ["0.0.0.0:5000", "[::]:5000"]


@pytest.mark.parametrize(("number", "hint"), [(errno.EACCES, True), (errno.EADDRINUSE, False)])
def test_a_port_that_must_be_had(machine, number, hint):
    machine({(V4, 80): number, (V6, 80): number})
    with pytest.raises(CannotListen) as caught:
        addresses(80)
    assert "port 80" in str(caught.value)
    assert ("-p 80:8080" in str(caught.value)) is hint


def test_a_main_port_that_is_taken_is_an_error_though_ipv6_is_free(machine):
    """Half a box that nobody on IPv4 reaches is worse than none."""
    machine({(V4, 8080): errno.EADDRINUSE})
    with pytest.raises(CannotListen):
        addresses(None)


def test_the_bind_is_real():
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert listening.try_bind(V4, port) == errno.EADDRINUSE
    assert listening.try_bind(V4, port) == 0
