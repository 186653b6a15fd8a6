"""What reaches the application of a request: its environ, on both wires. And what of its headers reaches the client."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .apps.wire import FASTCGI, WIRES, Answer, Probe

ID = r"[0-9a-f]{32}"
GIVEN_ID = "from-the-proxy-0001"
# What a client may claim of address, scheme, host and path in front of the application.
CLAIMS = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "444",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Server": "evil.test",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Scheme": "https",
    "X-Forwarded-Protocol": "https",
    "X-Scheme": "https",
    "X-Url-Scheme": "https",
    "Front-End-Https": "on",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;host=evil.test;proto=https",
    "Client-IP": "6.6.6.6",
    "X-Client-IP": "6.6.6.6",
    "True-Client-IP": "6.6.6.6",
    "CF-Connecting-IP": "6.6.6.6",
    "Fly-Client-IP": "6.6.6.6",
    "X-Cluster-Client-IP": "6.6.6.6",
    "X-Original-Url": "/evil",
    "X-Rewrite-Url": "/evil",
    "X-Script-Name": "/evil",
    "Proxy": "http://evil.test:3128",
    "X-Request-ID": "evil-request-id-1",
}
LIES = ("6.6.6.6", "evil", "444")


@pytest.fixture(scope="module", params=WIRES)
def trusting(request: pytest.FixtureRequest) -> Iterator[Probe]:
    """Peers with private addresses, as the engine's bridge has, are named."""
    with Probe(request.param, TRUSTED_PROXIES="private") as box:
        yield box


@pytest.fixture(scope="module", params=WIRES)
def untrusting(request: pytest.FixtureRequest) -> Iterator[Probe]:
    """The default."""
    with Probe(request.param) as box:
        yield box


def key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


# Address, host, port, scheme


def test_address_of_the_peer(trusting: Probe) -> None:
    environ = trusting.told().environ
    assert re.fullmatch(r"[0-9.]+|[0-9a-f:]+", environ["REMOTE_ADDR"])
    assert environ["REMOTE_ADDR"] != "127.0.0.1"


def test_port_of_the_peer(trusting: Probe) -> None:
    assert 0 < int(trusting.told().environ["REMOTE_PORT"]) < 65536


@pytest.mark.parametrize(
    ("host", "name", "port", "header"),
    [
        ("box.test", "box.test", "80", "box.test"),
        ("box.test:8443", "box.test", "8443", "box.test:8443"),
        ("127.0.0.1:5000", "127.0.0.1", "5000", "127.0.0.1:5000"),
        ("BOX.test", "box.test", "80", "box.test"),
    ],
)
def test_server_name_and_port_are_the_clients_side(
    trusting: Probe, host: str, name: str, port: str, header: str
) -> None:
    environ = trusting.told(host=host).environ
    assert (environ["SERVER_NAME"].lower(), environ["SERVER_PORT"]) == (name, port)
    assert environ["HTTP_HOST"].lower() == header
    assert environ["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize(("host", "port"), [("[::1]", "80"), ("[::1]:8080", "8080"), ("[2001:db8::7]:444", "444")])
def test_ipv6_host(trusting: Probe, host: str, port: str) -> None:
    environ = trusting.told(host=host).environ
    assert environ["HTTP_HOST"] == host
    assert environ["SERVER_NAME"].strip("[]") == host[1 : host.index("]")]
    assert environ["SERVER_PORT"] == port


def test_http_1_0_without_host(trusting: Probe) -> None:
    environ = trusting.told(version="1.0", host=None).environ
    assert environ.get("HTTP_HOST", "") == ""
    assert environ["SERVER_NAME"]
    assert environ["SERVER_PORT"] == "80"


def test_http_1_1_without_host_is_refused(trusting: Probe) -> None:
    assert trusting.raw(b"GET /tell HTTP/1.1\r\nConnection: close\r\n\r\n").status == 400


# Path and query


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/tell", "/tell"),
        ("/tell/", "/tell/"),
        ("/a%20b+c", "/a b+c"),
        ("/caf%C3%A9/%E2%82%AC", "/café/€"),
        ("/a%2Fb", "/a/b"),
        ("//a//b", "//a//b"),
        ("/a//b/", "/a//b/"),
        ("/%2525", "/%25"),
        ("/100%25", "/100%"),
        ("/q%3Fno%23no", "/q?no#no"),
        ("/a;b=1,c", "/a;b=1,c"),
        ("/~user/!$&'()*", "/~user/!$&'()*"),
    ],
)
def test_path_is_decoded_once(trusting: Probe, target: str, path: str) -> None:
    told = trusting.told(target + "?x=1").environ
    assert told["PATH_INFO"].encode("latin-1").decode() == path
    assert told["QUERY_STRING"] == "x=1"
    assert told["REQUEST_URI"] == target + "?x=1"
    assert told["RAW_URI"] == target + "?x=1"
    assert told["SCRIPT_NAME"] == ""


def test_bytes_that_are_not_utf_8_arrive(trusting: Probe) -> None:
    assert trusting.told("/%FF%FE").environ["PATH_INFO"].encode("latin-1") == b"/\xff\xfe"


@pytest.mark.parametrize("target", ["/a/../b", "/a/%2e%2e/b", "/a/./../b", "/x/..%2fb"])
def test_dot_segments_are_resolved(trusting: Probe, target: str) -> None:
    environ = trusting.told(target).environ
    assert environ["PATH_INFO"] == "/b"
    assert environ["REQUEST_URI"] == target


@pytest.mark.parametrize("target", ["/../etc/passwd", "/%2e%2e/etc/passwd", "/a%00b", "/%", "/%zz"])
def test_impossible_paths_are_refused(trusting: Probe, target: str) -> None:
    answer = trusting.raw(f"GET {target} HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n".encode())
    assert answer.status == 400


@pytest.mark.parametrize("query", ["", "a=1&b=2", "a=%2F%20&a=+", "x=a?b", "%C3%A9=%25", "=&&="])
def test_query_string_is_raw(trusting: Probe, query: str) -> None:
    environ = trusting.told("/tell?" + query).environ
    assert environ["QUERY_STRING"] == query
    assert environ["PATH_INFO"] == "/tell"


def test_absolute_form(trusting: Probe) -> None:
    environ = trusting.told("http://box.test/tell?x=1").environ
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/tell", "x=1")
    assert environ["REQUEST_URI"] == "/tell?x=1"


@pytest.mark.parametrize("wire", WIRES)
def test_sub_path(wire: str) -> None:
    with Probe(wire, URL_PREFIX="/shop") as box:
        for target, path in (("/shop/tell", "/tell"), ("/shop", ""), ("/tell", "/tell"), ("/shop//x", "//x")):
            environ = box.told(target).environ
            assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", path)
            assert environ["REQUEST_URI"] == target
        assert box.told("/shopping").environ["PATH_INFO"] == "/shopping"
        assert box.ask("/shop/up").json()["status"] == "ok"


# Headers


def test_headers_arrive(trusting: Probe) -> None:
    environ = trusting.told(
        "/tell", "X-Some: a  b", "Accept: text/x", "Cookie: a=1; b=2", "Authorization: Basic Zm9v", "X-Empty:"
    ).environ
    assert environ["HTTP_X_SOME"] == "a  b"
    assert environ["HTTP_ACCEPT"] == "text/x"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_AUTHORIZATION"] == "Basic Zm9v"
    assert environ.get("HTTP_X_EMPTY", "") == ""


def test_bytes_of_a_header_arrive_as_latin_1(trusting: Probe) -> None:
    assert trusting.told("/tell", "X-Some: caf\xc3\xa9").environ["HTTP_X_SOME"] == "caf\xc3\xa9"


def test_duplicate_headers_become_one_list(trusting: Probe) -> None:
    environ = trusting.told("/tell", "X-Two: a", "X-Other: z", "X-Two: b", "Accept: c", "Accept: d").environ
    assert re.fullmatch(r"a, ?b", environ["HTTP_X_TWO"])
    assert re.fullmatch(r"c, ?d", environ["HTTP_ACCEPT"])


def test_duplicate_cookies_become_one(trusting: Probe) -> None:
    assert trusting.told("/tell", "Cookie: a=1", "Cookie: b=2").environ["HTTP_COOKIE"] == "a=1; b=2"


def test_content_type_and_length_have_their_own_names(trusting: Probe) -> None:
    answer = trusting.ask("/tell", "POST", data=b"12345", headers={"Content-Type": "text/x; q=1"}).json()["environ"]
    assert (answer["CONTENT_TYPE"], answer["CONTENT_LENGTH"]) == ("text/x; q=1", "5")
    assert "HTTP_CONTENT_TYPE" not in answer
    assert "HTTP_CONTENT_LENGTH" not in answer


def test_no_body_no_length(trusting: Probe) -> None:
    environ = trusting.told().environ
    assert environ.get("CONTENT_LENGTH", "") in ("", "0")
    assert environ.get("CONTENT_TYPE", "") == ""


def test_underscores_in_a_name_do_not_pass_for_dashes(trusting: Probe) -> None:
    environ = trusting.told("/tell", "X_Real_IP: 6.6.6.6", "X_Forwarded_For: 6.6.6.6", "X_Some: a").environ
    assert "6.6.6.6" not in environ.values()
    assert "HTTP_X_SOME" not in environ


# Who is believed


def test_claims_of_a_stranger_are_dropped(untrusting: Probe) -> None:
    told = untrusting.told("/tell", *(f"{name}: {value}" for name, value in CLAIMS.items())).environ
    honest = untrusting.told().environ
    assert told["REMOTE_ADDR"] == honest["REMOTE_ADDR"]
    assert told["HTTP_HOST"] == "box.test"
    assert told["SERVER_NAME"] == "box.test"
    assert told["wsgi.url_scheme"] == "http"
    found = {name: value for name, value in told.items() if any(lie in value for lie in LIES) or value == "on"}
    assert not found
    assert set(told) == set(honest)


def test_what_a_stranger_repeats_is_dropped(untrusting: Probe) -> None:
    told = untrusting.told("/tell", *["X-Forwarded-For: 6.6.6.6"] * 3, *["X-Real-IP: 6.6.6.6"] * 2).environ
    assert not [name for name, value in told.items() if "6.6.6.6" in value]


def test_forwarding_headers_tell_the_truth(untrusting: Probe) -> None:
    told = untrusting.told().environ
    for name in ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP"):
        assert told.get(name) == told["REMOTE_ADDR"]
    assert told["HTTP_X_FORWARDED_PROTO"] == "http"


def test_a_trusted_proxy_is_believed(trusting: Probe) -> None:
    lines = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.test")
    told = trusting.told("/tell", *lines).environ
    assert told["REMOTE_ADDR"] == "203.0.113.9"
    assert told["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"
    assert told["HTTP_X_REAL_IP"] == "203.0.113.9"
    assert told["wsgi.url_scheme"] == told["HTTP_X_FORWARDED_PROTO"] == "https"
    assert (told["HTTP_HOST"], told["SERVER_NAME"], told["SERVER_PORT"]) == ("shop.test", "shop.test", "443")


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (("6.6.6.6, 203.0.113.9",), "203.0.113.9"),
        (("6.6.6.6, 203.0.113.9, 10.0.0.5",), "203.0.113.9"),
        (("6.6.6.6", "203.0.113.9"), "203.0.113.9"),
        (("2001:db8::1",), "2001:db8::1"),
    ],
)
def test_the_last_untrusted_address_is_the_client(trusting: Probe, lines: tuple[str, ...], address: str) -> None:
    told = trusting.told("/tell", *(f"X-Forwarded-For: {line}" for line in lines)).environ
    assert told["REMOTE_ADDR"] == told["HTTP_X_FORWARDED_FOR"] == told["HTTP_X_REAL_IP"] == address


def test_host_and_port_of_a_trusted_proxy(trusting: Probe) -> None:
    told = trusting.told("/tell", "X-Forwarded-Host: shop.test:8443", "X-Forwarded-Proto: https").environ
    assert (told["HTTP_HOST"], told["SERVER_NAME"], told["SERVER_PORT"]) == ("shop.test:8443", "shop.test", "8443")


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-Proto: javascript",
        "X-Forwarded-Proto: https, http",
        "X-Forwarded-Host: a/b",
        "X-Forwarded-Host: a b",
    ],
)
def test_nonsense_of_a_trusted_proxy_is_no_value(trusting: Probe, line: str) -> None:
    told = trusting.told("/tell", line).environ
    assert told["wsgi.url_scheme"] in ("http", "https")
    assert told["HTTP_X_FORWARDED_PROTO"] in ("http", "https")
    assert told["HTTP_HOST"] == "box.test"


def test_headers_that_nobody_may_send_are_dropped_from_a_trusted_proxy_too(trusting: Probe) -> None:
    names = ("Proxy", "Forwarded", "X-Original-Url", "X-Script-Name", "X-Forwarded-Prefix")
    told = trusting.told("/tell", *(f"{name}: {CLAIMS[name]}" for name in names)).environ
    assert not [key(name) for name in names if key(name) in told]


def test_request_id_of_a_trusted_proxy(trusting: Probe) -> None:
    told = trusting.told("/tell", f"X-Request-ID: {GIVEN_ID}")
    assert told.environ["HTTP_X_REQUEST_ID"] == GIVEN_ID
    assert told.answer.header("X-Request-ID") == GIVEN_ID


@pytest.mark.parametrize("given", ["short", "x" * 65, "has blank in it", 'quote"quote', "brace}{brace"])
def test_a_bad_request_id_is_replaced(trusting: Probe, given: str) -> None:
    told = trusting.told("/tell", f"X-Request-ID: {given}")
    assert re.fullmatch(ID, told.environ["HTTP_X_REQUEST_ID"])
    assert told.answer.header("X-Request-ID") == told.environ["HTTP_X_REQUEST_ID"]


def test_request_id_of_a_stranger_is_replaced(untrusting: Probe) -> None:
    told = untrusting.told("/tell", f"X-Request-ID: {GIVEN_ID}")
    assert re.fullmatch(ID, told.environ["HTTP_X_REQUEST_ID"])
    assert told.answer.header("X-Request-ID") == told.environ["HTTP_X_REQUEST_ID"]


def test_the_applications_own_request_id_does_not_double(trusting: Probe) -> None:
    answer = get(trusting, "/answer?h=X-Request-ID:mine-mine-mine")
    assert re.fullmatch(ID, answer.header("X-Request-ID") or "")


# WSGI


def test_wsgi_keys(trusting: Probe) -> None:
    told = trusting.told()
    assert told.values["wsgi.version"] == [1, 0]
    assert told.values["wsgi.multithread"] is True
    assert told.values["wsgi.run_once"] is False
    assert isinstance(told.values["wsgi.multiprocess"], bool)
    assert told.values["wsgi.input_terminated"] is True
    assert told.environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert told.environ["REQUEST_METHOD"] == "GET"
    for name in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper"):
        assert name in told.types


def test_strings_are_native(trusting: Probe) -> None:
    types = trusting.told("/tell", "X-Some: a").types
    plain = [name for name in types if name.isupper() and not name.startswith("wsgi")]
    assert {types[name] for name in plain} == {"str"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY"])
def test_any_method_arrives(trusting: Probe, method: str) -> None:
    assert trusting.ask("/tell", method).json()["environ"]["REQUEST_METHOD"] == method


def test_prints_and_wsgi_errors_reach_the_log(trusting: Probe) -> None:
    trusting.ask("/says")
    trusting.wait_log("printed by the probe")
    trusting.wait_log("said to wsgi.errors")


# The answer


def get(box: Probe, target: str, method: str = "GET") -> Answer:
    return box.raw(f"{method} {target} HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n".encode())


def test_head_has_the_headers_and_no_body(trusting: Probe) -> None:
    answer = get(trusting, "/answer?size=1234", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("Content-Length") in ("1234", None)
    with trusting.connect() as wire:
        wire.sendall(b"HEAD /big?mb=1 HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    assert received.endswith(b"\r\n\r\n")
    assert received.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_no_body_where_http_has_none(trusting: Probe, status: str) -> None:
    with trusting.connect() as wire:
        target = f"/answer?size=50&status={status.replace(' ', '%20')}"
        wire.sendall(f"GET {target} HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 " + status[:3].encode())
    assert received.endswith(b"\r\n\r\n")
    assert b"ransfer-Encoding" not in received


@pytest.mark.parametrize("status", ["201 Created", "299 Our Own", "404 Not Found", "418 I'm a teapot", "500 Broken"])
def test_status_arrives(trusting: Probe, status: str) -> None:
    answer = get(trusting, f"/answer?status={status.replace(' ', '%20')}")
    assert answer.status == int(status[:3])
    assert answer.body == b"xxxxx"


@pytest.mark.parametrize("status", ["502 Mine", "503 Mine", "504 Mine", "413 Mine", "431 Mine"])
def test_the_applications_own_error_is_not_replaced(trusting: Probe, status: str) -> None:
    answer = get(trusting, f"/answer?status={status.replace(' ', '%20')}")
    assert (answer.status, answer.body) == (int(status[:3]), b"xxxxx")


def test_headers_of_the_answer_arrive_each_on_its_line(trusting: Probe) -> None:
    answer = get(trusting, "/answer?h=Set-Cookie:a%3D1&h=Set-Cookie:b%3D2&h=X-Some:v%20w&h=ETag:%22x%22")
    assert [value for name, value in answer.headers if name == "Set-Cookie"] == ["a=1", "b=2"]
    assert answer.header("X-Some") == "v w"
    assert answer.header("ETag") == '"x"'


@pytest.mark.parametrize("trusting", [FASTCGI], indirect=True)
def test_a_list_gets_its_content_length(trusting: Probe) -> None:
    assert get(trusting, "/answer").header("Content-Length") == "5"


def test_location_is_left_as_it_is(trusting: Probe) -> None:
    answer = get(trusting, "/answer?status=302%20Found&h=Location:/next?a%3D1")
    assert (answer.status, answer.header("Location")) == (302, "/next?a=1")


@pytest.mark.parametrize(
    "name", ["Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Upgrade", "Proxy-Authorization"]
)
def test_hop_by_hop_headers_of_the_application_do_not_pass(trusting: Probe, name: str) -> None:
    answer = trusting.raw(f"GET /answer?h={name}:mine HTTP/1.1\r\nHost: box.test\r\n\r\n".encode())
    assert answer.status == 200
    assert answer.body == b"xxxxx"
    assert "mine" not in [value for _, value in answer.headers]


@pytest.mark.parametrize(
    "header",
    [
        "X-Evil:a%0D%0ASet-Cookie:%20stolen%3D1",
        "X-Evil:a%0AX-Injected:%20b",
        "X-Evil:a%0DX-Injected:%20b",
        "X-Evil%0D%0AX-Injected:b",
        "X-Evil:a%00b",
    ],
)
def test_line_breaks_in_a_header_are_500(trusting: Probe, header: str) -> None:
    answer = get(trusting, f"/answer?h={header}")
    assert answer.status == 500
    assert not {"x-injected", "set-cookie"} & {name.lower() for name, _ in answer.headers}
    assert b"stolen" not in answer.body


@pytest.mark.parametrize("status", ["200", "OK", "200 OK%0D%0AX-Injected: b", "99 Low", ""])
def test_a_bad_status_never_passes(trusting: Probe, status: str) -> None:
    answer = get(trusting, f"/answer?status={status.replace(' ', '%20')}")
    assert answer.status in ((200, 500) if status == "200" else (500,))
    assert answer.header("X-Injected") is None


def test_an_exception_is_500_with_its_traceback_in_the_log_under_the_requests_id(trusting: Probe) -> None:
    answer = get(trusting, "/fail")
    assert answer.status == 500
    assert b"the probe fails" not in answer.body
    number = answer.header("X-Request-ID")
    record = trusting.wait_record(lambda one: "the probe fails" in str(one.get("message")) and "/fail" in str(one))
    assert "Traceback" in record["message"]
    assert record["request_id"] == number
