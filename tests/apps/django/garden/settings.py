from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "for this test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "garden.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.staticfiles"]
STATIC_URL = "/assets/"
STATIC_ROOT = BASE_DIR / "collected"
