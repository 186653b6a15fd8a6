"""The welcome page: tells the truth about the stack, and stands whatever it is told."""

import json
import os
import re
import time
from itertools import pairwise

import pytest

from app import create_app
from app.settings import Settings
from app.stack import human_duration

SUMMARY = {
    "version": "0.1.0",
    "workers": 3,
    "threads": 4,
    "workers_why": "cpu 2 from affinity, memory 23900 MB from MemTotal -> 3 workers",
    "worker_class": "fastcgi",
    "wire": "FastCGI over a unix socket",
    "nginx": "1.26.3",
    "gunicorn": "27.0.1",
    "supervisor": "4.3.0",
    "uid": 10001,
    "data_dir": "/data",
    "data_is_volume": False,
}


def page(summary=None, headers=None, **environment):
    if summary is not None:
        environment["FLAGON_SUMMARY"] = json.dumps(summary)
    response = create_app(Settings.from_environment(environment)).test_client().get("/", headers=headers)
    assert response.status_code == 200
    return response.text


def test_shows_what_runs():
    text = page({**SUMMARY, "started_at": time.time() - 7265})
    for fact in ("0.1.0", "1.26.3", "27.0.1", "4.3.0", "4 threads", "FastCGI over a unix socket"):
        assert fact in text
    assert "cpu 2 from affinity, memory 23900 MB from MemTotal -&gt; 3 workers" in text
    assert "uid 10001" in text
    assert "2 hours 1 minute" in text
    assert 'href="/up"' in text
    assert 'href="/ready"' in text
    assert "without Flagon" not in text


def test_shows_the_id_of_this_request():
    assert "abc-123" in page(SUMMARY, headers={"X-Request-ID": "abc-123"})
    assert "<dt>Request</dt>" not in page(SUMMARY)


def test_stands_without_flagon():
    text = page()
    assert "without Flagon" in text
    assert f"uid {os.getuid()}" in text
    assert 'href="/up"' not in text
    assert "nginx</strong>" not in text
    assert "gunicorn</strong>" not in text
    assert "None" not in text


@pytest.mark.parametrize("left_out", sorted(SUMMARY))
def test_any_key_may_be_missing(left_out):
    text = page({key: value for key, value in SUMMARY.items() if key != left_out})
    assert "None" not in text


@pytest.mark.parametrize(
    "value",
    ["<script>alert(1)</script>", "\ud800", None, True, -1, 1e400, 10**400, [], {"a": 1}, "x" * 9999],
    ids=lambda value: ascii(value)[:9],
)
def test_hostile_values_are_escaped_or_ignored(value):
    keys = [*SUMMARY, "started_at"]
    text = page(dict.fromkeys(keys, value), headers={"X-Request-ID": "<script>"})
    assert "<script" not in text


def test_impossible_numbers_are_ignored():
    assert "<dt>Workers</dt>" in page(SUMMARY)
    assert "<dt>Workers</dt>" not in page({**SUMMARY, "workers": -3})


def test_hostile_host_and_database_are_escaped(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "<script>")
    assert "<script" not in page(DATABASE_URL="postgresql://<script>/name", FLAGON_VERSION="<script>")


def test_data_that_will_be_lost_is_said():
    lost = "/data is not a volume"
    assert lost in page(SUMMARY)
    assert lost not in page({**SUMMARY, "data_is_volume": True})
    assert lost not in page({key: value for key, value in SUMMARY.items() if key != "data_is_volume"})
    assert lost not in page(SUMMARY, DATABASE_URL="postgresql://host/name")


def test_the_database_is_named_without_its_password():
    assert "/data/app.db" in page(SUMMARY)
    assert "in memory" in page(DATABASE_URL="sqlite://")
    text = page(SUMMARY, DATABASE_URL="postgres://user:hunter2@db.example.com:5432/shop?sslpassword=hunter2")
    assert "PostgreSQL" in text
    assert '<span class="role">db.example.com:5432</span>' in text
    assert "postgres://user:***@db.example.com:5432/shop" in text
    assert "hunter2" not in text


def test_says_what_to_do_next():
    text = page()
    for command in (
        "FROM flagon:runtime",
        "COPY . /app",
        "-e DATABASE_URL=",
        "docker run --rm flagon config",
    ):
        assert command in text


def test_is_never_stored_and_needs_nothing_from_outside():
    client = create_app(Settings()).test_client()
    response = client.get("/")
    assert response.headers["Cache-Control"] == "no-store"
    assert "<script" not in response.text
    assert "style=" not in response.text
    assets = re.findall(r'(?:src|href)="([^"]+\.(?:svg|css))"', response.text)
    assert assets
    for asset in assets:
        assert asset.startswith("/static/")
        with client.get(asset) as answer:
            assert answer.status_code == 200


def test_headings_and_landmarks_are_in_order():
    text = page(SUMMARY)
    levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    for landmark in ("<header", "<nav", "<main", "<footer", '<html lang="en">'):
        assert text.count(landmark) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 seconds"),
        (0.4, "0 seconds"),
        (1, "1 second"),
        (60, "1 minute"),
        (125, "2 minutes 5 seconds"),
        (3600 + 59, "1 hour"),
        (86400 * 3 + 3600 * 4 + 60, "3 days 4 hours"),
    ],
)
def test_durations_for_people(seconds, words):
    assert human_duration(seconds) == words
