import falcon


class Index:
    def on_get(self, request, response):
        response.text = "falcon"


api = falcon.App()
api.add_route("/", Index())
