"""nginx's fragments that protect: limits for each client, the way to https, security headers. Values in, text out."""

from __future__ import annotations

from typing import Any

from flagon.nginx_text import evaluated

# What browsers are told unless the application says otherwise: name, the variable of its own, our value.
SECURITY_HEADERS = (
    ("X-Content-Type-Options", "x_content_type_options", "nosniff"),
    ("X-Frame-Options", "x_frame_options", "SAMEORIGIN"),
    ("Referrer-Policy", "referrer_policy", "strict-origin-when-cross-origin"),
)
CLIENT_ZONE = "10m"  # about 80,000 clients at once; the one that was quiet longest makes room


def client_limits(values: dict[str, Any]) -> list[str]:
    """The memory in which nginx counts each client's requests."""
    rate, connections = values["RATE_LIMIT"], values["MAX_CONNECTIONS"]
    lines = []
    if rate:
        a_minute = max(1, round(float(rate.partition("/")[0]) * 60))
        lines.append(f"limit_req_zone $flagon_client zone=flagon_requests:{CLIENT_ZONE} rate={a_minute}r/m;")
        lines.append(f'map "" $flagon_slot {{ default {max(1, -(-60 // a_minute))}; }}')
    else:
        lines.append('map "" $flagon_slot { default 1; }')
    if connections:
        lines.append(f"limit_conn_zone $flagon_client zone=flagon_connections:{CLIENT_ZONE};")
    return lines


def https(values: dict[str, Any]) -> str:
    """What a request to the application meets first; health does not."""
    if not values["FORCE_HTTPS"]:
        return ""
    return "if ($flagon_insecure) { return 308 https://$flagon_server_name$request_uri; }\n"


def slots(values: dict[str, Any], of_all: list[str]) -> str:
    """How many requests may be under way: a client's own first, then `of_all` of them. Before a body is read."""
    rate, connections = values["RATE_LIMIT"], values["MAX_CONNECTIONS"]
    text = ""
    if rate:
        text += f"limit_req zone=flagon_requests burst={rate.partition('/')[2]} nodelay;\nlimit_req_status 429;\n"
    if connections:
        text += f"limit_conn flagon_connections {connections};\n"
    return text + "\n".join(of_all) + "\nlimit_conn_status 429;\n"  # or 503: @refused in nginx.conf


def headers(values: dict[str, Any], caches: bool, by_page: bool) -> tuple[str, str]:
    """(maps, add_header lines): a header of the application's own wins, an empty value adds none."""
    rows = [("X-Request-ID", "$flagon_request_id")]
    if by_page:
        rows.append(("Cache-Control", "$flagon_control"))
    if caches:
        rows.append(("X-Cache", "$flagon_x_cache"))
    maps = ""
    if values["SECURITY_HEADERS"]:
        for name, variable, value in SECURITY_HEADERS:
            maps += f'map $upstream_http_{variable} $flagon_{variable} {{ default ""; "" {value}; }}\n'
            rows.append((name, f"$flagon_{variable}"))
    if values["HSTS"]:
        key = '"$flagon_scheme:$upstream_http_strict_transport_security"'
        maps += f'map {key} $flagon_hsts {{ default ""; "https:" {evaluated(values["HSTS"])}; }}\n'
        rows.append(("Strict-Transport-Security", "$flagon_hsts"))
    return maps, "".join(f"add_header {name} {value} always;\n" for name, value in rows)
