"""An archive fetched from an address that a visitor gave: never from a private network, never more than it may have.

The name is resolved here, every address that it has must be a public one, and the connection goes to the address that
was checked: so neither a redirect nor a second answer of the name server leads elsewhere.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import httpcore

from demo.texts import Text

REDIRECTS = 5
TIMEOUT_S = 20
"""For a connection and for each piece that comes."""
LONGEST_S = 600
"""For all of it: a sender who dribbles is left."""

HEADERS = {"Accept-Encoding": "identity"}
"""Nothing that would grow when it is unpacked."""

Resolve = Callable[[str, int], Iterable[str]]


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as the system's resolver gives them."""
    return [found[4][0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Whether an address is one of the public Internet; one that carries another (IPv4 in IPv6) must be so inside."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            found = found.ipv4_mapped
        elif found.sixtofour or found.teredo or found in ipaddress.ip_network("64:ff9b::/96") or found.is_site_local:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


class PublicOnly(httpcore.NetworkBackend):
    """Connects to public addresses only."""

    def __init__(self, resolve: Resolve = resolve, network: httpcore.NetworkBackend | None = None):
        self._resolve, self._network = resolve, network or httpcore.SyncBackend()

    def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        try:
            addresses = list(self._resolve(host, port))
        except OSError as error:
            raise ValueError(Text("annotate.fetch-unknown", host=host)) from error
        if not addresses or not all(map(is_public, addresses)):
            raise ValueError(Text("annotate.fetch-private", host=host))
        return self._network.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    def connect_unix_socket(self, path, timeout=None, socket_options=None):
        raise ValueError(Text("annotate.fetch-private", host=path))


def fetch(url: str, into: Path, most_bytes: int, network: httpcore.NetworkBackend | None = None) -> None:
    """Fetch a file into a path.

    Args:
        url: ``https://…`` or ``http://…``.
        most_bytes: that it may have.
        network: how connections are made; `PublicOnly` unless a test says otherwise.

    Raises:
        ValueError: no such address, one of a private network, too large, too slow, or an answer other than the file.
    """
    deadline = time.monotonic() + LONGEST_S
    with httpcore.ConnectionPool(network_backend=network or PublicOnly()) as pool, into.open("wb") as file:
        for _ in range(REDIRECTS + 1):
            onward = _one(pool, url, file, most_bytes, deadline)
            if onward is None:
                return
            url = urljoin(url, onward)
    raise ValueError(Text("annotate.fetch-redirects", most=REDIRECTS))


def _one(pool: httpcore.ConnectionPool, url: str, file: BinaryIO, most: int, deadline: float) -> str | None:
    """One request; gives where it is redirected to, or None once the file is there."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(Text("annotate.fetch-address", url=url[:200]))
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
    try:
        with pool.stream("GET", url, headers=HEADERS, extensions={"timeout": timeouts}) as answer:
            headers = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
            if answer.status in (301, 302, 303, 307, 308) and b"location" in headers:
                return headers[b"location"]
            if answer.status != 200:
                raise ValueError(Text("annotate.fetch-status", status=answer.status))
            taken = 0
            for piece in answer.iter_stream():
                taken += len(piece)
                if taken > most:
                    raise ValueError(Text("annotate.fetch-large", most=round(most / 1e6)))
                if time.monotonic() > deadline:
                    raise ValueError(Text("annotate.fetch-slow"))
                file.write(piece)
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
        raise ValueError(Text("annotate.fetch-failed", cause=str(error) or type(error).__name__)) from error
    except (UnicodeError, httpcore.UnsupportedProtocol) as error:
        raise ValueError(Text("annotate.fetch-address", url=url[:200])) from error
    return None
