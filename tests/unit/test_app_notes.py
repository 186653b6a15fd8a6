"""The notes' pages, on SQLite and on Postgres: every form works as a browser without JavaScript sends it."""

import html
import re

import pytest

from app.database import db
from app.notes.models import Note


class Browser:
    """A client that fills in the form of the page that it has, hidden fields and all."""

    def __init__(self, app):
        self.client = app.test_client()

    def get(self, path, status=200):
        response = self.client.get(path)
        assert response.status_code == status, response.text
        self.path, self.text = path, response.text
        return response.text

    def form(self):
        form = re.search(r'<form[^>]*method="post".*?</form>', self.text, re.DOTALL)[0]
        fields = {}
        for field in re.findall(r"<input[^>]*>", form):
            fields[re.search(r'name="(\w+)"', field)[1]] = html.unescape(re.search(r'value="([^"]*)"', field)[1])
        for name, value in re.findall(r'<textarea[^>]*name="(\w+)"[^>]*>\n(.*?)</textarea>', form, re.DOTALL):
            fields[name] = html.unescape(value)
        return html.unescape(re.search(r'action="([^"]*)"', form)[1]), fields

    def send(self, status=303, **values):
        action, fields = self.form()
        response = self.client.post(action, data={**fields, **values})
        assert response.status_code == status, response.text
        self.text = response.text
        return self.get(response.headers["Location"]) if status == 303 else response.text

    def add(self, title, body="", **more):
        self.get("/notes/new")
        return self.send(title=title, body=body, **more)


@pytest.fixture
def browser(app):
    return Browser(app)


@pytest.fixture
def fill(app):
    def fill(*titles):
        with app.app_context():
            for title in titles:
                db.session.add(Note(title=title, body=""))
                db.session.flush()
            db.session.commit()

    return fill


def titles(text):
    return [html.unescape(title) for title in re.findall(r"<h2><a[^>]*>(.*?)</a></h2>", text)]


def test_an_empty_list_says_what_to_do(browser):
    text = browser.get("/notes")
    assert "No notes yet." in text
    assert 'href="/notes/new"' in text


def test_add_edit_delete(browser):
    text = browser.add("First", "Some text")
    assert titles(text) == ["First"]
    assert "Note added." in text
    browser.get("/notes/1/edit")
    assert browser.form()[1]["body"] == "Some text"
    text = browser.send(title="Changed")
    assert titles(text) == ["Changed"]
    assert "Some text" in text
    browser.get("/notes/1/delete")
    text = browser.send()
    assert titles(text) == []
    assert "Note deleted." in text


def test_a_message_is_shown_once(browser):
    browser.add("First")
    assert "Note added." not in browser.get("/notes")


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"title": ""}, "title", "Give it a title."),
        ({"title": " \t\r\n\u3000 "}, "title", "Give it a title."),
        ({"title": "x" * 121}, "title", "Use 1 to 120 characters."),
        ({"title": "a\0b"}, "title", "Remove the control characters from it."),
        ({"title": "t", "body": "x" * 10_001}, "body", "Use at most 10,000 characters."),
        ({"title": "t", "body": "a\x1bb"}, "body", "Remove the control characters from it."),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_is_wrong_is_said_beside_the_field(browser, values, field, message):
    text = browser.add(**{"body": "typed", **values}, status=422)
    row = re.search(rf'<label for="{field}">.*?</div>', text, re.DOTALL)[0]
    assert message in row
    assert 'aria-invalid="true"' in row
    described = re.search(r'aria-describedby="([^"]+)"', row)[1].split()
    assert all(f'id="{name}"' in row for name in described)
    assert f"{field}-error" in described
    assert re.search(r"<(?:input|textarea)[^>]*autofocus", row)
    assert browser.form()[1]["body"].strip("\n") == {"body": "typed", **values}["body"]
    assert titles(browser.get("/notes")) == []


@pytest.mark.parametrize(
    "text",
    [
        "x" * 120,
        "Ω≈ç√ 日本語 👩‍👩‍👧 עברית",
        "<b>&amp;</b> \"quoted\" 'one'",
        "100% of_it \\ {{ 7*7 }}",
        "\N{COMBINING ACUTE ACCENT}" * 50,
    ],
    ids=lambda text: ascii(text)[:10],
)
def test_any_text_comes_back_as_it_was_typed(browser, text):
    assert titles(browser.add(text)) == [text]
    browser.get("/notes/1/edit")
    assert browser.form()[1]["title"] == text


def test_ten_thousand_characters_and_lines(browser):
    body = "\n".join(["ä" * 99] * 100)
    browser.add("Long", "\r\n".join(body.split("\n")))
    browser.get("/notes/1/edit")
    assert browser.form()[1]["body"] == body
    assert len(browser.get("/notes")) < 9000


def test_newest_first_in_pages_of_ten(browser, fill):
    fill(*(f"note {number}" for number in range(25)))
    assert titles(browser.get("/notes")) == [f"note {number}" for number in range(24, 14, -1)]
    assert titles(browser.get("/notes?page=3")) == [f"note {number}" for number in range(4, -1, -1)]
    assert "Page 3 of 3" in browser.text
    assert 'rel="next"' not in browser.text
    assert 'href="/notes?page=2"' in browser.text


@pytest.mark.parametrize("page", ["4", "999999999"])
def test_beyond_the_end_is_the_last_page(browser, fill, page):
    fill(*(f"note {number}" for number in range(25)))
    assert "Page 3 of 3" in browser.get(f"/notes?page={page}")


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "1.5", "９", "9" * 30, "1e3", "%00"])
def test_no_page_number_is_the_first_page(browser, fill, page):
    fill(*(f"note {number}" for number in range(11)))
    assert "Page 1 of 2" in browser.get(f"/notes?page={page}")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ÄPFEL", ["Grüne Äpfel"]),
        ("äpfel", ["Grüne Äpfel"]),
        ("%", ["100% sure"]),
        ("_", ["snake_case"]),
        ("/", ["a/b"]),
        ("\\", ["back\\slash"]),
        ("100%25", []),
        ("  SURE ", ["100% sure"]),
        ("'", ["it's"]),
        ("nothing", []),
        ("x" * 500, []),
    ],
    ids=lambda value: ascii(value)[:12],
)
def test_search(browser, fill, query, found):
    fill("Grüne Äpfel", "100% sure", "snake_case", "a/b", "back\\slash", "it's")
    text = browser.client.get("/notes", query_string={"q": query}).text
    assert titles(text) == found
    assert ("Nothing found." in text) is not bool(found)


def test_search_looks_into_the_text_too_and_pages_keep_it(browser, fill):
    fill(*(f"other {number}" for number in range(12)))
    for number in range(12):
        browser.add(f"n{number}", "Needle")
    text = browser.get("/notes?q=needle")
    assert "12 notes with" in text
    assert "/notes?q=needle&amp;page=2" in text
    assert titles(browser.get("/notes?q=needle&page=2")) == ["n1", "n0"]


def test_one_comes_back_to_where_one_was(browser, fill):
    fill(*(f"note {number}" for number in range(12)))
    browser.get("/notes/1/edit?q=note&page=2")
    assert browser.form()[0] == "/notes/1/edit?q=note&page=2"
    assert "Page 2 of 2" in browser.send(title="note changed")


def test_nobodys_text_is_lost_when_two_edit(app, fill):
    fill("note")
    first, second = Browser(app), Browser(app)
    first.get("/notes/1/edit")
    second.get("/notes/1/edit")
    first.send(title="the first's")
    text = second.send(409, title="the second's", body="also typed")
    assert "Somebody else saved this note" in text
    assert "the first&#39;s" in text
    assert second.form()[1]["title"] == "the second's"
    assert second.form()[1]["body"] == "also typed"
    assert titles(second.send()) == ["the second's"]


def test_a_text_outlives_the_note_that_was_deleted_meanwhile(app, fill):
    fill("note")
    browser, other = Browser(app), Browser(app)
    browser.get("/notes/1/edit")
    other.get("/notes/1/delete")
    other.send()
    text = browser.send(404, title="typed", body="for an hour")
    assert "deleted meanwhile" in text
    assert titles(browser.send()) == ["typed"]


@pytest.mark.parametrize(
    "path", ["/notes/1/edit", "/notes/1/delete", "/notes/99999999999999999999/edit", "/notes/-1/edit"]
)
def test_a_note_that_is_not_there_is_a_404_page(browser, path):
    assert "<h1>Not Found</h1>" in browser.get(path, 404)


def test_deleting_twice_is_a_404_page(browser, fill):
    fill("note")
    browser.get("/notes/1/delete")
    page = browser.text
    browser.send()
    browser.text = page
    browser.send(404)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_nothing_is_written_and_nothing_lost(browser, fill, token):
    text = browser.add("typed", "for an hour", csrf_token=token, status=400)
    assert "send it again" in text
    assert browser.form()[1]["body"] == "for an hour"
    assert titles(browser.get("/notes")) == []
    browser.add("typed", status=400, csrf_token=token)
    assert titles(browser.send()) == ["typed"]


def test_deleting_needs_the_token(browser, fill):
    fill("note")
    browser.get("/notes/1/delete")
    assert "send it again" in browser.send(csrf_token="wrong")
    assert titles(browser.get("/notes")) == ["note"]


def test_the_token_may_come_in_a_header(browser, fill):
    fill("note")
    token = re.search(r'"X-CSRFToken": "([^"]+)"', browser.get("/notes"))[1]
    assert browser.client.post("/notes/1/delete").status_code == 303
    assert titles(browser.get("/notes")) == ["note"]
    assert browser.client.post("/notes/1/delete", headers={"X-CSRFToken": token}).status_code == 303
    assert titles(browser.get("/notes")) == []


def test_nothing_inline_and_nothing_from_outside(browser, fill):
    fill("note")
    for path in ("/notes", "/notes/new", "/notes/1/edit", "/notes/1/delete"):
        text = browser.get(path)
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:|\bhx-on|js:", text)
        assets = re.findall(r'(?:src|<link[^>]+href)="([^"]+)"', text)
        assert len(assets) > 3
        for asset in assets:
            assert asset.startswith("/static/")
            with browser.client.get(asset) as answer:
                assert answer.status_code == 200


def test_pages_may_be_kept_but_are_asked_for_again(browser):
    headers = browser.client.get("/notes").headers
    assert set(headers["Cache-Control"].split(", ")) == {"no-cache", "private"}


def test_the_welcome_page_leads_there(browser):
    assert 'href="/notes"' in browser.get("/")
