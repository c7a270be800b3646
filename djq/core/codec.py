"""How a frame travels on the broker: as a signed text.

It is one mark (`p` plain, `z` deflated), URL-safe base64, and a signature over both. The signature is
checked before anything else is looked at, and inflation is bounded, so that a stranger's text costs
one hash and no more.
"""

from __future__ import annotations

import binascii
import zlib
from typing import Protocol

from djq.exceptions import BadPackage, TaskRefused

PLAIN = "p"
DEFLATED = "z"

_STANDARD_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_+/", b"+/**")
"""The signs of the other alphabet become one that no alphabet has: each frame has one text."""


class Signer(Protocol):
    """Puts a signature on a text and takes it off again."""

    def sign(self, text: str) -> str:
        """Give the text with its signature."""
        ...

    def unsign(self, text: str) -> str:
        """Give the text without its signature.

        Raises:
            BadPackage: The signature is missing or not ours.
        """
        ...


class Codec:
    """Turns frames into signed texts for the broker, and back.

    Args:
        signer: Signs and checks; its key and salt decide who can read whose texts.
        compress: Whether a frame is deflated when that makes it smaller.
        max_payload: Most characters of a text, and most bytes that an inflated frame may have.
    """

    def __init__(self, *, signer: Signer, compress: bool, max_payload: int) -> None:
        self._signer = signer
        self._compress = compress
        self._max_payload = max_payload

    def seal(self, frame: bytes) -> str:
        """Give the signed text of a frame; it has ASCII characters only.

        Raises:
            TaskRefused: The text, or the frame before compression, is over `max_payload`.
        """
        self._check_size(len(frame), "bytes before compression")
        mark, content = PLAIN, frame
        if self._compress:
            deflated = zlib.compress(frame)
            if len(deflated) < len(frame):
                mark, content = DEFLATED, deflated
        encoded = binascii.b2a_base64(content, newline=False).translate(_STANDARD_TO_URL_SAFE)
        text = self._signer.sign(mark + encoded.decode("ascii"))
        self._check_size(len(text), "characters")
        return text

    def open(self, package: str | bytes) -> bytes:
        """Give the frame of a signed text, once its signature is found to be ours.

        Raises:
            BadPackage: Any defect: wrong signature, not one of our texts, too large when inflated.
        """
        text = self._signer.unsign(_readable(package))
        mark, encoded = text[:1], text[1:]
        if mark not in (PLAIN, DEFLATED):
            raise BadPackage(
                f"the package begins with {mark!r}, not with {PLAIN!r} or {DEFLATED!r}"
            )
        try:
            content = binascii.a2b_base64(
                encoded.encode("ascii").translate(_URL_SAFE_TO_STANDARD), strict_mode=True
            )
        except ValueError as error:
            raise BadPackage(f"the package is no URL-safe base64: {error}") from error
        frame = self._inflate(content) if mark == DEFLATED else content
        if not frame:
            raise BadPackage("the package is empty")
        return frame

    def _check_size(self, size: int, unit: str) -> None:
        if size > self._max_payload:
            raise TaskRefused(
                f"the task has {size:,} {unit}, more than the {self._max_payload:,} that "
                "`max_payload` in Q_CLUSTER allows; pass a reference to the data instead "
                "(a primary key, a file name), or raise `max_payload`"
            )

    def _inflate(self, content: bytes) -> bytes:
        inflater = zlib.decompressobj()
        try:
            frame = inflater.decompress(content, self._max_payload + 1)
        except zlib.error as error:
            raise BadPackage(f"the package cannot be inflated: {error}") from error
        if len(frame) > self._max_payload:
            raise BadPackage(
                f"the package inflates to more than the {self._max_payload:,} bytes that "
                "`max_payload` in Q_CLUSTER allows"
            )
        if not inflater.eof:
            raise BadPackage("the package is cut off: its deflated content has no end")
        if inflater.unused_data:
            raise BadPackage("the package has something after the end of its deflated content")
        return frame


def _readable(package: object) -> str:
    """Give what a broker's client delivered as text that can be encoded again."""
    try:
        if isinstance(package, str):
            if not package.isascii():
                package.encode()
            return package
        if isinstance(package, bytes | bytearray | memoryview):
            return str(package, "utf-8")
    except UnicodeError as error:
        raise BadPackage(f"the package is no UTF-8 text: {error}") from None
    raise BadPackage(f"the package is a {type(package).__name__}, not a text")
