"""A Django project in one file, with the admin and what comes with it."""

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="for this measurement",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="app",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/tmp/garden.db"}},
    INSTALLED_APPS=[f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "sessions", "messages")],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    VERSION=os.environ.get("FLAGON_VERSION", ""),
)
django.setup()

from django.contrib import admin  # noqa: E402 the settings come first

urlpatterns = [path("", lambda request: HttpResponse("garden")), path("admin/", admin.site.urls)]
application = get_wsgi_application()
