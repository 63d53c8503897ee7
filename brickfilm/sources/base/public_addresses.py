"""Keep the downloads of a stranger's dataset or list away from this network's own addresses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from brickfilm.errors import UsageError

WEB_SCHEMES = ("http", "https")
GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that IANA gives to the internet; to Python, addresses that it does not know are global."""
NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: a gateway connects to the IPv4 address in the last 32 bits."""
_GUARD = threading.local()
_resolve = socket.getaddrinfo


class PrivateAddressError(OSError):
    """A host of a download is on this machine or in its network."""


@contextmanager
def public_addresses_only(trusted: Collection[str] = ()) -> Iterator[None]:
    """Refuse every connection of this thread to a host that is not on the public internet.

    trusted: names of hosts that the user wrote, which may be anywhere.

    The name is resolved once and the answer is used, so that neither a redirect nor a second answer
    of a name server leads elsewhere. Behind a proxy, the proxy resolves names: it must do this.
    """
    socket.getaddrinfo = _resolve_public  # the one door of urllib, requests and yt-dlp
    before = getattr(_GUARD, "trusted", None)
    _GUARD.trusted = frozenset(trusted)
    try:
        yield
    finally:
        _GUARD.trusted = before


def check_web_address(url: str, schemes: Collection[str] = WEB_SCHEMES) -> None:
    """Raise UsageError for a URL that is not of the web, such as a file."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(
            f"the source_url {url[:200]!r} is not a web address: put the video into a folder, "
            "--sources FOLDER"
        )


def is_public(address: str) -> bool:
    """Return True for an address of the public internet, not one that only leads to an IPv4 one."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        translated = IPv4Address(ip.packed[-4:]) if ip in NAT64 else None
        teredo = ip.teredo[1] if ip.teredo else None
        inner = translated or ip.ipv4_mapped or ip.sixtofour or teredo
        if inner is None and ip not in GLOBAL_UNICAST:
            return False
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


def _resolve_public(host: Any, *args: Any, **options: Any) -> Any:
    found = _resolve(host, *args, **options)
    trusted = getattr(_GUARD, "trusted", None)
    if trusted is not None and host not in trusted:
        for *_, place in found:
            if not is_public(str(place[0])):
                raise PrivateAddressError(
                    f"{host!r} is at {place[0]}, which is not a public address: if you trust the "
                    "dataset or list, add --allow-private"
                )
    return found
