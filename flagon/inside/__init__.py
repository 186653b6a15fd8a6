"""Flagon inside the application's interpreter: gunicorn's side of the socket. Standard library and gunicorn only."""
