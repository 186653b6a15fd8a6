from flask import Blueprint, Flask

blog = Blueprint("blog", __name__, static_folder="blog/assets", url_prefix="/blog")
shop = Blueprint("shop", __name__, static_folder="shop/files", static_url_path="/media", url_prefix="/shop")


@blog.get("/")
def index():
    return "blueprints"


def create_app():
    app = Flask(__name__, static_url_path="/s")
    app.register_blueprint(blog)
    app.register_blueprint(shop)
    return app
