"""Request headers that claim something which nginx or a proxy has to say: they are dropped, unless the peer may.

Over FastCGI and uwsgi as a parameter, over HTTP as a header that nginx alone sets, FLAGON_PEER says who the peer is:
`named` by the user's TRUSTED_PROXIES, `platform` where the trust comes from a platform, empty for everybody else; or
the address of a neighbour that sends forwarding headers and is not believed. docs/client-address.md shows all this.

A list of what may pass would break applications, whose clients send headers of their own. So families are dropped, by
the words of a name: a new spelling of an old claim (X-Anything-Client-IP, X-Forwarded-Anything) is in one already.
What clients themselves send, and the application checks, the user names in PASS_HEADERS.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from flagon.inside.context import request_id

PEER, PEER_HEADER = "FLAGON_PEER", "HTTP_X_FLAGON_PEER"


class Family(NamedTuple):
    """Names in capitals with underscores, as CGI writes them. Beginnings count with or without an X_ or HTTP_."""

    beginnings: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()
    pairs: tuple[tuple[frozenset[str], frozenset[str]], ...] = ()  # one of the first, and one of the second as the end
    whole: frozenset[str] = frozenset()
    but: tuple[str, ...] = ()  # beginnings of ordinary names

    def has(self, name: Name) -> bool:
        """Whether this name is in it."""
        if name.whole in self.whole:
            return True
        return not name.bare.startswith(self.but) and (
            name.bare.startswith(self.beginnings)
            or name.barest.startswith(self.beginnings)
            or ("_" + name.bare).endswith(self.ends)
            or any(piece in name.whole for piece in self.pieces)
            or not self.words.isdisjoint(name.words)
            or any(name.last in second and not first.isdisjoint(name.words) for first, second in self.pairs)
        )


class Name:
    """One header's name, taken apart."""

    __slots__ = ("bare", "barest", "last", "whole", "words")

    def __init__(self, name: str) -> None:
        self.whole = name
        self.bare = name.removeprefix("X_")
        self.barest = self.bare.removeprefix("HTTP_").removeprefix("X_")
        *self.words, self.last = self.bare.split("_")


def _words(text: str, before: str = "") -> tuple[str, ...]:
    return tuple(before + word for word in text.split())


def _pair(first: str, second: str) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(first.split()), frozenset(second.split())


# Client hints, and what a client gives an object in a store to keep, under names of its own choice.
ORDINARY = ("SEC_", *(store + "_META_" for store in "AMZ MS GOOG OSS COS OBJECT CONTAINER ACCOUNT".split()))
_WHO = "CLIENT REMOTE SOCKET REAL SOURCE SRC PEER ORIGIN TRUE VIEWER VISITOR"
_IP = "IP IPV4 IPV6 IPADDR IPADDRESS"
# Where an address is: of an edge network's, though it speaks of an IP.
GEOGRAPHY = Family(
    pairs=(_pair("IP GEOIP", "COUNTRY CITY REGION CONTINENT CODE TIMEZONE LATITUDE LONGITUDE NAME NUMBER ASN"),),
    but=ORDINARY,
)
ADDRESS = Family(
    ends=(
        *_words("_IP _IPV4 _IPV6 _IPADDR _IPADDRESS USERIP _XFF _COMING_FROM _COMMING_FROM _LOCAL_ADDR"),
        *(who + end for who in _WHO.split() for end in _words("_ADDR _ADDRESS ADDR ADDRESS " + _IP)),
    ),
    pieces=_words("CONNECTING_ PROXIED_FOR FWD_FOR FORWD_FOR"),
    words=frozenset(_IP.split()),  # X-Custom-IP-Authorization
    but=ORDINARY,
)
_PLACES = "HOST HOSTNAME PORT PATH PREFIX PROTO PROTOCOL SCHEME SERVER URI URL"
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
        *_words("NAME PATH PREFIX URI URL FILENAME", "SCRIPT_"),
        *_words("PATH_INFO PATH_PREFIX PATH_TRANSLATED CONTEXT_PATH BASE_PATH BASE_URL SERVER_NAME SERVER_PORT"),
        *_words("SERVER_ADDR SERVER_PROTOCOL HOST_ HTTP_HOST HTTP_URL HTTP_URI HTTP_DESTINATION HTTPS_ ARR_SSL"),
        *_words("URL_ URI_ FRONT_END_ REWRITE_ ACCEL_ SENDFILE FLAGON_"),
    ),
    ends=_words("_SCHEME _PROTO _HTTPS _SSL"),
    pieces=(
        *_words("FORWARDED FORWARED FOWARDED FORWARDER FWD_HOST FWD_PROTO FORWD_HOST FORWD_PROTO"),
        *_words("FOR HOST PROTO PORT SERVER URI URL PREFIX SSL SCHEME", "FORWARD_"),
    ),
    pairs=(
        _pair("OVERRIDE PROXIED REMAPPED REPLACED REWRITTEN MATCHED UNENCODED EFFECTIVE ROOT MOUNT", _PLACES),
        _pair("BACKEND FRONTEND GATEWAY INGRESS VIRTUAL EXTERNAL PUBLIC UPSTREAM EDGE REQUEST", _PLACES),
        _pair(_PLACES, "OVERRIDE OVERRIDDEN"),
        _pair("IS", "SECURE TLS"),
    ),
    whole=frozenset(
        "PROXY X_PROXY HTTPS X_HTTPS X_SSL X_SECURE X_HOST X_HOSTNAME X_PORT PORT X_URL URL X_URI URI X_PREFIX"
        " X_PROTO PROTO X_PROTOCOL PROTOCOL".split()
    ),
    but=(
        *ORDINARY,
        *_words("PROXY_AUTH PROXY_CONNECTION COLOR_SCHEME"),
        *(word + what for word in ("ORIGINAL_", "ORIG_") for what in "FILE CONTENT SIZE NAME MESSAGE TRACE".split()),
    ),
)  # fmt: skip
# Who the user is, or which certificate he has: for a proxy to say that has asked him. Not a token that is all by itself
# (X-Access-Token, X-Id-Token, X-Jwt): clients send those, and applications check them. A name they can but believe.
USER = Family(
    beginnings=(
        *_words("USER EMAIL PREFERRED GROUP ROLE NAME LOGIN UID AUTH ACCESS_TOKEN ID_TOKEN", "FORWARDED_"),
        *_words("REQUEST USER EMAIL NAME GROUP ROLE SUBJECT LOGIN CLAIM PRINCIPAL CERT CN DN TYPE", "AUTH_"),
        *_words("NAME EMAIL GROUP ROLE LOGIN DN PRINCIPAL CLAIM INFO IS_", "USER_"),
        *_words("DN VERIF SUBJECT ISSUER SERIAL S_DN I_DN CN FINGERPRINT", "CLIENT_"),
        *_words("REMOTE_ AUTHENTICATED AUTHENTIK AUTHELIA WEBAUTH USERNAME USERINFO IMPERSONATE SSL_ TLS_ MTLS_ CERT_"),
        *_words("GOOG_AUTHENTICATED GOOG_IAP IAP_ APPENGINE_USER APPENGINE_AUTH MS_CLIENT_PRINCIPAL MS_TOKEN"),
        *_words("MS_ASPNETCORE_ AMZN_OIDC AMZN_MTLS VERCEL_OIDC TAILSCALE CF_ACCESS CF_CERT NGROK_AUTH CLERK_AUTH"),
        *_words("TOKEN_SUBJECT TOKEN_USER JWT_ CERTIFICATE GAP_AUTH L5D_CLIENT DAPR_CALLER KUBEFLOW_USER SP_USER"),
        *_words("CONSUMER_ CREDENTIAL_ ANONYMOUS_CONSUMER SHIB_ SHIBBOLETH_ OIDC_ MELLON_ SAML_ SSO_ POMERIUM_ VOUCH_"),
        *_words("TELEPORT_ OAM_ KRB_ LDAP_ NTLM_ PINGACCESS_ SM_ SMUSER IV_USER IV_GROUP IV_CREDS IV_REMOTE EPPN"),
        # A function's or an API gateway's event has the user that it has authorized, and the client's address.
        *_words("AMZN_REQUEST_CONTEXT AMZN_LAMBDA_CONTEXT APIGATEWAY_EVENT APIGATEWAY_CONTEXT EXEDEV_ SCOPE_ORGID"),
        *_words("REPLIT_USER SANDSTORM_ YNH_ RSTUDIO_CONNECT SF_CONTEXT PRINCIPAL_ IDENTITY_ EDUPERSON EDU_PERSON"),
        # What operators of mobile networks add of their customers.
        *_words("UIDH UP_CALLING UP_SUBNO JPHONE_UID HUAWEI_USER"),
    ),
    ends=(
        *_words("_USER _USERNAME _USER_NAME _DN _PRINCIPAL _IDENTITY _IS_ADMIN _IS_AUTHENTICATED _IS_SUPERUSER"),
        *_words("REMOTEUSER AUTHUSER AUTHENTICATEDUSER WEBAUTHUSER PROXYUSER LOGGED_INUSER _API_USERINFO"),
    ),
    pieces=("MSISDN", *(who + cert for who in "CLIENT PEER USER SSL TLS".split() for cert in ("_CERT", "CERT"))),
    pairs=(
        _pair(
            "AUTH AUTHENTICATED AUTHENTICATION CLAIM CLAIMS CURRENT EFFECTIVE IAP IDENTITY IDP IMPERSONATE IMPERSONATED"
            " ISSUER JWT LOGGED LOGIN LOGON MASQUERADE OAUTH OAUTH2 OIDC OPENID PRINCIPAL PROXIED PROXY REMOTE SAML"
            " SESSION SSO SUBJECT SUDO TOKEN TRUSTED USER VERIFIED",
            "CN EMAIL GROUP GROUPS LOGIN MAIL PERMISSIONS ROLE ROLES SUB SUBJECT UID UPN USERID",
        ),
    ),
    whole=frozenset(
        "X_EMAIL X_MAIL MAIL X_GROUP X_GROUPS X_ROLE X_ROLES X_LOGIN X_CERT CERT X_XFCC XFCC CN GIVENNAME DISPLAYNAME"
        " EMAIL X_USEREMAIL USEREMAIL GROUPS UID MEMBEROF SAMACCOUNTNAME EMPLOYEENUMBER X_IMSI X_ACR"
        " AFFILIATION UNSCOPED_AFFILIATION ENTITLEMENT PERSISTENT_ID TARGETED_ID".split()
    ),
    but=(
        *_words("ADDR IP HOST PORT PROTO SCHEME SSL HTTPS CLIENT", "REMOTE_"),
        *ORDINARY,
        *_words("JWT_TOKEN JWT_ACCESS JWT_REFRESH JWT_BEARER JWT_AUTHORIZATION IDENTITY_TOKEN"),
    ),
)  # fmt: skip
# What an edge network says of a request: country, cache, queue. True only where that network is what sends it.
EDGE = Family(
    beginnings=(
        *_words("CF_ CLOUDFRONT_ FASTLY_ FLY_ AKAMAI_ SUCURI_ RAILWAY_ AZURE_ ENVOY_ APPENGINE_ CLOUDTASKS_"),
        *_words("CLOUDSCHEDULER ARR_ NF_ VERCEL_ AMZN_TLS AMZN_WAF ISTIO_ L5D_ EO_ CDN_REQUEST FD_HEALTHPROBE"),
        *_words("AWS_SQSD GEOIP CLIENT_GEO"),
    ),
    but=_words("CF_WEBHOOK NF_SIGN VERCEL_SIGNATURE"),  # of their webhooks, which go to anybody
)
FAMILIES = (("edge", GEOGRAPHY), ("address", ADDRESS), ("user", USER), ("place", PLACE), ("edge", EDGE))


def claim(name: str) -> str:
    """What a header of this name claims: `address`, `user`, `place`, `edge`, or nothing. As CGI spells it."""
    parts = Name(name)
    return next((what for what, family in FAMILIES if family.has(parts)), "")


# Of addresses and places, what proxies, platforms and scanners send everywhere: that it is dropped is no news.
USUAL = Family(
    beginnings=(
        *_words(
            "CF_ CLOUDFRONT_ FASTLY_ FLY_ AMZN_ AZURE_ APPENGINE_ ARR_ ENVOY_ VERCEL_ NF_ RAILWAY_ AKAMAI_ SUCURI_"
        ),
        *_words("INCAP_ EO_ ALI_ DO_CONNECTING PROXY WL_PROXY_ REAL ORIGINAL_ ORIGINATING_ TRUE_CLIENT CLUSTER_CLIENT"),
        *_words("CLIENT_IP REMOTE_ SCRIPT_ SERVER_ REQUEST_ INGRESS_ URL_SCHEME REWRITE_ FRONT_END_ ACCEL_ FLAGON_"),
    ),
    pieces=_words("FORWARDED FORWARD_"),
    whole=frozenset("X_SCHEME X_PROTO X_HOST X_PORT X_HTTPS HTTPS X_SSL".split()),
)


class Peer:
    """What one kind of peer may say. Each name is looked at once: this is asked for each header of each request."""

    MOST, LONGEST = 1000, 80  # names are a client's invention: what is kept of them is bounded

    def __init__(self, *refused: str) -> None:
        self.names: dict[str, bool | None] = {}  # a plain dict is faster than one that fills itself
        self._refused = frozenset(refused)

    def may_say(self, name: str) -> bool | None:
        """Whether a parameter of this name is handed on; None if not, and refused() is to be told."""
        what = claim(name[5:]) if name.startswith("HTTP_") and name not in _passed else ""
        said: bool | None = name != PEER and what not in self._refused
        if what in TOLD and not said and (what == "user" or not USUAL.has(Name(name[5:]))):
            said = None
        if len(name) <= self.LONGEST:
            if len(self.names) >= self.MOST:
                self.names.clear()
            if len(_claims) >= self.MOST:
                _claims.clear()
            if said is None:
                _claims[name] = what
            self.names[name] = said
        return said


STRANGER = Peer("address", "user", "place", "edge")
PEERS = {"": STRANGER, "platform": Peer("address", "user", "place"), "named": Peer("address", "place")}
TOLD = frozenset(("user", "address", "place"))
_passed: set[str] = set()  # as CGI names them
by_nginx: set[str] = set()  # those of them that the user's nginx files set, where our location passes requests on
_claims: dict[str, str] = {}  # what the names claim for which may_say() is None
MOST_TOLD = 16  # lines in a worker's life: who has many addresses writes no more of them
_told: set[tuple[str, str]] = set()  # what has been said, and of which neighbour


def let_pass(headers: Iterable[str], parameters: Iterable[str] = ()) -> None:
    """PASS_HEADERS reach the application, whoever sends them; so do `parameters`, for nginx sends no client's of those.

    Before the worker's first request.
    """
    _passed.clear()
    _passed.update("HTTP_" + name.upper().replace("-", "_") for name in headers)
    by_nginx.clear()
    by_nginx.update(set(parameters) - _passed)
    _passed.update(by_nginx)
    for one in PEERS.values():
        one.names.clear()


def peer(word: str, environ: dict[str, Any]) -> Peer:
    """Whom nginx speaks for; a neighbour that tells much and is not believed is worth a line.

    `environ` has the request's id by now, which the line is to have.
    """
    found = PEERS.get(word)
    if found is None:
        _tell("ignored", word, environ, IGNORED, word, word)
        return STRANGER
    return found


def refused(name: str, word: str, environ: dict[str, Any]) -> None:
    """A claim was dropped: the application may be waiting for it. `word` is what nginx says of the peer."""
    what = _claims.get(name) or claim(name[5:])
    neighbour = "" if word in PEERS else word
    who = f" of {neighbour}'s" if neighbour else ""
    header = name[5:].replace("_", "-").title()
    if what == "user":
        way_out = "" if "FORWARDED" in name else PASS % header  # which PASS_HEADERS does not take
        _tell(what, neighbour, environ, REFUSED, header, who, neighbour or "its address", way_out)
    else:
        words = "an address" if what == "address" else "a scheme, host, port or path"
        _tell(what, neighbour, environ, DROPPED, header, who, words, PASS % header, level=logging.INFO)


def sift(environ: dict[str, Any], word: str, but: Collection[str] = ()) -> None:
    """Drop what the peer may not say, and `but`, from a whole environ; `word` is what nginx says of it."""
    found = peer(word, environ)
    names = found.names
    for name in tuple(environ):
        try:
            said = names[name]
        except KeyError:
            said = found.may_say(name)
        if not said or name in but:
            del environ[name]
        if said is None:
            refused(name, word, environ)


def settle(environ: dict[str, Any]) -> None:
    """The headers that applications read for address and scheme, of which nginx has the last word."""
    environ["HTTP_X_FORWARDED_FOR"] = environ["HTTP_X_REAL_IP"] = environ.get("REMOTE_ADDR", "")
    environ["HTTP_X_FORWARDED_PROTO"] = environ.get("wsgi.url_scheme", "http")


def over_uwsgi(environ: dict[str, Any]) -> None:
    """A user's own nginx file passes on what a client, or a proxy, says of the client."""
    _tell("ignored", "", environ, OVER_UWSGI)


def _tell(
    what: str, neighbour: str, environ: dict[str, Any], message: str, *words: str, level: int = logging.WARNING
) -> None:
    """Once of each neighbour: a stranger's request does not use up the line that its proxy's owner needs."""
    if (what, neighbour) in _told or len(_told) >= MOST_TOLD:
        return
    _told.add((what, neighbour))
    request_id.set(environ.get("HTTP_X_REQUEST_ID", ""))  # until now it is the request's before
    logging.getLogger("gunicorn.error").log(level, message, *words)


IGNORED = (
    "%s sends forwarding headers (X-Forwarded-*, Forwarded), and they are IGNORED: TRUSTED_PROXIES does not name it. "
    "If it is your proxy, set TRUSTED_PROXIES=%s, or its network. If it is not, leave it: whoever has a named "
    "address may choose address, scheme and host. Behind an engine's gateway that is everybody whom the engine "
    "relays: then publish the port on 127.0.0.1 only (docs/client-address.md)"
)
OVER_UWSGI = (
    "X-Forwarded-For comes through uwsgi_pass, and is IGNORED: anybody may have sent it. If your proxy does, say so "
    "in the nginx file that has the uwsgi_pass: set_real_ip_from and real_ip_header for the address, uwsgi_param "
    "UWSGI_SCHEME for the scheme (docs/client-address.md)"
)
REFUSED = (
    "%s%s claims a user, and was DROPPED, as is all that does: only a peer that TRUSTED_PROXIES names may say who the "
    "user is. If a proxy of yours sends it, set TRUSTED_PROXIES to %s%s (docs/client-address.md)"
)
DROPPED = "%s%s claims %s, and was DROPPED, as is all that does: nginx says it%s (docs/client-address.md)"
PASS = ". If your clients themselves send it and the application checks it: PASS_HEADERS=%s"
