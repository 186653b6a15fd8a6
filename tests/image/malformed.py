"""The corpus of malformed and ambiguous requests: bytes, the answers' statuses, and what may reach the worker.

Cases are those of RFC 9112 (sections 2.2, 3.2, 5, 6, 7, 11.2), RFC 9110, and of published request smuggling research.
"""

from __future__ import annotations

from typing import NamedTuple

# Tables, a row a line, however long.
# ruff: noqa: E501

CHUNKED = "Transfer-Encoding: chunked"
HIDDEN = "GET /hidden HTTP/1.1\r\nHost: box.test\r\n\r\n"  # what an attack wants taken for a request of its own


class Case(NamedTuple):
    """One conversation. `reached`: `METHOD uri body` of each request that the application sees, in order."""

    name: str
    data: str  # latin-1
    statuses: tuple[int, ...]
    reached: tuple[str, ...] = ()
    refused_on_http: int = 0  # gunicorn's own parser, on the HTTP wire, is stricter: its answer


def post(*headers: str, body: str = "", target: str = "/a", version: str = "1.1") -> str:
    return "\r\n".join([f"POST {target} HTTP/{version}", "Host: box.test", *headers, "", body])


def get(
    *headers: str, target: str = "/a", version: str = "1.1", method: str = "GET", host: str = "Host: box.test"
) -> str:
    lines = [f"{method} {target} HTTP/{version}", *([host] if host else []), *headers, "", ""]
    return "\r\n".join(lines)


def chunked(body: str, *headers: str) -> str:
    return post(CHUNKED, *headers, "Connection: close", body=body)


CLOSE = "Connection: close"
ONE = ("GET /a ",)
# Lengths: which end has the body?
LENGTHS = (
    Case("CL.TE", post("Content-Length: 6", CHUNKED, body="0\r\n\r\nG" + HIDDEN), (400,)),
    Case("TE.CL", post(CHUNKED, "Content-Length: 4", body="5c\r\n" + HIDDEN + "\r\n0\r\n\r\n"), (400,)),
    Case("TE.TE, an unknown one", post(CHUNKED, "Transfer-Encoding: cow", body="0\r\n\r\n"), (400,)),
    Case("TE.TE, the same twice", post(CHUNKED, CHUNKED, body="0\r\n\r\n"), (400,)),
    Case("TE: xchunked", post("Transfer-Encoding: xchunked", "Content-Length: 3", body="abc" + HIDDEN), (501,)),
    Case("TE: identity", post("Transfer-Encoding: identity", "Content-Length: 3", body="abc" + HIDDEN), (501,)),
    Case("TE: chunked, identity", post("Transfer-Encoding: chunked, identity", body="0\r\n\r\n"), (501,)),
    Case("TE: gzip, chunked", post("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"), (501,)),
    Case("TE: CHUNKED", post("Transfer-Encoding: CHUNKED", CLOSE, body="3\r\nabc\r\n0\r\n\r\n"), (200,), ("POST /a abc",)),
    Case("TE with a tab", post("Transfer-Encoding:\tchunked", CLOSE, body="3\r\nabc\r\n0\r\n\r\n"), (501,)),
    Case("TE with a vertical tab", post("Transfer-Encoding: \x0bchunked", body="0\r\n\r\n"), (501,)),
    Case("TE with a blank after", post("Transfer-Encoding: chunked ", CLOSE, body="3\r\nabc\r\n0\r\n\r\n"), (200,), ("POST /a abc",)),
    Case("TE with a blank before the colon", post("Transfer-Encoding : chunked", body="0\r\n\r\n" + HIDDEN), (400,)),
    Case("TE folded", post("Transfer-Encoding:\r\n chunked", body="0\r\n\r\n"), (400,)),
    Case("TE in quotes", post('Transfer-Encoding: "chunked"', body="0\r\n\r\n"), (501,)),
    Case("TE with an underscore", post("Transfer_Encoding: chunked", "Content-Length: 3", CLOSE, body="abc"), (200,), ("POST /a abc",)),
    Case("TE in HTTP/1.0", post(CHUNKED, body="0\r\n\r\n" + HIDDEN, version="1.0"), (400,)),
    Case("TE on a GET", get(CHUNKED, CLOSE) + "0\r\n\r\n", (200,), ONE),
    Case("CL twice, equal", post("Content-Length: 3", "Content-Length: 3", body="abc"), (400,)),
    Case("CL twice, different", post("Content-Length: 3", "Content-Length: 30", body="abc" + HIDDEN), (400,)),
    Case("CL: a list", post("Content-Length: 3, 3", body="abc"), (400,)),
    Case("CL: +3", post("Content-Length: +3", body="abc"), (400,)),
    Case("CL: -3", post("Content-Length: -3", body="abc"), (400,)),
    Case("CL: 0x3", post("Content-Length: 0x3", body="abc"), (400,)),
    Case("CL: 3.0", post("Content-Length: 3.0", body="abc"), (400,)),
    Case("CL: 3 3", post("Content-Length: 3 3", body="abc"), (400,)),
    Case("CL: nothing", post("Content-Length: ", body="abc"), (400,)),
    Case("CL: 003", post("Content-Length: 003", CLOSE, body="abc"), (200,), ("POST /a abc",)),
    Case("CL: 2^63", post("Content-Length: 9223372036854775808", body="abc"), (400,)),
    Case("CL: 2^64 + 3", post("Content-Length: 18446744073709551619", body="abc" + HIDDEN), (400,)),
    Case("CL with a blank before the colon", post("Content-Length : 3", body="abc"), (400,)),
    Case("CL with an underscore", post("Content_Length: 30", "Content-Length: 3", CLOSE, body="abc"), (200,), ("POST /a abc",)),
    Case("CL on a GET", get("Content-Length: 3", CLOSE) + "abc", (200,), ("GET /a abc",)),
    Case("a body on a HEAD", get("Content-Length: 3", CLOSE, method="HEAD") + "abc", (200,), ("HEAD /a abc",)),
    Case("no length, then bytes", post() + HIDDEN, (200, 200), ("POST /a ", "GET /hidden ")),  # RFC 9112 section 6.3: no body
    Case("TRAILER that names a length", chunked("3\r\nabc\r\n0\r\nContent-Length: 100\r\n\r\n"), (200,), ("POST /a abc",)),
    Case("TRAILER that names a host", chunked("3\r\nabc\r\n0\r\nHost: evil.test\r\n\r\n"), (200,), ("POST /a abc",)),
)  # fmt: skip
CHUNKS = (
    Case("chunks", chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), (200,), ("POST /a abcde",)),
    Case("a size with zeros before it", chunked("0003\r\nabc\r\n0\r\n\r\n"), (200,), ("POST /a abc",)),
    Case("a size in capitals", chunked("A\r\nabcdefghij\r\n0\r\n\r\n"), (200,), ("POST /a abcdefghij",)),
    Case("a size of 17 digits", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"), (400,)),
    Case("a size below zero", chunked("-3\r\nabc\r\n0\r\n\r\n"), (400,)),
    Case("a size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), (400,)),
    Case("a size with +", chunked("+3\r\nabc\r\n0\r\n\r\n"), (400,)),
    Case("a size with an underscore", chunked("1_0\r\nabc\r\n0\r\n\r\n"), (400,)),
    Case("no size", chunked("\r\nabc\r\n0\r\n\r\n"), (400,)),
    Case("words for a size", chunked("three\r\nabc\r\n0\r\n\r\n"), (400,)),
    Case("an extension", chunked("3;name=value\r\nabc\r\n0\r\n\r\n"), (200,), ("POST /a abc",)),
    Case("an extension with a line feed", chunked("3;a\nb\r\nabc\r\n0\r\n\r\n"), (400,)),
    Case("a chunk longer than its size", chunked("3\r\nabcdef\r\n0\r\n\r\n"), (400,)),
    Case("no line end after a chunk", chunked("3\r\nabc0\r\n\r\n"), (400,)),
    Case("data after the last chunk", post(CHUNKED, body="3\r\nabc\r\n0\r\n\r\n" + HIDDEN), (200, 200), ("POST /a abc", "GET /hidden ")),
    Case("junk after the last chunk", post(CHUNKED, body="0\r\n\r\nxyz\r\n\r\n"), (200, 400), ("POST /a ",)),
)  # fmt: skip
HEADERS = (
    Case("a blank before the first header", get(host="") .replace("\r\n\r\n", "\r\n Host: box.test\r\n\r\n"), (400,)),
    Case("a folded header", get("X-Folded: a\r\n b"), (400,)),
    Case("a blank in a name", get("X Bad: a"), (400,)),
    Case("a tab before the colon", get("X-Bad\t: a"), (400,)),
    Case("no colon", get("X-Bad", CLOSE), (200,), ONE),
    Case("no name", get(": a"), (400,)),
    Case("NUL in a value", get("X-Bad: a\0b"), (400,)),
    Case("NUL in a name", get("X\0Bad: a"), (400,)),
    Case("CR in a value", get("X-Bad: a\rb"), (400,)),
    Case("CR and a name", get("X-Bad: a\rTransfer-Encoding: chunked"), (400,)),
    Case("LF alone between headers", get("X-A: b\nX-C: d", CLOSE), (200,), ONE),
    Case("LF alone everywhere", "GET /a HTTP/1.1\nHost: box.test\nConnection: close\n\n", (200,), ONE),
    Case("DEL in a name", get("X-\x7f: a"), (400,)),
    Case("a name outside ASCII", get("X-\xe9: a", CLOSE), (200,), ONE),
    Case("an empty line first", "\r\n" + get(CLOSE), (200,), ONE),
    Case("a thousand headers", get(*(f"X-{number}: v" for number in range(1000))), (431,)),
)  # fmt: skip
HOSTS = (
    Case("no Host", get(host=""), (400,)),
    Case("two Hosts", get("Host: evil.test"), (400,)),
    Case("an empty Host", get(CLOSE, host="Host: "), (400,)),
    Case("a Host with a path", get(host="Host: box.test/evil"), (400,)),
    Case("a Host with a user", get(host="Host: box.test@evil.test"), (400,)),
    Case("a Host with a port and a user", get(host="Host: box.test:80@evil.test"), (400,)),
    Case("a Host with a blank", get(host="Host: box.test evil.test"), (400,)),
    Case("a Host with a port of words", get(CLOSE, host="Host: box.test:http"), (400,)),
    Case("a Host with a port out of range", get(CLOSE, host="Host: box.test:99999"), (400,)),
    Case("a Host with two dots", get(host="Host: box..test"), (400,)),
    Case("a Host with quotes", get(host='Host: "box.test"'), (400,)),
    Case("a Host with angle brackets", get(host="Host: <script>"), (400,)),
    Case("a Host with NUL", get(host="Host: box\0.test"), (400,)),
    Case("a Host in half brackets", get(host="Host: [::1"), (400,)),
    Case("a Host of 300 letters", get(CLOSE, host="Host: " + "h" * 300), (400,)),
    Case("absolute form, another Host", get(CLOSE, target="http://inner.test/a"), (200,), ONE),
    Case("absolute form with a user", get(CLOSE, target="http://u:p@inner.test/a"), (400,)),
)  # fmt: skip
TARGETS = (
    Case("authority form", get(method="CONNECT", target="evil.test:443"), (400,)),
    Case("CONNECT with a path", get(method="CONNECT", target="/a"), (405,)),
    Case("TRACE", get(method="TRACE"), (405,)),
    Case("asterisk form", get(CLOSE, method="OPTIONS", target="*"), (400,)),
    Case("no leading slash", get(target="a"), (400,)),
    Case("a blank in the target", get(target="/a b", host=""), (400,)),
    Case("a tab in the target", get(target="/a\tb"), (400,)),
    Case("NUL in the target", get(target="/a\0b"), (400,)),
    Case("an encoded NUL", get(target="/a%00b"), (400,)),
    Case("half an escape", get(target="/a%2"), (400,)),
    Case("no escape", get(target="/a%zz"), (400,)),
    Case("above the root", get(target="/../a"), (400,)),
    Case("above the root, encoded", get(target="/%2e%2e/a"), (400,)),
    Case("an encoded line end", get(CLOSE, target="/a%0d%0aX-Evil:1"), (200,), ("GET /a%0d%0aX-Evil:1 ",)),
    Case("two slashes", get(CLOSE, target="//evil.test/a"), (200,), ("GET //evil.test/a ",)),
    Case("backslashes", get(CLOSE, target="/..\\..\\etc"), (200,), ("GET /..\\..\\etc ",)),
    Case("bytes that are no UTF-8", get(CLOSE, target="/\xc0\xae\xc0\xae/"), (200,), ("GET /\xc0\xae\xc0\xae/ ",), 400),
    Case("a fragment", get(CLOSE, target="/a#b"), (200,), ("GET /a#b ",)),
)  # fmt: skip
VERSIONS = (
    Case("HTTP/0.9", "GET /a\r\n", ()),
    Case("HTTP/1.2", get(CLOSE, version="1.2"), (200,), ONE),
    Case("HTTP/2.0", get(version="2.0"), (505,)),
    Case("HTTP/1", "GET /a HTTP/1\r\nHost: box.test\r\n\r\n", (400,)),
    Case("http/1.1", "GET /a http/1.1\r\nHost: box.test\r\n\r\n", (400,)),
    Case("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400,)),
    Case("a method in small letters", get(method="get"), (400,)),
    Case("a method of signs", get(method="G@T"), (400,)),
    Case("a method that nobody knows", get(CLOSE, method="BREW"), (200,), ("BREW /a ",)),
    Case("a method of 4 kB", get(CLOSE, method="M" * 4000), (200,), ("M" * 4000 + " /a ",), 400),
    Case("TLS on the plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
    Case("only line ends", "\r\n" * 50, ()),
    Case("three words too many", "GET /a HTTP/1.1 evil\r\nHost: box.test\r\n\r\n", (400,)),
)  # fmt: skip
CONVERSATIONS = (
    Case("three in one packet", get() + post("Content-Length: 3", body="abc") + get(CLOSE), (200, 200, 200), ("GET /a ", "POST /a abc", "GET /a ")),
    Case("a bad one between", get() + "BAD\r\n\r\n" + HIDDEN, (200, 400), ONE),
    Case("h2c", get("Connection: Upgrade, HTTP2-Settings, close", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), (200,), ONE),
    Case("h2c, then another", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk") + HIDDEN, (200, 200), ("GET /a ", "GET /hidden ")),
    Case("Expect", post("Content-Length: 3", "Expect: 100-continue", CLOSE, body="abc"), (100, 200), ("POST /a abc",)),
    Case("Expect something else", post("Content-Length: 3", "Expect: 200-ok", CLOSE, body="abc"), (200,), ("POST /a abc",)),
    Case("Connection names a header", get("X-Secret: a", "Connection: close, X-Secret"), (200,), ONE),
    Case("Range of everything", get("Range: bytes=" + ",".join(f"{n}-" for n in range(200)), CLOSE), (200,), ONE),
)  # fmt: skip
CASES = LENGTHS + CHUNKS + HEADERS + HOSTS + TARGETS + VERSIONS + CONVERSATIONS
