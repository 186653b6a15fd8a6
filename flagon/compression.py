"""What is compressed ahead, and how: gzip of the standard library, brotli of the library that nginx's module brings."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

EXTENSIONS = (
    ".css", ".js", ".mjs", ".json", ".map", ".svg", ".html", ".htm", ".txt", ".md", ".csv", ".xml", ".vtt",
    ".webmanifest",
)  # fmt: skip
WORTH = 0.95  # a copy that saves less than a twentieth is not kept
SMALLEST = 200  # bytes; below it the headers are the longer part
BROTLI_TEXT = 1  # encode.h: UTF-8
BEST, WINDOW = 11, 22  # as good as it gets, 4 MB
AT_ONCE = 1 << 18  # bytes given to zlib in one call, during which other threads run


def copies(content: bytes) -> dict[str, bytes]:
    """suffix -> compressed content, for each way that is worth it."""
    if len(content) < SMALLEST:
        return {}
    made = {".gz": gzip(content, 9), ".br": brotli(content)}
    return {suffix: data for suffix, data in made.items() if data and len(data) < WORTH * len(content)}


def gzip(content: bytes, level: int) -> bytes:
    """Compressed with zlib, level 1 to 9, no date in it."""
    return b"".join(gzip_stream((content,), level))


def gzip_stream(pieces: Iterable[bytes], level: int) -> Iterator[bytes]:
    """The same piece by piece, in the memory that zlib needs (256 kB), whatever their length."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), AT_ONCE):
            packed = packer.compress(view[start : start + AT_ONCE])
            if packed:
                yield packed
    yield packer.flush()


@functools.cache
def _library() -> Any:
    """The library's function, None where it is not there."""
    import ctypes  # not before there is something to compress: 4 ms

    try:
        compress = ctypes.CDLL("libbrotlienc.so.1").BrotliEncoderCompress
    except OSError:
        return None
    compress.argtypes = [ctypes.c_int] * 3 + [ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
    return compress


def brotli(content: bytes, quality: int = BEST, window: int = WINDOW) -> bytes:
    """Compressed with libbrotlienc (quality 0 to 11, window 2**10 to 2**24 bytes); empty without the library."""
    compress = _library()
    if compress is None:
        return b""
    import ctypes

    room = ctypes.c_size_t(len(content) + (len(content) >> 12) + 1024)  # more than BrotliEncoderMaxCompressedSize
    target = ctypes.create_string_buffer(room.value)
    done = compress(quality, window, BROTLI_TEXT, len(content), content, ctypes.byref(room), target)
    return ctypes.string_at(target, room.value) if done else b""
