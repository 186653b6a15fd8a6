"""Request headers that claim something which nginx or a proxy has to say: they are dropped, unless the peer may.

Over FastCGI and uwsgi as a parameter, over HTTP as a header that nginx alone sets, FLAGON_PEER says who the peer is:
`named` by the user's TRUSTED_PROXIES, `platform` where the trust comes from a platform, empty for everybody else; or
the address of a neighbour that sends forwarding headers and is not believed. docs/client-address.md shows all this.

A list of what may pass would break applications, whose clients send headers of their own. So families are dropped, by
the words of a name: a new spelling of an old claim (X-Anything-Client-IP, X-Forwarded-Anything) is in one already.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

PEER, PEER_HEADER = "FLAGON_PEER", "HTTP_X_FLAGON_PEER"


class Family(NamedTuple):
    """Names in capitals with underscores, as CGI writes them. Beginnings count with and without a leading X_."""

    beginnings: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()
    but: tuple[str, ...] = ()  # beginnings of ordinary names

    def has(self, name: str) -> bool:
        """Whether this name is in it."""
        bare = name.removeprefix("X_")
        return name in self.whole or (
            not bare.startswith(self.but)
            and (
                bare.startswith(self.beginnings)
                or ("_" + bare).endswith(self.ends)
                or any(piece in name for piece in self.pieces)
            )
        )


def _words(text: str, before: str = "") -> tuple[str, ...]:
    return tuple(before + word for word in text.split())


_WHO = "CLIENT REMOTE SOCKET REAL SOURCE SRC PEER ORIGIN TRUE VIEWER VISITOR"
ADDRESS = Family(
    ends=(
        *_words("_IP _IPV4 _IPV6 _IPADDR _IPADDRESS _IP_ADDR _IP_ADDRESS USERIP _XFF _COMING_FROM _COMMING_FROM"),
        *(who + end for who in _WHO.split() for end in _words("IP IPV4 IPV6 ADDR ADDRESS _ADDR _ADDRESS")),
    ),
    pieces=("CONNECTING_",),
)
# Scheme, host, port and path, and what only a proxy may tell another kind of server.
PLACE = Family(
    beginnings=(
        *_words("PROXY_ WL_PROXY_ REAL_ REALIP ORIGINAL_ ORIG_ ORIGINATING_ TRUE_CLIENT CLUSTER_CLIENT"),
        *_words("ADDR IP HOST PORT PROTO SCHEME SSL HTTPS CLIENT", "REMOTE_"),
        *_words("ADDR IP HOST PORT PROTO SCHEME SSL HTTPS REMOTE", "CLIENT_"),
        *_words("CF_VISITOR CF_PSEUDO CLOUDFRONT_VIEWER_ADDRESS VERCEL_PROXIED FLY_CLIENT FLY_SSL FLY_PROTO"),
        *_words("CLIENT SSL ORIG_HOST HOST TEMP PROTO", "FASTLY_"),
        *_words("EXTERNAL ORIGINAL INTERNAL DOWNSTREAM", "ENVOY_"),
        *_words("URI URL PATH HOST SCHEME PORT", "REQUEST_"),
        *_words("SCRIPT_NAME PATH_INFO PATH_PREFIX PATH_TRANSLATED CONTEXT_PATH INGRESS_PATH BASE_PATH BASE_URL"),
        *_words("SERVER_NAME SERVER_PORT SERVER_ADDR HOST_ HTTP_HOST HTTP_DESTINATION HTTPS_ ARR_SSL URL_ URI_"),
        *(side + "_" + what for side in "BACKEND FRONTEND GATEWAY VIRTUAL EXTERNAL PUBLIC UPSTREAM EDGE".split()
          for what in "HOST PORT PATH URL".split()),
        *_words("FRONT_END_ REWRITE_ ACCEL_ SENDFILE FLAGON_"),
    ),
    ends=_words("_SCHEME _PROTO"),
    pieces=("FORWARDED", *_words("FOR HOST PROTO PORT SERVER URI URL PREFIX SSL SCHEME", "FORWARD_")),
    whole=frozenset(_words("PROXY X_PROXY HTTPS X_HTTPS X_SSL X_HOST X_HOSTNAME X_PORT X_URL X_URI X_PREFIX X_PROTO")),
    but=(
        *_words("PROXY_AUTH PROXY_CONNECTION"),
        *(word + what for word in ("ORIGINAL_", "ORIG_") for what in "FILE CONTENT SIZE NAME MESSAGE TRACE".split()),
    ),
)  # fmt: skip
# Who the user is, or which certificate he has: for a proxy to say that has asked him.
USER = Family(
    beginnings=(
        *_words("USER EMAIL PREFERRED GROUP ROLE NAME LOGIN UID AUTH ACCESS_TOKEN ID_TOKEN", "FORWARDED_"),
        *_words("REQUEST USER EMAIL NAME GROUP ROLE SUBJECT LOGIN CLAIM PRINCIPAL CERT CN DN TYPE", "AUTH_"),
        *_words("NAME EMAIL GROUP ROLE LOGIN DN PRINCIPAL CLAIM INFO", "USER_"),
        *_words("DN VERIF SUBJECT ISSUER SERIAL S_DN I_DN CN FINGERPRINT", "CLIENT_"),
        *_words("REMOTE_ AUTHENTICATED AUTHENTIK AUTHELIA WEBAUTH USERNAME USERINFO IMPERSONATE SSL_ TLS_"),
        *_words("GOOG_AUTHENTICATED GOOG_IAP APPENGINE_USER APPENGINE_AUTH MS_CLIENT_PRINCIPAL MS_TOKEN"),
        *_words("AMZN_OIDC AMZN_MTLS VERCEL_OIDC TAILSCALE CF_ACCESS CF_CERT NGROK_AUTH"),
        *_words("TOKEN_SUBJECT TOKEN_USER JWT_ASSERTION JWT_CLAIM JWT_PAYLOAD JWT_SUB"),
        *_words("CONSUMER_ CREDENTIAL_ ANONYMOUS_CONSUMER SHIB_ SHIBBOLETH_ OIDC_ MELLON_ SAML_ SSO_ POMERIUM_ VOUCH_"),
        *_words("TELEPORT_ OAM_ KRB_ LDAP_ NTLM_ PINGACCESS_ SM_ SMUSER IV_USER IV_GROUP IV_CREDS IV_REMOTE EPPN"),
        *_words("EDUPERSON EDU_PERSON MSISDN"),
    ),
    ends=(
        *(who + end for who in "REMOTE AUTH AUTHENTICATED WEBAUTH PROXY LOGGED_IN".split()
          for end in _words("_USER USER _USERNAME _USER_NAME")),
        "_API_USERINFO",
    ),
    pieces=tuple(who + cert for who in "CLIENT PEER USER SSL TLS".split() for cert in ("_CERT", "CERT")),
    whole=frozenset("X_USER X_EMAIL X_GROUP X_GROUPS X_ROLE X_ROLES".split()),
    but=_words("ADDR IP HOST PORT PROTO SCHEME SSL HTTPS CLIENT", "REMOTE_"),
)  # fmt: skip
# What an edge network says of a request: country, cache, queue. True only where that network is what sends it.
EDGE = Family(
    beginnings=(
        *_words("CF_ CLOUDFRONT_ FASTLY_ FLY_ AKAMAI_ SUCURI_ RAILWAY_ AZURE_ ENVOY_ APPENGINE_ CLOUDTASKS_"),
        *_words("CLOUDSCHEDULER_ ARR_ NF_ VERCEL_ AMZN_TLS"),
    ),
    but=_words("CF_WEBHOOK NF_SIGN VERCEL_SIGNATURE"),  # of their webhooks, which go to anybody
)
FAMILIES = (("address", ADDRESS), ("user", USER), ("place", PLACE), ("edge", EDGE))


def claim(name: str) -> str:
    """What a header of this name claims: `address`, `user`, `place`, `edge`, or nothing. As CGI spells it."""
    return next((what for what, family in FAMILIES if family.has(name)), "")


class Peer:
    """What one kind of peer may say. Each name is looked at once: this is asked for each header of each request."""

    MOST, LONGEST = 1000, 80  # names are a client's invention: what is kept of them is bounded

    def __init__(self, *refused: str) -> None:
        self.names: dict[str, bool | None] = {}  # a plain dict is faster than one that fills itself
        self._refused = frozenset(refused)

    def may_say(self, name: str) -> bool | None:
        """Whether a parameter of this name is handed on; None if not, and refused() is to be told."""
        what = claim(name[5:]) if name.startswith("HTTP_") else ""
        said: bool | None = name != PEER and what not in self._refused
        if what == "user" and not said:
            said = None
        if len(name) <= self.LONGEST:
            if len(self.names) >= self.MOST:
                self.names.clear()
            self.names[name] = said
        return said


STRANGER = Peer("address", "user", "place", "edge")
PEERS = {"": STRANGER, "platform": Peer("address", "user", "place"), "named": Peer("address", "place")}
_untold = ["user", "ignored"]  # what has not been said yet in this worker's life


def peer(word: str) -> Peer:
    """Whom nginx speaks for; a neighbour that tells much and is not believed is worth a line."""
    found = PEERS.get(word)
    if found is None:
        _tell("ignored", IGNORED, word, word)
        return STRANGER
    return found


def refused(name: str) -> None:
    """A user's claim was dropped: the application may be waiting for it."""
    _tell("user", REFUSED, name[5:].replace("_", "-").title())


def sift(environ: dict[str, Any], peer: Peer) -> None:
    """Drop what the peer may not say from a whole environ."""
    names = peer.names
    for name in tuple(environ):
        try:
            said = names[name]
        except KeyError:
            said = peer.may_say(name)
        if not said:
            del environ[name]
        if said is None:
            refused(name)


def settle(environ: dict[str, Any]) -> None:
    """The headers that applications read for address and scheme, of which nginx has the last word."""
    environ["HTTP_X_FORWARDED_FOR"] = environ["HTTP_X_REAL_IP"] = environ.get("REMOTE_ADDR", "")
    environ["HTTP_X_FORWARDED_PROTO"] = environ.get("wsgi.url_scheme", "http")


def over_uwsgi() -> None:
    """A user's own nginx file passes on what a client, or a proxy, says of the client."""
    _tell("ignored", OVER_UWSGI)


def _tell(what: str, message: str, *words: str) -> None:
    try:
        _untold.remove(what)
    except ValueError:
        return
    logging.getLogger("gunicorn.error").warning(message, *words)


IGNORED = (
    "%s sends forwarding headers (X-Forwarded-*, Forwarded), and they are IGNORED: TRUSTED_PROXIES does not name it. "
    "If it is your proxy, set TRUSTED_PROXIES=%s, its network, or private. If it is not, leave it: whoever has a named "
    "address may choose address, scheme and host. Behind an engine's gateway that is everybody whom the engine "
    "relays: then publish the port on 127.0.0.1 only (docs/client-address.md)"
)
OVER_UWSGI = (
    "X-Forwarded-For comes through uwsgi_pass, and is IGNORED: anybody may have sent it. If your proxy does, say so "
    "in the nginx file that has the uwsgi_pass: set_real_ip_from and real_ip_header for the address, uwsgi_param "
    "UWSGI_SCHEME for the scheme (docs/client-address.md)"
)
REFUSED = (
    "%s claims a user, and was DROPPED: only a peer that TRUSTED_PROXIES names may say who the user is. If a proxy of "
    "yours sends it, name that proxy (docs/client-address.md)"
)
