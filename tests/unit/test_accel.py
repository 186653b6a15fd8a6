"""X-Accel-Redirect: what of the application's own may pass, on both wires."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import fastcgi_client as fc
import pytest

from flagon.inside import accel
from flagon.inside.accel import Internal, guarded, refusal

OURS = [
    "/-/file/0/app.py", "/-/file/1/secret_key", "/-/spa", "/-/error/503.html", "/-/", "/-", "//-/file/0/x", "///-/x", "/./-/x", "/././/-/x", "/x/../-/x", "/x/y/../../-/x",
    "/%2d/file/0/x", "/%2D/x", "/-%2ffile/0/x", "%2f-/x", "/-/%66ile/0/x", "/%2e/-/x", "/%2E%2E/-/x", "/x/%2e%2e/-/x", "/-/x?a=b", "/-?x", " /-/x", "/-/../x", "/-//x", "/-/FILE/0/x",
]  # fmt: skip
OTHERS = [
    "@stuck",
    "@app",
    "@kept",
    "@",
    " @unanswered",
    "",
    " ",
    "up",
    "-/file/0/x",
    "http://127.0.0.1/-/x",
    "?x",
    "./-/x",
    "\\-\\x",
]
FINE = [
    "/protected/a.txt",
    "/protected/a%20b.txt?x=/-/y",
    "/",
    "/-x/y",
    "/x/-/y",
    "/--/x",
    "/static/app.js",
    "@files",
    "/up",
    "/%252d/x",
    "/.well-known/x",
]


@pytest.mark.parametrize("value", OURS)
def test_ours_are_not_the_applications_to_name(value):
    assert refusal(value, ["@files"]) in ("/-/ is Flagon's own", "it is no absolute path")


@pytest.mark.parametrize("value", OTHERS)
def test_neither_is_what_is_no_path(value):
    assert refusal(value, ["@files"]) in (
        "it names a location that the user's nginx files do not have",
        "it is no absolute path",
    )


@pytest.mark.parametrize("value", FINE)
def test_the_users_own_locations_are(value):
    assert refusal(value, ["@files", "/"]) == ""
    if value.startswith("/"):
        assert refusal(value, ["@files"]) == "the user's nginx files have no location for it"


@pytest.mark.parametrize(
    "value", ["/options", "/filesystem", "/files/../options", "/x/files/a", "/%2e%2e/options", "/"]
)
def test_another_page_of_the_applications_is_not_in_its_place(value):
    assert refusal(value, ["/files/"]) == "the user's nginx files have no location for it"


@pytest.mark.parametrize("value", ["/files/a", "/files/", "//files/a?x=1", "/files/%61"])
def test_the_beginning_of_a_path_is_what_a_location_names(value):
    assert refusal(value, ["/files/"]) == ""


def test_no_reason_holds_what_was_sent():
    """Each is said once in a worker's life: texts without end would fill its memory."""
    assert len({refusal(value, []) for value in (*OURS, *OTHERS)}) == 3


def answered(headers, named=()):
    said = []

    def application(environ, start):
        start("200 OK", headers)
        start("500 X", headers, (ValueError, ValueError(), None))
        return [b"body"]

    seen = []
    wrapped = guarded(application, named, said.append)
    assert wrapped({}, lambda status, headers, *more: seen.append(headers)) == [b"body"]
    assert seen[0] == seen[1]
    return seen[0], set(said)


@pytest.mark.parametrize("name", ["X-Accel-Redirect", "x-accel-redirect", "X-ACCEL-redirect"])
def test_on_the_http_wire(name):
    kept, said = answered(
        [("A", "1"), (name, "/-/x"), ("B", "2"), (name, "@x"), (name, "/own/x"), (name, Internal("/-/x"))], ["/own/"]
    )
    assert kept == [("A", "1"), ("B", "2"), (name, "/own/x"), (name, "/-/x")]
    assert said == {
        accel.dropped("/-/ is Flagon's own"),
        accel.dropped("it names a location that the user's nginx files do not have"),
    }


def test_what_gunicorn_is_to_refuse_reaches_it():
    headers = [(b"X-Accel-Redirect", "/-/x"), ("X-Accel-Redirect", b"/-/x"), ("X_Accel_Redirect", "/-/x"), (None, None)]
    assert answered(headers) == (headers, set())


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified", "404 Not Found"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_on_the_fastcgi_wire(method, status):
    said = []
    for kind in (list, iter):

        def application(environ, start, kind=kind):
            headers = [("X-Accel-Redirect", "/old/x"), ("X-Kept", "1")]
            start("500 X", headers)
            headers = [
                ("X-ACCEL-REDIRECT", "/-/x"),
                ("X-Kept", "1"),
                ("x-accel-redirect", "@stuck"),
                ("X-Accel-Redirect", "/-/y"),
            ]
            start(status, headers, (ValueError, ValueError(), None))
            return kind([b"body"])

        box = fc.Box(application)
        for _ in range(3):
            reply = box.ask(method)
            assert (reply.status, reply["X-Kept"], reply["X-Accel-Redirect"], reply["x-accel-redirect"]) == (
                status,
                "1",
                None,
                None,
            )
        said = [message for message in box.messages.at("WARNING") if "X-Accel-Redirect" in message]
        assert len(said) == 2


def asked(value, **more):
    return fc.Box(lambda environ, start: (start("200 OK", [("X-Accel-Redirect", value)]), [b"x"])[1], **more).ask()


def test_what_may_pass_on_the_fastcgi_wire():
    assert asked("/own/x", named_locations=["/own/"])["X-Accel-Redirect"] == "/own/x"
    assert asked("/own/x")["X-Accel-Redirect"] is None
    assert asked(Internal("/-/x"))["X-Accel-Redirect"] == "/-/x"
    assert asked("@own", named_locations=["@own"])["X-Accel-Redirect"] == "@own"
    assert asked("/-/x", named_locations=None)["X-Accel-Redirect"] == "/-/x", "the user's own nginx.conf as a whole"
