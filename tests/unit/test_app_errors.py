"""The starter's error pages: HTML or one JSON shape, and nothing of the exception in either."""

import pytest
from flask import Response, abort

from app import create_app
from app.settings import Settings

JSON = {"Accept": "application/json"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def client():
    app = create_app(Settings())

    @app.get("/broken")
    @app.get("/api/broken")
    def broken():
        raise RuntimeError("hunter2")

    app.add_url_rule("/abort-500", view_func=lambda: abort(500, "hunter2"), endpoint="abort-500")
    app.add_url_rule("/busy", view_func=lambda: abort(503, "Try later", retry_after=7), endpoint="busy")
    app.add_url_rule("/own", view_func=lambda: abort(Response("own", 418)), endpoint="own")
    app.add_url_rule("/own-404", view_func=lambda: abort(404, response=Response("own", 404)), endpoint="own-404")
    app.add_url_rule("/markup", view_func=lambda: abort(400, "<script>"), endpoint="markup")
    app.add_url_rule("/folder/", view_func=lambda: "folder", endpoint="folder")
    return app.test_client()


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, BROWSER])
def test_people_get_html(client, headers):
    response = client.get("/nowhere", headers={**headers, "X-Request-ID": "abc-123"})
    assert response.status_code == 404
    assert response.mimetype == "text/html"
    assert "<h1>Not Found</h1>" in response.text
    assert "abc-123" in response.text
    assert "Accept" in response.vary


def test_programs_get_json(client):
    response = client.get("/nowhere", headers={**JSON, "X-Request-ID": "abc-123"})
    assert response.status_code == 404
    assert response.mimetype == "application/json"
    error = response.json["error"]
    assert error.pop("detail").startswith("The requested URL was not found")
    assert error == {"status": 404, "title": "Not Found", "request_id": "abc-123"}


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        ("text/html;q=0.5,application/json", "application/json"),
        ("application/json;q=0.5,text/html", "text/html"),
        ("application/json,*/*;q=0.1", "application/json"),
    ],
)
def test_the_preferred_form_wins(client, accept, mimetype):
    assert client.get("/nowhere", headers={"Accept": accept}).mimetype == mimetype


def test_an_api_path_is_always_json(client):
    assert client.get("/api/nowhere", headers=BROWSER).json["error"]["status"] == 404


@pytest.mark.parametrize("headers", [BROWSER, JSON])
@pytest.mark.parametrize("path", ["/broken", "/api/broken", "/abort-500"])
def test_an_exception_leaks_nothing(client, path, headers):
    response = client.get(path, headers=headers)
    assert response.status_code == 500
    assert "hunter2" not in response.text
    assert "RuntimeError" not in response.text
    assert "Internal Server Error" in response.text


@pytest.mark.parametrize("headers", [BROWSER, JSON])
def test_headers_of_the_error_stay(client, headers):
    assert client.get("/busy", headers=headers).headers["Retry-After"] == "7"
    response = client.post("/", headers=headers)
    assert response.status_code == 405
    assert set(response.allow) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(("path", "status"), [("/own", 418), ("/own-404", 404)])
def test_an_own_answer_is_left_alone(client, path, status):
    response = client.get(path)
    assert (response.status_code, response.text) == (status, "own")


def test_redirects_are_left_alone(client):
    response = client.get("/folder")
    assert response.status_code == 308
    assert response.headers["Location"].endswith("/folder/")


def test_details_are_escaped(client):
    response = client.get("/markup", headers={"X-Request-ID": "<script>"})
    assert "<script" not in response.text


def test_head_has_no_body(client):
    response = client.head("/nowhere")
    assert response.status_code == 404
    assert response.data == b""
