from pyramid.config import Configurator
from pyramid.response import Response

with Configurator() as config:
    config.add_route("index", "/")
    config.add_view(lambda request: Response("pyramid"), route_name="index")
    config.add_route("health", "/health")
    config.add_view(lambda request: Response("own health"), route_name="health")
    app = config.make_wsgi_app()
