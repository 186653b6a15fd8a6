"""nginx decides who may use the debugger where FLASK_DEBUG is on: what it passes on, no client can say of itself."""

from __future__ import annotations

from collections.abc import Sequence

LOOPBACK = ("127.0.0.0/8", "::1/128")


def lines(listed: Sequence[str]) -> list[str]:
    """$flagon_debugger: 1 if the peer and the client that it speaks for are both local or listed, else empty."""
    networks = dict.fromkeys([*LOOPBACK, *listed])
    text = []
    for address, variable in (("realip_remote_addr", "peer"), ("remote_addr", "client")):
        text += [f"geo ${address} $flagon_debug_{variable} {{", "    default 0;"]
        text += [f"    {network} 1;" for network in networks] + ["}"]
    return [
        *text,
        # What came through a proxy counts only if the proxy is trusted, and nobody stood before it: the first entry of
        # a longer chain may be anybody's invention.
        'map "$flagon_trusted:$http_x_forwarded_for$http_forwarded$http_x_real_ip$http_via" $flagon_debug_direct {',
        "    default 0;",
        "    0: 1;",
        '    "~^1:[^,]*$" 1;',
        "}",
        'map "$flagon_debug_peer$flagon_debug_client$flagon_debug_direct" $flagon_debugger {',
        '    default "";',
        "    111 1;",
        "}",
    ]
