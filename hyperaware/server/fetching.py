"""Pictures by URL, from hosts of an allow-list, and never from a private network.

A name is resolved once, every address that it has must be public, and the connection goes to the address that
was checked: a name that changes its mind in between changes nothing. Each redirect is checked like a first
URL. The size is counted while the bytes come.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from hyperaware.server.problems import Problem

__all__ = ["Fetcher", "is_public"]

REDIRECTS = 3
BLOCK = 2**16
PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Resolve = Callable[..., list[Any]]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    >>> [is_public(each) for each in ("93.184.215.14", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")]
    [True, False, False, False]
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    # An address inside an address would be judged by its shell.
    if ip.version == 6 and (ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip in NAT64):
        return False
    return ip.is_global and not ip.is_multicast


class Fetcher:
    """Fetches from `hosts` only: exact names, with ":port" where it is not the usual one.

    Args:
        seconds: for a picture, redirects included.
        most: bytes of a picture.
        resolve: `socket.getaddrinfo`.
        public: which addresses may be connected to.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        seconds: float,
        most: int,
        resolve: Resolve = socket.getaddrinfo,
        public: Callable[[str], bool] = is_public,
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._seconds, self._most, self._resolve, self._public = seconds, most, resolve, public

    def fetch(self, url: str, *, param: str) -> bytes:
        """The bytes behind a URL.

        Raises:
            Problem: 400 with the reason: host not allowed, address not public, too many redirects, too large,
                too slow, or an answer that is no picture.
        """
        end = time.monotonic() + self._seconds
        try:
            for _ in range(REDIRECTS + 1):
                parts, port = self._checked(url)
                location, data = self._get(parts, port, self._address(parts.hostname or "", port), end)
                if data is not None:
                    return data
                url = urljoin(url, location or "")
            raise _Refused("it redirects too often")
        except _Refused as error:
            raise Problem(400, f"{param}: {error}.", code="fetch_refused", param=param) from None
        except (OSError, http.client.HTTPException, ValueError):
            raise Problem(
                400, f"{param}: the URL cannot be fetched.", code="fetch_failed", param=param
            ) from None

    def _checked(self, url: str) -> tuple[SplitResult, int]:
        parts = urlsplit(url)
        if parts.scheme not in PORTS:
            raise _Refused("only http and https URLs are fetched")
        if parts.username is not None or parts.password is not None:
            raise _Refused("a URL with a user name is not fetched")
        host, usual = (parts.hostname or "").lower(), PORTS[parts.scheme]
        port = usual if parts.port is None else parts.port
        if (host if port == usual else f"{host}:{port}") not in self._hosts:
            raise _Refused("this host is not among those that may be fetched from")
        return parts, port

    def _address(self, host: str, port: int) -> str:
        """The first address of a host, all of whose addresses are public."""
        addresses = [str(found[4][0]) for found in self._resolve(host, port, type=socket.SOCK_STREAM)]
        if not addresses or not all(map(self._public, addresses)):
            raise _Refused("this host has an address that is not public")
        return addresses[0]

    def _get(
        self, parts: SplitResult, port: int, address: str, end: float
    ) -> tuple[str | None, bytes | None]:
        """Where the answer redirects to, or its body."""
        kind = _PinnedHTTPS if parts.scheme == "https" else _Pinned
        connection = kind(parts.hostname or "", port, address=address, timeout=_left(end))
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={"Accept": "image/*", "Accept-Encoding": "identity"})
            with connection.getresponse() as response:
                if response.status in (301, 302, 303, 307, 308):
                    return response.headers.get("Location", ""), None
                if response.status != 200:
                    raise _Refused(f"the host answers with status {response.status}")
                return None, self._body(response, connection, end)
        finally:
            connection.close()

    def _body(self, response: http.client.HTTPResponse, connection: "_Pinned", end: float) -> bytes:
        data = bytearray()
        while True:
            connection.reads_within(_left(end))
            block = response.read1(BLOCK)
            if not block:
                return bytes(data)
            data += block
            if len(data) > self._most:
                raise _Refused(f"the picture is larger than {self._most:,} bytes")


class _Refused(Exception):
    """A reason that may be told."""


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise _Refused("fetching takes too long")
    return left


class _Pinned(http.client.HTTPConnection):
    """A connection to one address, whatever the host's name resolves to by now."""

    def __init__(self, host: str, port: int, *, address: str, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address = address

    def connect(self) -> None:
        self.sock = self._socket = socket.create_connection((self._address, self.port), self.timeout)

    def reads_within(self, seconds: float) -> None:
        """Let the next read take at most so long. The library forgets a socket that the host will close."""
        self._socket.settimeout(seconds)


class _PinnedHTTPS(_Pinned):
    """The same with TLS; the certificate must be the name's."""

    def connect(self) -> None:
        super().connect()
        context = ssl.create_default_context()
        self.sock = self._socket = context.wrap_socket(self.sock, server_hostname=self.host)
