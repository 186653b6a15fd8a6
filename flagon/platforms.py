"""What the platform's own variables tell: which header carries the client's address, and whether its proxy is trusted.

Trusted are platforms whose network lets nobody but their own proxy reach the port, by their documentation. Not trusted
is what looks the same from inside as a machine on the internet: there a private address may be a neighbour, or the
engine's gateway in front of everybody (docs/client-address.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

DEFAULT_HEADER = "X-Forwarded-For"


class Platform(NamedTuple):
    """One platform, or none of them."""

    name: str
    variable: str  # that gives it away
    real_ip_header: str
    trusted: bool
    source: str  # what proves the three
    value: str = ""  # of the variable; empty: any
    without: str = ""  # a variable that means that it is another one

    @property
    def why(self) -> str:
        """Where a setting that follows from it came from."""
        return f"{self.variable} is set" if self.variable else "default"

    def is_seen(self, environ: Mapping[str, str]) -> bool:
        """Whether these variables are its own."""
        given = environ.get(self.variable, "")
        return bool(given) and self.value in ("", given) and not environ.get(self.without)


NONE = Platform("", "", DEFAULT_HEADER, False, "")
# The first that is seen counts.
PLATFORMS = (
    Platform(
        "Fly", "FLY_APP_NAME", "Fly-Client-IP", True,
        "fly.io/docs/networking/request-headers, machines/runtime-environment",
    ),
    Platform(
        "Render", "RENDER", "CF-Connecting-IP", True,
        "render.com/docs/environment-variables, web-services", value="true",
    ),
    Platform(
        "Railway", "RAILWAY_PROJECT_ID", "X-Real-IP", True,
        "docs.railway.com/reference/variables, public-networking/specs-and-limits",
    ),
    Platform(
        "Koyeb", "KOYEB_APP_NAME", DEFAULT_HEADER, True,
        "koyeb.com/docs/build-and-deploy/environment-variables",
    ),
    Platform(
        "Northflank", "NF_PROJECT_ID", DEFAULT_HEADER, True,
        "northflank.com/docs/v1/application/network",
    ),
    Platform(
        "Azure Container Apps", "CONTAINER_APP_NAME", DEFAULT_HEADER, True,
        "learn.microsoft.com/azure/container-apps/environment-variables, ingress-overview",
    ),
    Platform(
        "Azure App Service", "WEBSITE_SITE_NAME", DEFAULT_HEADER, True,
        "learn.microsoft.com/azure/app-service/reference-app-settings",
    ),
    Platform(
        "App Engine", "GAE_SERVICE", DEFAULT_HEADER, True,
        "cloud.google.com/appengine/docs/flexible/reference/request-headers",
    ),
    # Knative sets it too, on clusters where every pod reaches the port.
    Platform(
        "Cloud Run", "K_SERVICE", DEFAULT_HEADER, True,
        "cloud.google.com/run/docs/container-contract", without="KUBERNETES_SERVICE_HOST",
    ),
    # It may publish ports of the machine beside its proxy, which the engine then relays.
    Platform(
        "Coolify", "COOLIFY_RESOURCE_UUID", DEFAULT_HEADER, False,
        "coolify.io/docs/knowledge-base/environment-variables",
    ),
    Platform(
        "Kamal", "KAMAL_VERSION", DEFAULT_HEADER, True,
        "kamal-deploy.org/docs/configuration/proxy",
    ),
    Platform(
        "Heroku, Dokku", "DYNO", DEFAULT_HEADER, True,
        "devcenter.heroku.com/articles/http-routing, dokku.com/docs/networking/proxy-management",
    ),
    # Security groups decide who reaches the task.
    Platform(
        "Amazon ECS", "ECS_CONTAINER_METADATA_URI_V4", DEFAULT_HEADER, False,
        "docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html",
    ),
    # Every pod reaches the port, and a Service may put the node's address in place of everybody's.
    Platform(
        "Kubernetes", "KUBERNETES_SERVICE_HOST", DEFAULT_HEADER, False,
        "kubernetes.io/docs/tutorials/services/source-ip",
    ),
)  # fmt: skip


def find(environ: Mapping[str, str]) -> Platform:
    """The platform that these variables give away; NONE."""
    return next((platform for platform in PLATFORMS if platform.is_seen(environ)), NONE)
