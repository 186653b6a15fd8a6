"""What the platform's own variables tell: so far, which header carries the client's address."""

from __future__ import annotations

from collections.abc import Mapping

# variable that gives the platform away -> header (platforms' documentation, see docs/decisions.md)
REAL_IP_HEADERS = (
    ("FLY_APP_NAME", "Fly-Client-IP"),
    ("RENDER", "CF-Connecting-IP"),
    ("RAILWAY_PROJECT_ID", "X-Real-IP"),
)


def real_ip_header(environ: Mapping[str, str]) -> tuple[str, str]:
    """(header, why)."""
    for variable, header in REAL_IP_HEADERS:
        if environ.get(variable):
            return header, f"{variable} is set"
    return "X-Forwarded-For", "default"
