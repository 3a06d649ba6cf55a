"""Loopback ports for servers that cannot be told to take port 0.

`reserve_port` hands out a TCP port that nobody listens on and that nobody is given by chance:

* it lies below the range from which the kernel takes ports for outgoing connections, so a server that is down
  for a while gets the same port again;
* as long as the reservation is held, we hold the UDP port of the same number. That keeps test processes that
  run side by side apart, leaves no files, and ends with the process however that ends.
"""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass
from pathlib import Path

_HOST = "127.0.0.1"
_LOWEST = 20000
_KERNELS_OWN = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 1000


@dataclass(frozen=True)
class PortReservation:
    """A port that is ours until `release`."""

    number: int
    _lock: socket.socket

    def release(self) -> None:
        """Give the port back; harmless when repeated."""
        self._lock.close()


def reserve_port() -> PortReservation:
    """Reserve a free TCP port of 127.0.0.1."""
    end = int(_KERNELS_OWN.read_text().split()[0]) if _KERNELS_OWN.exists() else 32768
    if end <= _LOWEST:  # an unusual machine; what the lock gives has to do there
        end = 65535
    choose = random.SystemRandom()  # not `random` itself: test plugins give all processes the same seed
    for _ in range(_TRIES):
        number = choose.randrange(_LOWEST, end)
        lock = socket.socket(type=socket.SOCK_DGRAM)
        try:
            lock.bind((_HOST, number))
            with socket.socket() as probe:
                # As servers do: connections that still linger from the last one are no hindrance.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((_HOST, number))
        except OSError:
            lock.close()
        else:
            return PortReservation(number, lock)
    raise OSError(f"none of {_TRIES} ports tried between {_LOWEST} and {end} is free on {_HOST}")
