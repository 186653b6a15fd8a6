"""What a user's nginx files say of the application for all of the site: handed on, or named with the way out."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import re

import pytest

from flagon import users_parameters as module


def find(*texts):
    return module.find((f"/app/{number}.conf", text) for number, text in enumerate(texts))


@pytest.mark.parametrize(
    ("text", "fastcgi", "http"),
    [
        ("uwsgi_param HTTP_X_DN hello;", ["HTTP_X_DN hello"], ["X-DN hello"]),
        ("fastcgi_param SSL_CLIENT_S_DN $ssl_client_s_dn if_not_empty;", ["SSL_CLIENT_S_DN $ssl_client_s_dn if_not_empty"], ["X-Flagon-Parameter-SSL-CLIENT-S-DN $ssl_client_s_dn"]),
        ('uwsgi_param  A\n  "two words; and \\"more\\"";', ['A "two words; and \\"more\\""'], ['X-Flagon-Parameter-A "two words; and \\"more\\""']),
        ("proxy_set_header X-Site one;", [], ["X-SITE one"]),
        ("fastcgi_param A 1;\nfastcgi_param A 2;", ["A 2"], ["X-Flagon-Parameter-A 2"]),
        # whose word is nginx's alone, or the box's
        ("uwsgi_param REMOTE_ADDR $remote_addr; uwsgi_param HTTPS on; fastcgi_param HTTP_X_REAL_IP x;", [], []),
        ("fastcgi_param FLAGON_PEER named; uwsgi_param HTTP_X_FLAGON_PEER named;", [], []),
        ("proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", [], []),
        ("uwsgi_param wsgi.url_scheme https;", [], []),
        # of a location of the user's, which nginx itself looks after
        ("location /a { uwsgi_param A 1; }", [], []),
        ("if ($a) { fastcgi_param A 1; }", [], []),
        ("# uwsgi_param A 1;\n", [], []),
        ("fastcgi_param A;", [], []),
        ('fastcgi_param "A B" x;', [], []),
    ],
)  # fmt: skip
def test_what_is_handed_on(text, fastcgi, http):
    found = find(text)
    assert module.on_the_wire(found, True) == [f"fastcgi_param {one};" for one in fastcgi]
    assert module.on_the_wire(found, False) == [f"proxy_set_header {one};" for one in http]
    assert len(module.names(found, True)) == len(fastcgi)
    assert len(module.names(found, False)) == len(http)


def test_server_level_wins():
    assert module.on_the_wire(find("uwsgi_param A 1;", "fastcgi_param A 2;"), True) == ["fastcgi_param A 2;"]


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        (['auth_basic "staging"; auth_basic_user_file /app/htpasswd;'], True),
        (["auth_basic x;", "location /a { }"], True),
        (["auth_basic off;"], False), (["auth_basic $realm;"], False), (["auth_basic x;", "auth_basic off;"], False),
        (["auth_basic x; location /open { auth_basic off; }"], False), (["auth_basic x; satisfy any;"], False),
        (["location /admin { auth_basic x; }"], False), ([""], False),
    ],
)  # fmt: skip
def test_who_is_logged_in_is_said_where_nobody_comes_without_a_password(texts, known):
    found = find(*texts)
    assert module.names(found, True) == ["REMOTE_USER"] * known
    assert [line.split()[1] for line in module.on_the_wire(found, True)] == ["REMOTE_USER"] * known
    assert bool(module.on_the_wire(found, False)) is known
    assert "$remote_user" not in str(module.on_the_wire(found, True)), "on a health path that is a client's word"


def test_an_own_word_on_the_user_is_the_only_one():
    found = find("auth_basic x; fastcgi_param REMOTE_USER me;")
    assert module.on_the_wire(found, True) == ["fastcgi_param REMOTE_USER me;"]


@pytest.mark.parametrize(
    ("text", "fastcgi", "http"),
    [
        ("\nuwsgi_read_timeout 1200s;", "/app/0.conf:2: uwsgi_read_timeout has no effect.*TIMEOUT", "TIMEOUT"),
        ("fastcgi_send_timeout 9s;", "TIMEOUT", "TIMEOUT"), ("proxy_read_timeout 9s;", "TIMEOUT", "TIMEOUT"),
        ("uwsgi_buffers 8 32k;", "fastcgi_buffers would", "proxy_buffers would"),
        ("fastcgi_buffers 8 32k;", "", "proxy_buffers would"), ("proxy_buffers 8 32k;", "fastcgi_buffers would", ""),
        ("fastcgi_hide_header X-A;", "fragments/app.conf", "fragments/app.conf"),
        ("fastcgi_cache_key x;", "fragments/app.conf", "proxy_cache_key would"),
        ("proxy_set_header X-Site one;", "fastcgi_param HTTP_X_NAME", ""),
        ("uwsgi_param HTTP_X_FORWARDED_PROTO https;", "docs/extending.md", "docs/extending.md"),
        # a location of the user's inherits it
        ("uwsgi_read_timeout 9s; location /a { uwsgi_pass unix:///tmp/uwsgi.sock; }", "", ""),
        ("proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;", "", ""),
        ("uwsgi_param A 1; gzip on; client_max_body_size 1m;", "", ""),
        ("large_client_header_buffers 4 32k;", "WORKER_CLASS=gthread", ""), ("large_client_header_buffers 4 8k;", "", ""),
        ("large_client_header_buffers 2 1m;", "WORKER_CLASS=gthread", ""), ("large_client_header_buffers;", "", ""),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_named(text, fastcgi, http):
    for wire, expected in ((True, fastcgi), (False, http)):
        told = module.lines(find(text), wire, caches=True)
        assert len(told) == bool(expected), told
        assert not expected or re.search(expected, told[0]), told
