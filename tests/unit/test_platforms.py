"""Which platform is seen, whether its proxy is trusted, and what the settings and the boot say of it."""

import pytest

from flagon import platforms
from flagon.boot import Boot

TRUSTED = {
    "FLY_APP_NAME": ("shop", "Fly-Client-IP"), "RENDER": ("true", "CF-Connecting-IP"),
    "RAILWAY_PROJECT_ID": ("0c1d", "X-Real-IP"), "KOYEB_APP_NAME": ("shop", "X-Forwarded-For"),
    "NF_PROJECT_ID": ("shop", "X-Forwarded-For"), "CONTAINER_APP_NAME": ("shop", "X-Forwarded-For"),
    "WEBSITE_SITE_NAME": ("shop", "X-Forwarded-For"), "GAE_SERVICE": ("default", "X-Forwarded-For"),
    "K_SERVICE": ("shop", "X-Forwarded-For"), "KAMAL_VERSION": ("abc", "X-Forwarded-For"),
    "DYNO": ("web.1", "X-Forwarded-For"),
}  # fmt: skip


def decided(environ):
    boot = Boot(environ, "/nowhere")
    boot._decide_trust()
    return boot


def trust(environ):
    boot = decided(environ)
    return boot.values["TRUSTED_PROXIES"], boot.settings.sources["TRUSTED_PROXIES"], boot.proxies_named


@pytest.mark.parametrize("variable", TRUSTED)
def test_a_platform_s_proxy_is_trusted_and_not_named(variable):
    value, header = TRUSTED[variable]
    boot = decided({variable: value})
    assert trust({variable: value}) == (("private",), f"{variable} is set", False)
    assert (boot.values["REAL_IP_HEADER"], boot.settings.sources["REAL_IP_HEADER"]) == (header, f"{variable} is set")
    assert boot.warnings == []


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "default"),
        ({"PORT": "8080", "HOSTNAME": "web", "DATABASE_URL": "postgresql://db/x"}, "default"),
        ({"DYNO": ""}, "default"),
        ({"RENDER": "no"}, "default"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "KUBERNETES_SERVICE_HOST is set"),
        # Knative on a cluster of one's own
        ({"K_SERVICE": "shop", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "KUBERNETES_SERVICE_HOST is set"),
        ({"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/x"}, "ECS_CONTAINER_METADATA_URI_V4 is set"),
        ({"COOLIFY_RESOURCE_UUID": "x", "COOLIFY_FQDN": "shop.test"}, "COOLIFY_RESOURCE_UUID is set"),
    ],
)
def test_elsewhere_nobody_is(environ, why):
    assert trust(environ) == (("none",), why, False)


@pytest.mark.parametrize("environ", [{}, {"FLY_APP_NAME": "shop"}])
@pytest.mark.parametrize("given", ["none", "private", "any", "10.0.0.7"])
def test_what_the_user_says_is_a_name(environ, given):
    for name in ("TRUSTED_PROXIES", "FLAGON_TRUSTED_PROXIES"):
        assert trust({**environ, name: given}) == ((given,), name, True)


def test_a_platform_is_not_made_by_a_file_of_the_application(tmp_path):
    (tmp_path / ".env").write_text("DYNO=web.1\nFLY_APP_NAME=shop\n")
    boot = Boot({}, str(tmp_path))
    boot._decide_trust()
    assert boot.values["TRUSTED_PROXIES"] == ("none",)


def test_settings_that_need_a_proxy_say_so_where_none_is_trusted():
    [line] = decided({"FORCE_HTTPS": "on"}).warnings
    assert "FOR EVER" in line
    assert "TRUSTED_PROXIES" in line
    [line] = decided({"REAL_IP_HEADER": "X-Client-IP"}).warnings
    assert line.startswith("REAL_IP_HEADER=X-Client-IP has no effect")
    for named in ({"TRUSTED_PROXIES": "10.0.0.7"}, {"DYNO": "web.1"}):
        assert decided({"FORCE_HTTPS": "on", "REAL_IP_HEADER": "X-Client-IP", **named}).warnings == []


def test_each_row_is_whole_and_unlike_the_others():
    variables = [platform.variable for platform in platforms.PLATFORMS]
    assert len(set(variables)) == len(variables)
    for platform in platforms.PLATFORMS:
        assert platform.name
        assert "." in platform.source, "where it is documented"
        assert platform.trusted == (platform.variable in TRUSTED)
