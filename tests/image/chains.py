"""The table of chains: what stands before the box, what headers come, and what the application must see.

test_client_address.py drives the image with it; docs/client-address.md shows it, and a unit test keeps the two equal.
"""

from __future__ import annotations

from typing import NamedTuple

# Tables, a row a line, however long.
# ruff: noqa: E501
PEER = "the peer"  # the address that the connection comes from
SETTINGS: dict[str, dict[str, str]] = {
    "": {},
    "TRUSTED_PROXIES=none": {"TRUSTED_PROXIES": "none"},
    "TRUSTED_PROXIES=private": {"TRUSTED_PROXIES": "private"},
    "TRUSTED_PROXIES=203.0.113.0/24": {"TRUSTED_PROXIES": "203.0.113.0/24"},
    "TRUSTED_PROXIES=private,198.51.100.0/24": {"TRUSTED_PROXIES": "private,198.51.100.0/24"},
    "TRUSTED_PROXIES=any": {"TRUSTED_PROXIES": "any"},
    "TRUSTED_PROXIES=private, REAL_IP_HEADER=X-Visitor": {"TRUSTED_PROXIES": "private", "REAL_IP_HEADER": "X-Visitor"},
    "on Fly": {"FLY_APP_NAME": "shop"},
    "on Fly, TRUSTED_PROXIES=none": {"FLY_APP_NAME": "shop", "TRUSTED_PROXIES": "none"},
    "on Railway": {"RAILWAY_PROJECT_ID": "0c1d"},
    "on Render": {"RENDER": "true"},
    "on Heroku": {"DYNO": "web.1"},
    "on Azure App Service": {"WEBSITE_SITE_NAME": "shop"},
    "on Kubernetes": {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
}
NAMED = "TRUSTED_PROXIES=private"
# What a client may claim of address, scheme, host and path.
FORGED = (
    "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 444", "X-Forwarded-Prefix: /evil",
    "X-Forwarded-Ssl: on", "X-Forwarded-Scheme: https", "Front-End-Https: on", "X-Url-Scheme: https",
    "Forwarded: for=6.6.6.6;host=evil.test;proto=https", "X-Real-IP: 6.6.6.6", "True-Client-IP: 6.6.6.6",
    "CF-Connecting-IP: 6.6.6.6", "Fly-Client-IP: 6.6.6.6", "Client-IP: 6.6.6.6", "X-Client-IP: 6.6.6.6",
    "X_Forwarded_For: 6.6.6.6", "X-Forwarded-For: 6.6.6.6", "X-Original-Host: evil.test", "X-Host: evil.test",
    "X-Forwarded-User: evil", "X-Remote-User: evil", "Tailscale-User-Login: evil", "X-Azure-ClientIP: 6.6.6.6",
    "CF-Connecting-IPv6: 6.6.6.6", "X-Originating-IP: 6.6.6.6", "CloudFront-Viewer-Address: 6.6.6.6:444",
    "X-Custom-IP-Authorization: 6.6.6.6", "X-Override-Host: evil.test", "X-Is-Https: on", "X-Protocol: https", "Http-Url: /evil",
    "X-Iap-User: evil", "X-Jwt-Email: evil", "X-Subject-Dn: evil",
)  # fmt: skip
# The same, from a client whose proxy sets what it is asked to set itself, and passes on the others.
PASSED_ON = tuple(
    line
    for line in FORGED
    if not line.startswith(("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-User"))
    and not line.startswith(("X-Remote-User", "Tailscale-", "X-Iap-User", "X-Jwt-Email", "X-Subject-Dn"))
)
HTTPS = "X-Forwarded-Proto: https"


class Chain(NamedTuple):
    """One row. Host: shop.test unless `host` says otherwise."""

    name: str
    headers: tuple[str, ...]
    address: str
    base: str  # scheme, host and port of url_for(_external=True)
    setting: str = ""
    host: str = "shop.test"


CHAINS = (
    Chain("direct", (), PEER, "http://shop.test"),
    Chain("direct, with a port", (), PEER, "http://shop.test:8080", host="shop.test:8080"),
    Chain("direct, to an IPv6 address", (), PEER, "http://[2001:db8::7]:8080", host="[2001:db8::7]:8080"),
    Chain("direct, all is forged", FORGED, PEER, "http://shop.test"),
    Chain("direct, a list is forged", ("X-Forwarded-For: 6.6.6.6, 10.0.0.2", HTTPS), PEER, "http://shop.test"),
    Chain("nobody is trusted, all is forged", FORGED, PEER, "http://shop.test", "TRUSTED_PROXIES=none"),
    Chain("direct, forged twice", ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7"), PEER, "http://shop.test"),
    Chain("a peer outside the networks, all is forged", FORGED, PEER, "http://shop.test", "TRUSTED_PROXIES=203.0.113.0/24"),
    Chain("one proxy", ("X-Forwarded-For: 203.0.113.9", HTTPS), "203.0.113.9", "https://shop.test", NAMED),
    Chain("one proxy, on a port", ("X-Forwarded-For: 203.0.113.9", HTTPS), "203.0.113.9", "https://shop.test:8443", NAMED, host="shop.test:8443"),
    Chain("one proxy that names the host", ("X-Forwarded-For: 203.0.113.9", HTTPS, "X-Forwarded-Host: www.test:8443"), "203.0.113.9", "https://www.test:8443", NAMED),
    Chain("one proxy that names a port", ("X-Forwarded-For: 203.0.113.9", HTTPS, "X-Forwarded-Port: 8080"), "203.0.113.9", "https://shop.test", NAMED),
    Chain("one proxy, http", ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http"), "203.0.113.9", "http://shop.test", NAMED),
    Chain("one proxy, the client forged", ("X-Forwarded-For: 6.6.6.6, 203.0.113.9", HTTPS), "203.0.113.9", "https://shop.test", NAMED),
    Chain("one proxy, it passes on what the client forged", ("X-Forwarded-For: 6.6.6.6, 203.0.113.9", HTTPS, *PASSED_ON), "203.0.113.9", "https://shop.test", NAMED),
    Chain("one proxy that adds a line", ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9", HTTPS), "203.0.113.9", "https://shop.test", NAMED),
    Chain("one proxy, ip:port", ("X-Forwarded-For: 203.0.113.9:51234", HTTPS), "203.0.113.9", "https://shop.test", NAMED),
    Chain("one proxy, [ipv6]:port", ("X-Forwarded-For: [2001:db8::9]:51234", HTTPS), "2001:db8::9", "https://shop.test", NAMED),
    Chain("one proxy, IPv6", ("X-Forwarded-For: 2001:db8::9", HTTPS), "2001:db8::9", "https://shop.test", NAMED),
    Chain("one proxy, an IPv4 client in IPv6's words", ("X-Forwarded-For: ::ffff:203.0.113.9", HTTPS), "203.0.113.9", "https://shop.test", NAMED),
    Chain("one proxy, the same in hexadecimal", ("X-Forwarded-For: ::ffff:cb00:7109", HTTPS), "203.0.113.9", "https://shop.test", NAMED),
    Chain("one proxy, a word for an address", ("X-Forwarded-For: unknown", HTTPS), PEER, "https://shop.test", NAMED),
    Chain("one proxy, an empty header", ("X-Forwarded-For: ", HTTPS), PEER, "https://shop.test", NAMED),
    Chain("one proxy, no header (its health check)", (), PEER, "http://shop.test", NAMED),
    Chain("two proxies", ("X-Forwarded-For: 203.0.113.9, 10.0.0.2", HTTPS), "203.0.113.9", "https://shop.test", NAMED),
    Chain("two proxies, the client forged", ("X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.2", HTTPS), "203.0.113.9", "https://shop.test", NAMED),
    Chain("two proxies, both name the scheme", ("X-Forwarded-For: 203.0.113.9, 10.0.0.2", "X-Forwarded-Proto: https,http"), "203.0.113.9", "https://shop.test", NAMED),
    Chain("two proxies, both name the host", ("X-Forwarded-For: 203.0.113.9, 10.0.0.2", HTTPS, "X-Forwarded-Host: www.test, shop.internal"), "203.0.113.9", "https://www.test", NAMED),
    Chain("three proxies", ("X-Forwarded-For: 203.0.113.9, 10.0.0.2, 100.64.0.3", HTTPS), "203.0.113.9", "https://shop.test", NAMED),
    Chain("three proxies, IPv6 between", ("X-Forwarded-For: 2001:db8::9, fd00::2, fe80::3", HTTPS), "2001:db8::9", "https://shop.test", NAMED),
    Chain("a private client, one proxy", ("X-Forwarded-For: 192.168.1.7",), "192.168.1.7", "http://shop.test", NAMED),
    Chain("a private client, two proxies", ("X-Forwarded-For: 192.168.1.7, 10.0.0.2",), "192.168.1.7", "http://shop.test", NAMED),
    Chain("a public proxy that is not listed", ("X-Forwarded-For: 203.0.113.9, 198.51.100.4",), "198.51.100.4", "http://shop.test", NAMED),
    Chain("a public proxy that is listed", ("X-Forwarded-For: 203.0.113.9, 198.51.100.4",), "203.0.113.9", "http://shop.test", "TRUSTED_PROXIES=private,198.51.100.0/24"),
    Chain("everybody is trusted", ("X-Forwarded-For: 203.0.113.9, 198.51.100.4", HTTPS), "203.0.113.9", "https://shop.test", "TRUSTED_PROXIES=any"),
    Chain("a proxy with a header of its own", ("X-Visitor: 203.0.113.9", "X-Forwarded-For: 6.6.6.6"), "203.0.113.9", "http://shop.test", "TRUSTED_PROXIES=private, REAL_IP_HEADER=X-Visitor"),
    Chain("Heroku, Kamal, Northflank", ("X-Forwarded-For: 203.0.113.9", HTTPS, "X-Forwarded-Port: 443"), "203.0.113.9", "https://shop.test", "on Heroku"),
    Chain("a platform's proxy is believed address and scheme, never a host, a user", (*PASSED_ON, "X-Forwarded-User: evil", "X-Forwarded-Host: evil.test", "X-Forwarded-For: 6.6.6.6, 203.0.113.9", HTTPS), "203.0.113.9", "https://shop.test", "on Heroku"),
    Chain("AWS ALB", ("X-Forwarded-For: 203.0.113.9", HTTPS, "X-Forwarded-Port: 443"), "203.0.113.9", "https://shop.test", NAMED),
    Chain("a cluster, whose nodes may hide the clients", FORGED, PEER, "http://shop.test", "on Kubernetes"),
    Chain("Azure App Service", ("X-Forwarded-For: 203.0.113.9:51234", HTTPS, "X-ARR-SSL: 2048", "X-Original-URL: /tell", "X-Client-IP: 203.0.113.9"), "203.0.113.9", "https://shop.test", "on Azure App Service"),
    Chain("Fly: the last address is the application's own", ("X-Forwarded-For: 203.0.113.9, 66.241.124.1", "Fly-Client-IP: 203.0.113.9", HTTPS, "X-Forwarded-Ssl: on", "X-Forwarded-Port: 443"), "203.0.113.9", "https://shop.test", "on Fly"),
    Chain("Fly, IPv6", ("X-Forwarded-For: 2001:db8::9, 2a09:8280:1::1", "Fly-Client-IP: 2001:db8::9", HTTPS), "2001:db8::9", "https://shop.test", "on Fly"),
    Chain("Fly's health check", (), PEER, "http://shop.test", "on Fly"),
    Chain("Fly, nobody trusted", ("Fly-Client-IP: 6.6.6.6", HTTPS), PEER, "http://shop.test", "on Fly, TRUSTED_PROXIES=none"),
    Chain("Railway", ("X-Real-IP: 203.0.113.9", HTTPS, "X-Forwarded-Host: shop.test", "X-Railway-Edge: railway/europe", "X-Forwarded-For: 6.6.6.6"), "203.0.113.9", "https://shop.test", "on Railway"),
    Chain("Railway's health check", (), PEER, "http://healthcheck.railway.app", "on Railway", "healthcheck.railway.app"),
    Chain("Render, behind its CDN", ("CF-Connecting-IP: 203.0.113.9", "True-Client-IP: 203.0.113.9", "X-Forwarded-For: 203.0.113.9, 172.70.1.2, 10.17.0.3", HTTPS), "203.0.113.9", "https://shop.test", "on Render"),
    Chain("Render's health check", (), PEER, "http://shop.test", "on Render"),
)  # fmt: skip


def _shown(headers: tuple[str, ...]) -> str:
    """Header lines as the page shows them; the forged ones in two words."""
    if headers == FORGED:
        return "all of them forged"
    others = [line for line in headers if line not in PASSED_ON or not set(PASSED_ON) <= set(headers)]
    return "<br>".join([f"`{line}`" for line in others] + ["and the forged ones"] * (len(others) < len(headers)))


def markdown() -> str:
    """The table for docs/client-address.md."""
    lines = ["| chain | setting | headers that come | address | url_for |", "| --- | --- | --- | --- | --- |"]
    for chain in CHAINS:
        setting = f"`{chain.setting}`" if "=" in chain.setting and ", " not in chain.setting else chain.setting
        lines.append(f"| {chain.name} | {setting} | {_shown(chain.headers)} | {chain.address} | {chain.base} |")
    return "\n".join(lines) + "\n"
