import falcon


class Index:
    def on_get(self, request, response):
        response.text = "falcon"


class Health:
    def on_get(self, request, response):
        response.text = "own health"


api = falcon.App()
api.add_route("/", Index())
api.add_route("/health", Health())
