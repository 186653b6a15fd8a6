"""Flagon: everything a WSGI application needs around it, in one container image."""

__version__ = "0.1.0"
