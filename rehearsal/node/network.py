"""Where pods are reached: addresses, and the TLS servers on them.

`SimulatedNetwork` has no sockets: a handshake with it is a look into a table, for simulations on a fake clock.
`rehearsal.live.loopback` puts the same on real sockets.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from certlag.clock import Clock
from certlag.model import Endpoint, Presented, Probe, ProbeError, ProbeFailure
from certlag.x509.certificates import InvalidCertificateError, read_chain
from rehearsal.pki import der_of

SHARE = 10
"""One connection in this many is taken by an old process, where there is one."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """What a TLS server loads at its start, as PEM: its chain, its key, and who signs its clients."""

    certificate: bytes
    key: bytes
    client_authority: bytes


class Network(Protocol):
    """The addresses of pods."""

    def assign(self) -> str:
        """Return an address for a new pod."""
        ...

    def release(self, address: str) -> None:
        """Take an address back."""
        ...

    def listen(self, address: str, port: int, pair: KeyPair, old: KeyPair | None = None) -> None:
        """Serve TLS there; with `old` every tenth connection is answered by a process that has loaded that.

        Raises:
            OSError: it cannot be had.
        """
        ...

    def close(self, address: str, port: int) -> None:
        """Serve there no longer, and drop anyone who is connected."""
        ...


class SimulatedNetwork:
    """A network without sockets."""

    def __init__(self) -> None:
        self._numbers = itertools.count(2)
        self._servers: dict[tuple[str, int], Iterator[KeyPair]] = {}

    def assign(self) -> str:
        """Return an address that no pod had before."""
        number = next(self._numbers)
        return f"10.{88 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"

    def release(self, address: str) -> None:
        """Take an address back; it is not given to another."""

    def listen(self, address: str, port: int, pair: KeyPair, old: KeyPair | None = None) -> None:
        """Serve there."""
        if (address, port) in self._servers:
            raise OSError(f"{address}:{port}: address already in use")
        self._servers[address, port] = itertools.cycle((*(pair,) * (SHARE - 1), old or pair))

    def close(self, address: str, port: int) -> None:
        """Serve there no longer."""
        self._servers.pop((address, port), None)

    def shake_hands(self, endpoint: Endpoint, clock: Clock) -> Probe:
        """Do as `certlag.tls.handshake.probe` would on sockets, in no time."""
        pair = next(self._servers.get((endpoint.address, endpoint.port), iter(())), None)
        outcome: Presented | ProbeError
        if pair is None:
            outcome = ProbeError(ProbeFailure.CONNECTION_REFUSED, "nothing listens")
        else:
            try:
                outcome = Presented(read_chain(der_of(pair.certificate)))
            except InvalidCertificateError as error:
                outcome = ProbeError(ProbeFailure.INVALID_CERTIFICATE, str(error))
        return Probe(endpoint, outcome, clock.now(), timedelta(0))
