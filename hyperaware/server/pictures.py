"""The bytes of a picture in a request: a `data:` URL, or one of a host that is allowed."""

import base64
import binascii

from hyperaware.server.fetching import Fetcher
from hyperaware.server.problems import Problem

__all__ = ["picture_bytes"]


def picture_bytes(url: str, *, param: str, most: int, fetcher: Fetcher | None) -> bytes:
    """The file behind a URL. What the URL says of its kind is ignored: the content decides.

    Args:
        param: where the URL stands in the request, for messages.
        most: bytes of the file.
        fetcher: None where nothing is fetched.

    Raises:
        Problem: 400: no URL of a kind that is taken, not base64, too large, or a host that is not allowed.
    """
    if url[:5].lower() == "data:":
        return _decoded(url, param, most)
    if fetcher is None:
        raise Problem(
            400,
            f"{param}: only data: URLs are taken (data:image/png;base64,...); this server fetches nothing.",
            code="unsupported_url",
            param=param,
        )
    return fetcher.fetch(url, param=param)


def _decoded(url: str, param: str, most: int) -> bytes:
    head, comma, body = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise Problem(
            400, f"{param}: expected data:image/png;base64,...", code="unsupported_url", param=param
        )
    if len(body) * 3 // 4 > most + 3:
        raise Problem(
            400, f"{param}: the picture is larger than {most:,} bytes.", code="too_large", param=param
        )
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(
            400, f"{param}: what follows the comma is not base64.", code="corrupt", param=param
        ) from None
