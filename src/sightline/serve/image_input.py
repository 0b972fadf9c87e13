"""Pictures from requests: data URLs, and addresses where the server was told to fetch; bytes and pixels are
limited before anything is decoded.

Nothing of a picture is kept but its pixels, scaled as the model sees them. C,Y,X: channels and sides.
"""

import base64
import binascii
import http.client
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

import numpy as np

from sightline.data.http_connection import FetchError, cut_off_after, open_connection, split_url
from sightline.data.image_workers import ImageWorkers
from sightline.data.images import ImageError
from sightline.serve.api_error import ApiError
from sightline.serve.deploy.deployment import Limits

DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,", re.IGNORECASE)
REDIRECTS = (301, 302, 303, 307, 308)
HOPS = 3
CHUNK = 1 << 16


@dataclass(frozen=True)
class Picture:
    """`pixels_CYX` as the model was trained with them; the picture had `height` x `width` pixels."""

    pixels_CYX: np.ndarray
    height: int
    width: int


def is_picture(text: str) -> bool:
    return text[:11].lower() == "data:image/"


def read(
    url: str, pixels: Callable[[list[np.ndarray]], np.ndarray], limits: Limits, fetch: bool,
    workers: ImageWorkers,
) -> Picture:  # fmt: skip
    """The picture behind a data URL, or behind https where `fetch`. `pixels`: Session.pixels.

    Raises ApiError: 400 for what is no picture, 413 for what is too large.
    """
    return ready(decode(url, limits, fetch, workers), pixels)


def ready(rgb: np.ndarray, pixels: Callable[[list[np.ndarray]], np.ndarray]) -> Picture:
    """A picture, uint8 [Y, X, 3], as the model takes it. `pixels`: Session.pixels."""
    return Picture(pixels([rgb])[0], *rgb.shape[:2])


def decode(url: str, limits: Limits, fetch: bool, workers: ImageWorkers) -> np.ndarray:
    """The pixels, uint8 [Y, X, 3], behind an address; refuses as `read` says."""
    data = _bytes(url, limits, fetch)
    if len(data) > limits.picture_bytes:
        raise _too_large(f"the picture has {len(data)} bytes, {limits.picture_bytes} are taken")
    try:
        rgb = workers.decode(data, limits.pixels)
    except ImageError as error:
        if error.reason == "too_many_pixels":
            raise _too_large(f"the picture has more than {limits.pixels} pixels; shrink it") from error
        raise _refused(f"the picture is refused ({error.reason}): {_plain(error)}") from error
    height, width = rgb.shape[:2]
    if max(height, width) > limits.aspect * min(height, width):
        raise _refused(f"{width} x {height} pixels: one side is over {limits.aspect} times the other")
    return rgb


def _bytes(url: str, limits: Limits, fetch: bool) -> bytes:
    if is_picture(url):
        head = DATA_URL.match(url)
        if not head:
            raise _refused("the data URL is not of the form data:image/<type>;base64,<data>")
        try:
            return base64.b64decode(url[head.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise _refused("the data URL holds no base64") from error
    if not fetch:
        raise _refused("this server fetches no pictures: send a data URL (data:image/png;base64,...)")
    try:
        return download(url, limits.picture_bytes, time.monotonic() + limits.fetch_s)
    except FetchError as error:
        if error.reason == "too_large":
            raise _too_large(f"the picture has more than {limits.picture_bytes} bytes") from error
        raise _refused(f"the picture cannot be fetched ({error.reason})") from error


def download(url: str, max_bytes: int, deadline: float) -> bytes:
    """The body behind an https address on the public internet, through at most three redirects.

    Every hop is resolved once, every address of it must be public, and the connection goes to such an
    address (`data.connect`). Raises FetchError.
    """
    for _ in range(HOPS + 1):
        parts = split_url(url)
        if parts.scheme != "https":
            raise FetchError("scheme", "expected https://")
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise FetchError("timeout", "too slow")
        try:
            connection = open_connection(parts, left_s, public_only=True, allow=())
            try:
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                with cut_off_after(connection, deadline - time.monotonic()):
                    connection.request(
                        "GET", target, headers={"Accept": "image/*", "Accept-Encoding": "identity"}
                    )
                    response = connection.getresponse()
                    if response.status in REDIRECTS and (location := response.headers.get("Location")):
                        url = urljoin(url, location)
                        continue
                    if response.status != 200:
                        raise FetchError("status", f"status {response.status}")
                    return _body(response, max_bytes)
            finally:
                connection.close()
        except TimeoutError as error:
            raise FetchError("timeout", "too slow") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, FetchError):
                raise
            raise FetchError("network", "no answer") from error
    raise FetchError("redirects", f"more than {HOPS} redirects")


def _body(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    parts, size = [], 0
    while chunk := response.read1(CHUNK):
        parts.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise FetchError("too_large", "too many bytes")
    return b"".join(parts)


def _refused(message: str) -> ApiError:
    return ApiError(400, message, "invalid_image")


def _too_large(message: str) -> ApiError:
    return ApiError(413, message, "image_too_large")


def _plain(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
