"""The notes in the image: pages, API and seed; the same scenario for any database that a Box is given."""

from __future__ import annotations

import html
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from .box import Box, docker, name_for, size, wait_until


def form_of(text: str) -> tuple[str, dict[str, str]]:
    """The action and the fields of a page's form, as a browser would send them."""
    form = re.search(r'<form[^>]*method="post".*?</form>', text, re.DOTALL)
    assert form, text
    fields = {
        name: html.unescape(value)
        for name, value in re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', form[0])
    }
    texts = re.findall(r'<textarea[^>]*name="(\w+)"[^>]*>\n(.*?)</textarea>', form[0], re.DOTALL)
    fields |= {name: html.unescape(value) for name, value in texts}
    action = re.search(r'action="([^"]*)"', form[0])
    assert action
    return html.unescape(action[1]), fields


def send(box: Box, path: str, status: int = 303, **values: str) -> requests.Response:
    """Opens the page, fills in its form and sends it; follows the redirect."""
    page = box.get(path)
    assert page.status_code == 200, page.text
    action, fields = form_of(page.text)
    answer = box.post(action, data={**fields, **values})
    assert answer.status_code == status, answer.text
    return box.get(answer.headers["Location"]) if status == 303 else answer


def wait_for_notes(box: Box, seconds: float = 20) -> None:
    """Until the migration is done."""
    wait_until(lambda: box.get("/api/notes").status_code == 200, seconds, "GET /api/notes is 200")


def exercise_notes(box: Box) -> None:
    """Every path through the notes once. Leaves one note, `kept`, behind; other notes may be there before."""
    wait_for_notes(box)
    before = box.get("/api/notes").json()["total"]

    assert "Note added." in send(box, "/notes/new", title="Grüße 100%", body="first\nsecond").text
    number = box.get("/api/notes?q=GR%C3%9C%C3%9FE 100%25").json()["notes"][0]["id"]
    assert "Note saved." in send(box, f"/notes/{number}/edit", title="Changed").text
    note = box.get(f"/api/notes/{number}").json()
    assert (note["title"], note["body"], note["version"]) == ("Changed", "first\nsecond", 2)
    assert note["created_at"].endswith("+00:00")

    refused = send(box, "/notes/new", 422, title=" ", body="typed")
    assert "Give it a title." in refused.text
    assert form_of(refused.text)[1]["body"] == "typed"
    assert send(box, "/notes/new", 400, title="x", csrf_token="wrong").status_code == 400
    assert send(box, "/notes/new", 422, title="a\0b").status_code == 422
    assert "Note deleted." in send(box, f"/notes/{number}/delete").text
    assert box.get(f"/notes/{number}/edit").status_code == 404
    assert box.get(f"/api/notes/{number}").json()["error"]["status"] == 404

    assert box.post("/api/notes", data={"title": "from elsewhere"}).status_code == 415
    wrong = box.post("/api/notes", json={"title": ""})
    assert (wrong.status_code, list(wrong.json()["error"]["fields"])) == (422, ["title"])
    added = box.post("/api/notes", json={"title": "kept", "body": "x" * 10_000})
    assert added.status_code == 201
    assert box.get(added.headers["Location"]).json() == added.json()
    assert box.get("/api/notes").json()["total"] == before + 1

    first, second = box.exec("flagon", "flask", "seed"), box.exec("flagon", "flask", "seed")
    assert re.search(r"notes: \d added", first)
    assert "notes: 0 added, 3 there already" in second
    assert "No changes detected" in box.exec("flagon", "flask", "db", "check")


def test_notes_on_sqlite(starter: Box) -> None:
    exercise_notes(starter)


def test_the_pages_files_are_served(starter: Box) -> None:
    wait_for_notes(starter)
    page = starter.get("/notes").text
    files = re.findall(r'(?:src|<link[^>]+href)="([^"]+)"', page)
    assert len(files) > 3
    for path in files:
        answer = starter.get(path)
        assert answer.status_code == 200
        if path.endswith(".js"):
            assert "javascript" in answer.headers["Content-Type"]


def test_notes_outlive_the_container() -> None:
    volume = name_for()
    try:
        with Box(args=["-v", f"{volume}:/data"]) as box:
            wait_for_notes(box)
            assert box.post("/api/notes", json={"title": "kept"}).status_code == 201
        with Box(args=["-v", f"{volume}:/data"]) as box:
            wait_for_notes(box)
            assert [note["title"] for note in box.get("/api/notes").json()["notes"]] == ["kept"]
    finally:
        docker("volume", "rm", "-f", volume, check=False)


def test_many_write_at_once(starter: Box) -> None:
    """Several workers and one file: nobody is told that it is locked, and all that was acknowledged is there."""
    wait_for_notes(starter)
    count = size(100, 1000)

    def add(number: int) -> int:
        return requests.post(starter.url("/api/notes"), json={"title": f"burst {number}"}, timeout=15).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(add, range(count))) == {201}
    assert starter.get("/api/notes?q=burst").json()["total"] == count


@pytest.mark.parametrize("path", ["/", "/up"])
def test_what_needs_no_database_is_there_without_one(path: str) -> None:
    with Box(env={"DATABASE_URL": "postgresql://user:hunter2@127.0.0.1:1/name", "MIGRATE": "off"}) as box:
        assert box.get(path).status_code == 200
        answer = box.get("/notes")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "hunter2" not in answer.text
        assert "hunter2" not in box.logs()
