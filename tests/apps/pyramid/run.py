from pyramid.config import Configurator
from pyramid.response import Response

with Configurator() as config:
    config.add_route("index", "/")
    config.add_view(lambda request: Response("pyramid"), route_name="index")
    app = config.make_wsgi_app()
