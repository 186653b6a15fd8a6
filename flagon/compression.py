"""What is compressed ahead, and how: gzip of the standard library, brotli of the library that nginx's module brings."""

from __future__ import annotations

import ctypes
import gzip

EXTENSIONS = (
    ".css", ".js", ".mjs", ".json", ".map", ".svg", ".html", ".htm", ".txt", ".md", ".csv", ".xml", ".vtt", ".webmanifest",
)  # fmt: skip
WORTH = 0.95  # a copy that saves less than a twentieth is not kept
SMALLEST = 200  # bytes; below it the headers are the longer part
BROTLI_QUALITY, BROTLI_WINDOW, BROTLI_TEXT = 11, 22, 1  # encode.h: best, 4 MB, UTF-8 text


def copies(content: bytes) -> dict[str, bytes]:
    """suffix -> compressed content, for each way that is worth it."""
    if len(content) < SMALLEST:
        return {}
    made = {".gz": gzip.compress(content, 9, mtime=0), ".br": brotli(content)}
    return {suffix: data for suffix, data in made.items() if data and len(data) < WORTH * len(content)}


def brotli(content: bytes) -> bytes:
    """Compressed with libbrotlienc; empty where the library is not there."""
    try:
        library = ctypes.CDLL("libbrotlienc.so.1")
    except OSError:
        return b""
    room = ctypes.c_size_t(len(content) + (len(content) >> 1) + 1024)
    target = ctypes.create_string_buffer(room.value)
    compress = library.BrotliEncoderCompress
    compress.argtypes = [ctypes.c_int] * 3 + [ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
    done = compress(
        BROTLI_QUALITY, BROTLI_WINDOW, BROTLI_TEXT, len(content), content, ctypes.byref(room), target
    )  # fmt: skip
    return target.raw[: room.value] if done else b""
