"""Which headers claim something, who may send them, and that looking costs little whatever is sent."""

# Lists of names.
# ruff: noqa: E501

import logging
import time

import pytest
from fastcgi_client import block, environ

from flagon.inside import claims, fastcgi
from flagon.inside.context import request_id
from flagon.inside.middleware import behind_nginx

ADDRESS = """
Client-IP X-Client-IP True-Client-IP X-True-Client-IP CF-Connecting-IP CF-Connecting-IPv6 CF-Pseudo-IPv4 Fly-Client-IP
DO-Connecting-IP X-Cluster-Client-IP Fastly-Client-IP Proxy-Client-IP WL-Proxy-Client-IP X-Forwarded-Client-IP
X-Originating-IP X-Remote-IP X-Remote-Addr X-Azure-ClientIP X-Azure-SocketIP X-Appengine-User-IP X-Real-IP Real-IP
X-ProxyUser-Ip X-NF-Client-Connection-IP X-Source-IP X-Client-Address X-HTTP-Client-IP Incap-Client-IP X-Sucuri-ClientIP
Akamai-Client-IP EO-Connecting-IP Ali-CDN-Real-IP CloudFront-Viewer-Address X-Coming-From X-RealIP X-User-IP X-XFF
X-Envoy-External-Address X-Peer-Address Remote-Addr X-ClientIP X-Some-New-CDN-Client-IP X-Whoever-IPv6
X-Custom-IP-Authorization X-IP X-IP-Trail X-Client-IPAddr RlnClientIpAddr X-Proxied-User-IP X-Host-IP X-Cdn-Src-Ip Local-Addr
X-Override-IP X-IP-Override X-Ip-Chain
X-Proxied-For X-Fwd-For X-Forwd-For
""".split()
PLACE = """
Proxy Forwarded Forwarded-For X-Forwarded X-Forwarded-By X-Forwarded-For X-Forwarded-Host X-Forwarded-Port
X-Forwarded-Prefix X-Forwarded-Proto X-Forwarded-Protocol X-Forwarded-Scheme X-Forwarded-Server X-Forwarded-Ssl
X-Forwarded-Uri X-Forwarded-Path X-Forwarded-Method X-Forwarded-Anything X-Forward-For X-Original-Forwarded-For
HTTP-X-Forwarded-For X-Vercel-Forwarded-For CloudFront-Forwarded-Proto Fly-Forwarded-Port Fly-Forwarded-Proto X-Scheme
X-Url-Scheme X-Proto Front-End-Https X-Https HTTPS X-ARR-SSL Fastly-SSL CF-Visitor X-Host X-Original-Host X-Original-URL
X-Original-URI X-Original-Path X-Rewrite-URL X-Script-Name Script-Name X-Path-Info X-Http-Host-Override
X-Http-DestinationURL X-Backend-Host X-Proxy-Host X-Proxy-Url Proxy-Host X-Server-Name X-Envoy-Original-Path
X-Envoy-Original-Host X-Envoy-Internal X-Real-Port X-Client-Port X-Ingress-Path X-Request-Uri X-Hostname X-Accel-Mapping
Fastly-Orig-Host X-Flagon-Peer X-Flagon-Debugger Flagon-Peer X-URL-Rewritten X-External-Host WL-Proxy-SSL
X-Protocol Protocol X-Is-Https X-Is-Ssl X-Is-Secure X-Is-TLS X-Secure X-Nfsn-Https X-Request-Is-Https X-Override-Host X-Override-URL
X-Override-Path X-Override-Proto X-Host-Override X-Http-Path-Override X-HTTP-Scheme-Override X-Script-Path X-Script-URL
X-Http-Url Http-Url Http-Uri Url Uri Unencoded-Url X-Proxied-Host X-Amzn-Remapped-Host X-Replaced-Path X-Matched-Path X-Root-Path
X-Mount-Path X-Ingress-Host X-Gateway-Protocol X-Request-Protocol Server-Protocol X-Ning-Request-Uri X-Forwarder-For X-Forwared-For
X-Fowarded-For X-Edge-Proto X-Upstream-Url X-HTTP-Proxy-Host X-Frontend-Scheme Port
X-Fwd-Host X-Fwd-Proto
""".split()
USER = """
X-Forwarded-User X-Forwarded-Email X-Forwarded-Preferred-Username X-Forwarded-Groups X-Forwarded-Access-Token
X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info X-Remote-User Remote-User Remote-Groups
Remote-Name Remote-Email X-Remote-Group X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Access-Token X-Auth-User
X-Authenticated-User X-Authenticated-Userid X-Authenticated-Groups X-Goog-Authenticated-User-Email
X-Goog-Authenticated-User-Id X-Goog-IAP-JWT-Assertion X-MS-CLIENT-PRINCIPAL X-MS-CLIENT-PRINCIPAL-NAME
X-MS-TOKEN-AAD-ID-TOKEN X-Amzn-Oidc-Identity X-Amzn-Oidc-Data X-Amzn-Oidc-Accesstoken X-Amzn-Mtls-Clientcert
Tailscale-User-Login Tailscale-User-Name Cf-Access-Authenticated-User-Email Cf-Access-Jwt-Assertion Cf-Client-Cert-Sha256
X-authentik-username X-authentik-jwt X-Webauth-User X-Webauth-Email X-Token-Subject X-Token-User-Roles X-SSL-Client-Cert
X-SSL-Client-DN X-SSL-Client-Verify SSL-Client-Verify Ssl-Client-Subject-Dn X-Client-Cert X-Client-Dn Client-Cert
Client-Cert-Chain X-ARR-ClientCert X-Proxy-User X-Consumer-Username X-Credential-Identifier X-User X-Username X-User-Email
X-Userinfo X-Pomerium-Jwt-Assertion X-Vouch-User Shib-Session-Id OIDC-Claim-Email SM-User SMUSER IV-User OAM-Remote-User
X-Appengine-User-Email X-Appengine-User-Is-Admin Auth-User X-Endpoint-Api-Userinfo Impersonate-User Teleport-Jwt-Assertion
Ngrok-Auth-User-Email X-TLS-Client-Cert X-Email X-Groups X-Jwt-Claim-Sub Eppn
X-Proxied-User X-Iap-User X-Iap-Email X-Effective-User X-Sudo-User X-Api-User X-Current-User X-Real-User X-Logged-In-User X-Acting-User
X-Verified-Email X-Session-Email X-Login-Email X-Trusted-User X-On-Behalf-Of-User X-Masquerade-User-DN X-Proxied-User-DN X-Kong-Username
X-Rest-Username X-Known-Username User X-Login X-Jwt-Email X-Jwt-Sub X-Jwt-Roles X-Kong-Jwt-Email X-Oauth-Email X-Session-Roles
X-Cert X-Cert-Subject Cert-Subject Cert-Issuer X-Certificate X-Certificate-Dn X-Subject-Dn X-Issuer-Dn X-Mtls-Subject XFCC
MS-ASPNETCORE-CLIENTCERT MS-ASPNETCORE-WINAUTHTOKEN GAP-Auth L5d-Client-Id Dapr-Caller-App-Id Kubeflow-Userid X-SP-UserId
X-Replit-User-Id X-Replit-User-Name X-Sandstorm-User-Id X-Sandstorm-Permissions Ynh-User Ynh-User-Email RStudio-Connect-Credentials
Sf-Context-Current-User Sf-Context-Current-User-Email X-Rh-Identity X-Principal X-Identity X-User-Is-Admin X-Is-Admin X-Is-Authenticated
HTTP-SM-User HTTP-SM-Userdn X-HTTP-Remote-User X-Webobjects-Remote-User X-Domino-Username X-MSISDN X-Nokia-MSISDN
X-Wap-Network-Client-Msisdn X-Up-Calling-Line-Id X-Up-Subno X-UIDH X-Huawei-Userid Affiliation Unscoped-Affiliation Mail Cn
X-Remote-User-Email X-Proxy-Groups X-User-Permissions X-Clerk-Auth-Status X-Consumer-Groups X-Auth-Roles X-Auth-Subject
X-Amzn-Request-Context X-Amzn-Lambda-Context X-Apigateway-Event X-ExeDev-Email X-Scope-OrgID UID Memberof Samaccountname
Employeenumber X-Useremail Email Groups X-IMSI X-ACR
""".split()
EDGE = """
CF-IPCountry CF-Ray CloudFront-Viewer-Country CloudFront-Is-Mobile-Viewer Fastly-FF Fly-Region Fly-Request-Id
Fly-Replay-Src X-Azure-FDID X-Azure-Ref X-Appengine-Country X-Appengine-Cron X-Appengine-Queuename X-Envoy-Attempt-Count
X-NF-Geo X-Vercel-Id X-Vercel-IP-Country X-CloudTasks-Queuename X-Akamai-Edgescape X-Railway-Edge
X-GeoIP-Country GeoIP-City-Name X-IP-Country X-Vercel-IP-Country-Region X-Vercel-IP-Postal-Code X-Vercel-IP-As-Number EO-Client-IPCountry
CDN-RequestCountryCode X-Amzn-Waf-Bot L5d-Dst-Canonical X-Istio-Attributes X-Client-Geo-Location X-FD-HealthProbe
X-CloudScheduler X-Aws-Sqsd-Taskname
""".split()
# Any client may send these, and applications wait for them.
ORDINARY = """
Host User-Agent Accept Accept-Encoding Accept-Language Authorization Cookie Origin Referer Connection Cache-Control Pragma
Range If-None-Match If-Modified-Since Content-Encoding Content-MD5 Date DNT TE Via From Expect Upgrade Max-Forwards
Upgrade-Insecure-Requests Sec-Fetch-Site Sec-Fetch-User Sec-CH-UA Sec-CH-UA-Platform Sec-WebSocket-Protocol Save-Data
X-Requested-With X-CSRF-Token X-CSRFToken X-XSRF-Token X-Api-Key X-User-Agent X-Request-ID X-Correlation-ID X-Auth-Token
X-Auth-Key Api-Key Idempotency-Key X-HTTP-Method-Override X-Method-Override Destination Depth traceparent tracestate
baggage B3 X-B3-TraceId X-Cloud-Trace-Context X-Amzn-Trace-Id X-Request-Start X-GitHub-Event X-GitHub-Delivery
X-GitHub-Enterprise-Host X-Hub-Signature-256 Stripe-Signature X-Twilio-Signature X-Shopify-Hmac-Sha256 X-Slack-Signature
X-Gitlab-Token X-Goog-Channel-Id X-Goog-Resource-State X-Telegram-Bot-Api-Secret-Token X-Vercel-Signature CF-Webhook-Auth
X-Client-Version X-Client-Info X-Client-Id X-Device-Id X-App-Version X-Timezone X-Original-Filename X-Original-Content-Length
X-File-Name X-Upload-Content-Type Upload-Offset Tus-Resumable HX-Request HX-Current-URL Turbo-Frame X-PJAX X-Inertia
X-User-Id X-Token X-Session-Id X-Zip X-Skip-Cache X-VIP X-Clip X-Membership X-Realm X-Address X-Shipping-Address
Proxy-Authorization Proxy-Connection CDN-Loop Priority Early-Data Last-Event-ID X-WP-Nonce X-Locale X-Tenant-Id X-Purpose
ngrok-skip-browser-warning X-Amz-Date X-Amz-Content-Sha256 X-Ms-Version X-Ms-Date SOAPAction X-Moz X-Wap-Profile
Stripe-Account Stripe-Version X-GitHub-Hook-ID X-GitHub-Hook-Installation-Target-ID X-GitHub-Hook-Installation-Target-Type
X-GitHub-Enterprise-Version X-Hub-Signature X-Slack-Request-Timestamp X-Slack-Retry-Num X-Slack-Retry-Reason I-Twilio-Idempotency-Token
X-Twilio-Email-Event-Webhook-Signature X-Shopify-Topic X-Shopify-Shop-Domain X-Shopify-Webhook-Id X-Shopify-API-Version
X-Shopify-Access-Token Twitch-Eventsub-Message-Id Twitch-Eventsub-Message-Signature Twitch-Eventsub-Message-Type
Twitch-Eventsub-Subscription-Type PayPal-Auth-Algo PayPal-Cert-Url PayPal-Cert-Id PayPal-Transmission-Id PayPal-Transmission-Sig Svix-Id
Svix-Timestamp Svix-Signature Webhook-Id Webhook-Signature X-Signature X-Signature-Ed25519 X-Signature-Timestamp X-Line-Signature
X-Zm-Signature X-Hubspot-Signature-V3 X-Xero-Signature Intuit-Signature X-Square-HmacSha256-Signature X-Event-Key X-Hook-UUID
X-Request-UUID X-Gitlab-Event X-Gitlab-Instance X-Gitlab-Event-UUID X-Atlassian-Token X-Hook-Secret X-Hook-Signature X-Trello-Webhook
Typeform-Signature Calendly-Webhook-Signature Sentry-Hook-Resource Sentry-Hook-Signature Sentry-Trace Linear-Signature Linear-Event
X-Pagerduty-Signature X-Mandrill-Signature X-Amz-Sns-Message-Type X-Amz-Sns-Topic-Arn X-Amz-Security-Token X-Amz-Target
X-Amz-Meta-Author X-Amz-Cf-Id X-Goog-Channel-Token X-Goog-Resource-Uri X-Goog-Resource-Id X-Goog-Message-Number X-Goog-Api-Key
X-Goog-Api-Client X-Goog-User-Project X-Goog-Upload-Protocol X-Goog-Upload-Command X-Android-Package X-Android-Cert
X-Ios-Bundle-Identifier Login-Customer-Id Developer-Token Ce-Id Ce-Source Ce-Type Ce-Subject WebHook-Request-Origin
WebHook-Request-Callback Aeg-Event-Type X-Contentful-Topic X-Contentful-Webhook-Name X-WC-Webhook-Topic X-WC-Webhook-Source
X-Docusign-Signature-1 X-Razorpay-Signature X-Paystack-Signature X-CC-Webhook-Signature Upstash-Signature X-Zendesk-Webhook-Signature
X-Okta-Verification-Challenge Circleci-Signature X-Gitea-Event X-Pusher-Key X-Pusher-Signature X-RapidAPI-Key X-RapidAPI-Host
X-RapidAPI-Proxy-Secret X-B3-SpanId X-B3-ParentSpanId X-B3-Sampled X-B3-Flags Uber-Trace-Id X-Datadog-Trace-Id X-Datadog-Parent-Id
Newrelic Grpc-Timeout X-Grpc-Web Connect-Protocol-Version MCP-Protocol-Version Mcp-Session-Id X-Firebase-AppCheck
X-Firebase-GMPID X-Parse-Application-Id X-Stainless-Lang OpenAI-Organization Anthropic-Version X-Livewire X-Up-Version X-Up-Target
X-Up-Mode X-Up-Validate X-Turbo-Request-Id Sec-GPC Sec-CH-Prefers-Color-Scheme Sec-CH-Prefers-Reduced-Motion Sec-CH-UA-Mobile
Sec-CH-UA-Full-Version-List Sec-Fetch-Mode Sec-Fetch-Dest Sec-Purpose Sec-WebSocket-Key Sec-WebSocket-Version
Sec-WebSocket-Extensions Device-Memory Viewport-Width DPR Downlink ECT RTT X-Color-Scheme X-Country X-Country-Code X-Currency
X-Account-Id X-Org-Id X-Organization-Id X-Project-Id X-Workspace-Id X-Store-Id X-Platform X-Access-Token X-Id-Token X-Refresh-Token
X-Jwt X-Jwt-Token Jwt X-Identity-Token Access-Token Token Auth-Token X-Session-Token X-Client-Name X-Client-Platform X-Callback-Url
X-Webhook-Url Target-URL X-Return-Path X-Event-Type X-Hasura-Role Digest Content-Digest Signature Signature-Input Prefer Upload-Length
Lock-Token If Overwrite Timeout X-OC-Mtime OCS-ApiRequest OData-Version X-HTTP-Method HTTP-Accept X-Transaction-Id On-Behalf-Of
X-Subdomain X-Password Priority-Hint X-Voip X-Ship-To X-Trace-Id X-Debug-Session Subject X-Usage X-User-Timezone X-User-Locale
Content-Language X-Upload-Name X-Use-HTTP-Status-Code-Override X-WOPI-Override X-WOPI-Proof Service-Worker Purpose
X-Requested-By X-Forge-Version X-Reuse X-Ssh-Key X-Sslmode
x-amz-meta-user x-amz-meta-client-ip x-amz-meta-is-secure x-amz-meta-request-url X-Object-Meta-Username X-Ms-Meta-User
X-Goog-Meta-Camera-Ip X-Container-Meta-User-Role SN OU
""".split()


def cgi(header):
    return "HTTP_" + header.upper().replace("-", "_")


def told(peer, headers):
    """Which of these headers reach the application, over all three ways in."""
    words = {claims.PEER: peer} if peer else {}
    given = {cgi(name): "6.6.6.6" for name in headers}
    fast = {}
    fastcgi.decode_params(block({**environ(), **words, **given}), fast)
    sifted = {**environ(), **given}
    claims.sift(sifted, peer)
    http = {}

    def application(environ, start_response):
        http.update(environ)
        return []

    at_nginx = {"HTTP_X_REAL_IP": "192.0.2.1", "HTTP_X_FORWARDED_PROTO": "http", "HTTP_X_FLAGON_PEER": peer}
    behind_nginx(application)({**environ(), **given, **at_nginx}, None)
    claims.settle(fast)
    arrived = [{name for name in headers if found.get(cgi(name)) == "6.6.6.6"} for found in (fast, sifted, http)]
    assert arrived[0] == arrived[1] == arrived[2]
    return arrived[0]


def test_the_lists_are_told_apart():
    lists = [ADDRESS, PLACE, USER, EDGE, ORDINARY]
    assert len(set().union(*lists)) == sum(map(len, lists))


@pytest.mark.parametrize("header", ADDRESS + PLACE)
def test_address_scheme_host_and_path_are_dropped_from_everybody(header):
    assert claims.claim(cgi(header)[5:]) in ("address", "place")
    for peer in ("", "platform", "named"):
        assert told(peer, [header]) == set()


@pytest.mark.parametrize("header", USER)
def test_only_a_named_peer_says_who_the_user_is(header):
    assert claims.claim(cgi(header)[5:]) == "user"
    assert told("", [header]) == told("platform", [header]) == set()
    assert told("named", [header]) == {header}


@pytest.mark.parametrize("header", EDGE)
def test_only_a_trusted_peer_says_what_an_edge_network_knows(header):
    assert claims.claim(cgi(header)[5:]) == "edge"
    assert told("", [header]) == set()
    assert told("platform", [header]) == told("named", [header]) == {header}


@pytest.mark.parametrize("header", ORDINARY)
def test_ordinary_headers_pass(header):
    assert claims.claim(cgi(header)[5:]) == ""
    if header != "Host":  # nginx's own
        assert told("", [header]) == {header}


def test_who_the_peer_is_cannot_be_said_by_a_header():
    for forged in ("FLAGON_PEER", "X-FLAGON-PEER", "FLAGON-PEER"):
        assert told("", [forged, "X-Remote-User"]) == set()
    assert claims.peer("named ", {}) is claims.STRANGER
    assert claims.peer("203.0.113.9", {}) is claims.STRANGER


def test_the_three_that_applications_read_follow_the_address():
    environ = {"REMOTE_ADDR": "192.0.2.7", "wsgi.url_scheme": "https", "HTTP_X_REAL_IP": "6.6.6.6"}
    claims.settle(environ)
    assert environ["HTTP_X_REAL_IP"] == environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.7"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "https"


def test_what_is_remembered_of_names_is_bounded():
    peer = claims.Peer("user")
    for number in range(5000):
        assert peer.may_say(f"HTTP_X_{number}")
        assert peer.may_say(f"HTTP_{number}" + "_LONG" * 100)
    assert len(peer.names) <= peer.MOST
    assert all(len(name) <= peer.LONGEST for name in peer.names)


@pytest.mark.parametrize("piece", ["A", "X_", "_", "_IP", "FORWARDE", "REMOTE_", "CLIENT_CER", "-"])
def test_long_names_are_looked_at_quickly(piece):
    name = "HTTP_" + piece * (32000 // len(piece))
    begun = time.perf_counter()
    for _ in range(20):
        claims.STRANGER.may_say(name)
    assert time.perf_counter() - begun < 1


@pytest.fixture
def untold(monkeypatch):
    monkeypatch.setattr(claims, "_told", set())


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.usefixtures("untold")
def test_each_neighbour_that_is_ignored_is_named_once(caplog):
    """A stranger that comes first does not use up the line of which the proxy's owner learns."""
    for address in ("172.18.0.5", "172.18.0.6", "172.18.0.5"):
        told(address, ["Accept"])
    for address, line in zip(("172.18.0.5", "172.18.0.6"), lines(caplog), strict=True):
        assert line.startswith(f"{address} sends forwarding headers")
        assert f"set TRUSTED_PROXIES={address}" in line
        assert "If it is not" in line


@pytest.mark.usefixtures("untold")
def test_many_neighbours_do_not_fill_the_log(caplog):
    for number in range(200):
        told(f"10.0.0.{number}", ["X-Remote-User"])
    assert len(lines(caplog)) == claims.MOST_TOLD


@pytest.mark.usefixtures("untold")
def test_a_line_about_a_request_has_its_own_id(caplog):
    """The thread has served another one before, whose id the logger would find."""
    seen = []
    caplog.handler.addFilter(lambda record: seen.append(request_id.get()) or True)
    for number, peer in enumerate(("", "172.18.0.5")):
        request_id.set("of another request")
        own = {"HTTP_X_REQUEST_ID": f"own-{number}"}
        fastcgi.decode_params(block({**own, **({claims.PEER: peer} if peer else {}), "HTTP_X_REMOTE_USER": "a"}), {})
    assert seen == ["own-0", "own-1", "own-1"]


@pytest.mark.usefixtures("untold")
def test_a_user_that_is_dropped_is_said_once(caplog):
    for _ in range(3):
        told("", ["X-Forwarded-For", "X-Client-IP", "X-Remote-User", "X-Forwarded-Email"])
    [line] = lines(caplog)
    assert line.startswith("X-Remote-User claims a user, and was DROPPED")
    told("named", ["X-Remote-User"])
    assert len(lines(caplog)) == 1
    told("172.18.0.5", ["X-Remote-User"])
    assert "X-Remote-User of 172.18.0.5's claims a user" in lines(caplog)[2]
    assert "set TRUSTED_PROXIES to 172.18.0.5" in lines(caplog)[2]


# PASS_HEADERS

SENT_BY_CLIENTS = (
    "X-Auth-Email X-Auth-User X-Username Api-Username X-User-Email X-Agent-IP X-Hostname X-Base-Url".split()
)


@pytest.fixture
def let_pass():
    yield claims.let_pass
    claims.let_pass(())


@pytest.mark.parametrize("peer", ["", "platform", "named", "172.18.0.5"])
def test_headers_that_the_user_lets_pass_come_from_everybody(let_pass, peer):
    before = told(peer, SENT_BY_CLIENTS)
    assert not before & {"X-Agent-IP", "X-Hostname", "X-Base-Url"}
    let_pass(name.lower() for name in SENT_BY_CLIENTS)
    assert told(peer, [*SENT_BY_CLIENTS, "X-Agent-IPv4", "X-Client-IP"]) == set(SENT_BY_CLIENTS)
    let_pass(())
    assert told(peer, SENT_BY_CLIENTS) == before


def test_they_pass_still_when_the_remembered_names_are_forgotten(let_pass):
    let_pass(["X-Auth-User"])
    for number in range(claims.Peer.MOST * 2):
        claims.STRANGER.may_say(f"HTTP_X_{number}_USER")
        if number % 100 == 0:
            assert told("", ["X-Auth-User"]) == {"X-Auth-User"}
    assert len(claims.STRANGER.names) <= claims.Peer.MOST
    assert len(claims._claims) <= claims.Peer.MOST


@pytest.mark.usefixtures("untold")
def test_what_is_dropped_is_said_with_the_way_out(let_pass, caplog):
    caplog.set_level(logging.INFO, "gunicorn.error")
    usual = "X-Forwarded-For X-Real-IP CF-Connecting-IP Fly-Client-IP X-Original-URL X-Scheme X-Host Proxy".split()
    told("", [*usual, "X-Vercel-IP-Country"])
    assert not caplog.records
    for _ in range(3):
        told("", [*usual, "X-Agent-IP", "X-Hostname", "X-Auth-User", "X-Base-Url"])
    address, place, user = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert (address[0], place[0], user[0]) == ("INFO", "INFO", "WARNING")
    assert address[1].startswith("X-Agent-Ip claims an address, and was DROPPED")
    assert place[1].startswith("X-Hostname claims a scheme, host, port or path, and was DROPPED")
    for (_, line), name in zip((address, place, user), ("X-Agent-Ip", "X-Hostname", "X-Auth-User"), strict=True):
        assert f"PASS_HEADERS={name}" in line
    claims._told.clear()
    caplog.clear()
    told("", ["X-Forwarded-User"])
    assert "PASS_HEADERS" not in caplog.text, "it would not be taken"
    claims._told.clear()
    caplog.clear()
    let_pass(SENT_BY_CLIENTS)
    told("", [*usual, *SENT_BY_CLIENTS])
    assert not caplog.records
