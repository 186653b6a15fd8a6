"""The page, its files, its request id, its errors."""

from __future__ import annotations

import re

from .box import Box


def test_the_page_is_the_starter(starter: Box) -> None:
    answer = starter.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Flagon" in answer.text
    assert "/up" in answer.text
    assert "/ready" in answer.text


def test_its_stylesheet_is_served(starter: Box) -> None:
    page = starter.get("/").text
    sheets = re.findall(r'<link[^>]+href="([^"]+\.css[^"]*)"', page)
    assert sheets
    for sheet in sheets:
        answer = starter.get(sheet)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/css")
        assert len(answer.content) > 200


def test_nothing_is_loaded_from_elsewhere(starter: Box) -> None:
    page = starter.get("/").text
    assert not re.search(r'(?:src|<link[^>]+href)="(?:https?:)?//', page)


def test_one_id_in_the_response_and_in_the_access_log(starter: Box) -> None:
    answer = starter.get("/?with=query")
    number = answer.headers["X-Request-ID"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", number)
    record = starter.wait_record(lambda one: one.get("logger") == "access" and one.get("request_id") == number)
    assert record["status"] == 200
    assert "with=query" not in str(record)


def test_two_requests_have_two_ids(starter: Box) -> None:
    first, second = (starter.get("/").headers["X-Request-ID"] for _ in range(2))
    assert first != second


def test_an_unknown_page_is_html_for_a_browser(starter: Box) -> None:
    answer = starter.get("/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


def test_an_unknown_page_is_json_for_a_program(starter: Box) -> None:
    answer = starter.get("/nowhere", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("application/json")
    assert isinstance(answer.json(), dict)


def test_it_tells_no_versions_in_headers(starter: Box) -> None:
    for path in ("/", "/nowhere", "/static/nowhere"):
        answer = starter.get(path)
        assert answer.headers.get("Server", "nginx") == "nginx"
        assert "X-Powered-By" not in answer.headers
