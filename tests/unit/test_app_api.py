"""The notes' API, on SQLite and on Postgres: one shape for notes, one for errors."""

import json
from datetime import datetime, timedelta, timezone

import pytest


@pytest.fixture
def client(app):
    return app.test_client()


def add(client, title="Title", **more):
    response = client.post("/api/notes", json={"title": title, **more})
    assert response.status_code == 201, response.text
    return response.json


def refused(response, status):
    assert response.status_code == status, response.text
    error = response.json["error"]
    assert error["status"] == status
    assert error["title"]
    return error


def test_add_show_change_delete(client):
    response = client.post("/api/notes", json={"title": " Title ", "body": "Text"})
    assert response.status_code == 201
    path = response.headers["Location"]
    assert path == f"/api/notes/{response.json['id']}"
    assert client.get(path).json == response.json
    assert response.json["title"] == "Title"
    changed = client.put(path, json={"title": "Other"}).json
    assert (changed["title"], changed["body"], changed["version"]) == ("Other", "", 2)
    changed = client.patch(path, json={"body": "New"}).json
    assert (changed["title"], changed["body"], changed["version"]) == ("Other", "New", 3)
    assert client.get(path).json == changed
    assert client.delete(path).status_code == 204
    refused(client.get(path), 404)
    refused(client.delete(path), 404)
    refused(client.put(path, json={"title": "Other"}), 404)


def test_moments_have_a_time_zone(client):
    note = add(client)
    for name in ("created_at", "updated_at"):
        moment = datetime.fromisoformat(note[name])
        assert moment.utcoffset() == timedelta(0)
        assert abs(datetime.now(timezone.utc) - moment) < timedelta(minutes=1)
    assert client.get(f"/api/notes/{note['id']}").json == note


def test_pages_and_search(client):
    for number in range(12):
        add(client, f"note {number}", body="even" if number % 2 == 0 else "odd")
    first = client.get("/api/notes").json
    assert (first["page"], first["pages"], first["total"], len(first["notes"])) == (1, 2, 12, 10)
    assert [note["title"] for note in client.get("/api/notes?page=2").json["notes"]] == ["note 1", "note 0"]
    assert client.get("/api/notes?page=3").json["notes"] == []
    found = client.get("/api/notes?q=EVEN").json
    assert (found["total"], found["notes"][0]["title"]) == (6, "note 10")


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "1.5", "9" * 20])
def test_a_wrong_page_is_named(client, page):
    assert "page" in refused(client.get(f"/api/notes?page={page}"), 422)["fields"]


@pytest.mark.parametrize("query", ["x" * 101, "a\0b"])
def test_a_wrong_search_is_named(client, query):
    assert "q" in refused(client.get("/api/notes", query_string={"q": query}), 422)["fields"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": " \n"}, "title"),
        ({"title": "x" * 121}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"title": "\ud800"}, "title"),
        ({"title": None}, "title"),
        ({"title": 7}, "title"),
        ({"title": ["a"]}, "title"),
        ({"title": "t", "body": "x" * 10_001}, "body"),
        ({"title": "t", "body": {}}, "body"),
        ({"title": "t", "version": "1"}, "version"),
        ({"title": "t", "version": True}, "version"),
        ({"title": "t", "id": 7}, "id"),
        ([], "body"),
        ("text", "body"),
        (None, "body"),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_what_is_wrong_is_named(client, given, field):
    response = client.post("/api/notes", data=json.dumps(given), content_type="application/json")
    assert list(refused(response, 422)["fields"]) == [field]
    assert client.get("/api/notes").json["total"] == 0


def test_every_wrong_field_at_once(client):
    given = {"title": "", "body": "x" * 10_001}
    assert set(refused(client.post("/api/notes", json=given), 422)["fields"]) == {"title", "body"}


@pytest.mark.parametrize("text", ["", "{", "[1", "\udcff"])
def test_broken_json(client, text):
    data = text.encode(errors="surrogateescape")
    refused(client.post("/api/notes", data=data, content_type="application/json"), 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_what_another_sites_form_can_send_is_refused(client, kind, method):
    path = "/api/notes" if method == "POST" else f"/api/notes/{add(client)['id']}"
    response = client.open(path, method=method, data=b'{"title": "from elsewhere"}', content_type=kind)
    refused(response, 415)
    assert "from elsewhere" not in client.get("/api/notes").text


def test_nobody_overwrites_what_he_has_not_seen(client):
    path = f"/api/notes/{add(client)['id']}"
    assert client.put(path, json={"title": "first", "version": 1}).status_code == 200
    error = refused(client.put(path, json={"title": "second", "version": 1}), 409)
    assert "its version is 2" in error["detail"]
    assert client.get(path).json["title"] == "first"
    assert client.put(path, json={"title": "second", "version": 2}).json["version"] == 3


@pytest.mark.parametrize("path", ["/api/notes/0", "/api/notes/99999999999999999999", "/api/notes/x", "/api/notes/-1"])
def test_a_note_that_is_not_there(client, path):
    refused(client.get(path), 404)


def test_it_needs_no_token_and_sets_no_cookie(client):
    response = client.post("/api/notes", json={"title": "t"})
    assert response.status_code == 201
    assert "Set-Cookie" not in response.headers
