"""Which object is served, decided from source text alone."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import sys

import pytest
from fakes import put

from flagon import application, locate, places
from flagon.locate import Clue, NotFound, holds_anything
from flagon.wsgi_source import find_object


def find(directory, app_module, flask_app=""):
    return locate.locate(directory, [Clue(app_module or "", "APP_MODULE"), Clue(flask_app, "FLASK_APP")])


FLASK = "from flask import Flask\napp = Flask(__name__)\n"
DJANGO = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'garden.settings')\n"
FACTORY = "def create_app():\n    return object()\n"


@pytest.fixture
def tree(tmp_path):
    def tree(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py").replace("/init/.py", "/__init__.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path)

    return tree


@pytest.mark.parametrize(("files", "target", "folder"), [
    ({"app.py": FLASK}, "app:app", ""),
    ({"main.py": FLASK}, "main:app", ""),
    ({"wsgi.py": FLASK}, "wsgi:app", ""),
    ({"application.py": "application = object()"}, "application:application", ""),
    ({"server.py": FLASK}, "server:app", ""),
    ({"run.py": FLASK}, "run:app", ""),
    ({"app/__init__.py": FLASK}, "app:app", ""),
    ({"app/__init__.py": FACTORY}, "app:create_app()", ""),
    ({"app.py": FACTORY}, "app:create_app()", ""),
    ({"app.py": "def make_app(config=None, *, debug=False): ..."}, "app:make_app()", ""),
    ({"src/app.py": FLASK}, "app:app", "src"),
    ({"src/main/__init__.py": FACTORY}, "main:create_app()", "src"),
    ({"wsgi.py": "from shop import create_app\napp = create_app()\n", "shop/__init__.py": FACTORY}, "wsgi:app", ""),
    ({"wsgi.py": "from shop import app\n"}, "wsgi:app", ""),
    ({"wsgi.py": "from shop import app as application\n"}, "wsgi:application", ""),
    ({"wsgi.py": "from shop import server as app\n"}, "wsgi:app", ""),
    ({"wsgi.py": "from shop import create_app\n"}, "wsgi:create_app()", ""),
    ({"app.py": FLASK, "main.py": FLASK}, "app:app", ""),
    ({"app.py": FLASK, "src/app.py": FLASK}, "app:app", ""),
    ({"app.py": FLASK, "app/__init__.py": FACTORY}, "app:create_app()", ""),  # as Python's import does
    ({"app/__init__.py": "", "main.py": FLASK}, "main:app", ""),
    ({"app.py": "def helper(): pass", "wsgi.py": FLASK}, "wsgi:app", ""),
    ({"app.py": "app = None", "wsgi.py": FLASK}, "wsgi:app", ""),
    ({"app.py": "app = FastAPI()", "wsgi.py": FLASK}, "wsgi:app", ""),
    ({"main.py": "import typer\napp = typer.Typer()", "wsgi.py": FLASK}, "wsgi:app", ""),
    ({"app.py": "def broken(:", "wsgi.py": FLASK}, "wsgi:app", ""),
    # An object that somebody has made for a server wins over the factory called without arguments.
    ({"app/__init__.py": FACTORY, "wsgi.py": "from app import create_app\napp = create_app('live')\n"}, "wsgi:app", ""),
    ({"app/__init__.py": FACTORY, "run.py": "from app import create_app\napplication = create_app('live')\n"}, "run:application", ""),
    ({"app.py": FACTORY, "main.py": "import app as a\napp = a.create_app('live')\n"}, "main:app", ""),
    ({"app/__init__.py": FACTORY, "autoapp.py": "from app import create_app\napp = create_app('live')\n"}, "autoapp:app", ""),
    ({"conduit/__init__.py": FACTORY, "autoapp.py": "from conduit import create_app\napp = create_app(1)\n"}, "autoapp:app", ""),
    ({"src/app/__init__.py": FACTORY, "src/wsgi.py": "from app import create_app\napp = create_app(1)\n"}, "wsgi:app", "src"),
    ({"shop/__init__.py": FACTORY, "wsgi.py": "from shop import create_app\nshop = create_app(config='prod.cfg')\n"}, "wsgi:shop", ""),
    ({"shop/__init__.py": FACTORY, "wsgi.py": "import shop\nsite: Flask = shop.create_app(config='prod.cfg')\n"}, "wsgi:site", ""),
    ({"app/__init__.py": FACTORY, "run.py": "from app import create_app as make\nif 1:\n    web = make('live')\n"}, "run:web", ""),
    ({"src/app.py": FACTORY + "web = create_app('live')\n"}, "app:web", "src"),
    ({"shop.py": FACTORY + "web = create_app('live')\n"}, "shop:web", ""),
    ({"app/__init__.py": FACTORY, "wsgi.py": "from app import create_app\n"}, "app:create_app()", ""),
    ({"app/__init__.py": FACTORY, "run.py": "from app import create_app\napp = create_app()\napp.run()\n"}, "app:create_app()", ""),
    ({"app/__init__.py": FACTORY, "run.py": "from app import create_app\napp = create_app(1)\nif __name__ == '__main__':\n    app.run()\n"}, "run:app", ""),
    ({"app/__init__.py": FLASK, "wsgi.py": FLASK}, "app:app", ""),
    ({"app/main.py": FLASK, "main.py": FLASK}, "app.main:app", ""),
    ({"app/__init__.py": "", "app/main.py": FLASK, "main.py": FLASK}, "app.main:app", ""),
    ({"app.py": FLASK, "app/main.py": FLASK}, "app:app", ""),  # no package: the module hides the folder
    ({"app/__init__.py": FACTORY, "app/main/__init__.py": "main = Blueprint('main', __name__)"}, "app:create_app()", ""),
    ({"shop.py": FLASK}, "shop:app", ""), ({"shop/__init__.py": FACTORY}, "shop:create_app()", ""), ({"src/shop/__init__.py": FACTORY}, "shop:create_app()", "src"),
    ({"shop.py": "web = Flask(__name__)", "tests/__init__.py": FLASK}, "shop:web", ""), ({"main.py": "web = flask.Flask(__name__)"}, "main:web", ""),
    ({"app.py": "import falcon\napp = falcon.App()"}, "app:app", ""), ({"x.py": "import falcon\nsite = falcon.App()"}, "x:site", ""),
    ({"manage.py": DJANGO, "garden/wsgi.py": "application = get_wsgi_application()", "app/__init__.py": FLASK}, "garden.wsgi:application", ""),
    ({"src/manage.py": DJANGO, "src/garden/wsgi.py": ""}, "garden.wsgi:application", "src"),
    ({"manage.py": DJANGO.replace("garden.", "garden.conf."), "garden/wsgi.py": ""}, "garden.wsgi:application", ""),
    ({"manage.py": "from flask_script import Manager", "app.py": FLASK}, "app:app", ""),
])  # fmt: skip
def test_layouts(tmp_path, files, target, folder):
    root = put(tmp_path, files)
    found = find(root, None)
    assert found.target == target
    assert found.directory == (f"{root}/{folder}" if folder else root)
    assert "found in " in found.why or "manage.py names" in found.why


@pytest.mark.parametrize(("source", "name"), [
    (FLASK, "app"),
    ("app: Flask = Flask(__name__)", "app"),
    ("app: Flask", None),
    ("app = application = Flask(__name__)", "app"),
    ("application = Flask(__name__)", "application"),
    ("api = falcon.API()", "api"),
    ("app = create_app()\ndef create_app(): ...", "app"),
    ("app = flask.Flask(__name__)", "app"),
    ("app = make()(1)", "app"),
    ("app = factories['x']", "app"),
    ("app = ProxyFix(app)", "app"),
    ("app = lambda environ, start_response: []", "app"),
    ("def application(environ, start_response): return []", "application"),
    ("def app(environ, start_response): return []", "app"),
    ("def app(): ...", None),
    ("def app(scope, receive, send): ...", None),
    ("async def app(environ, start_response): ...", None),
    ("def create_app(): ...", "create_app()"),
    ("def create_app(config=None): ...", "create_app()"),
    ("def create_app(*args, **kwargs): ...", "create_app()"),
    ("def create_app(*, name='x'): ...", "create_app()"),
    ("def create_app(config): ...", None),
    ("def create_app(config, debug=False): ...", None),
    ("def create_app(*, config): ...", None),
    ("def create_app(config, /): ...", None),
    ("async def create_app(): ...", None),
    ("from shop import create_app\nshop = create_app('live')\ncelery = shop.extensions['celery']", "shop"),
    ("from shop import create_app\nshop = create_app('live')\napplication = ProxyFix(shop)", "application"),
    ("def create_app(c): ...\nfirst = second = create_app('live')", "first"),
    ("from shop import create_app\npublic = create_app('a')\nadmin = create_app('b')", None),
    ("from shop import create_app\napi = create_app('a')\nadmin = create_app('b')", "api"),
    ("from shop import create_app\ndb = SQLAlchemy()", "create_app()"),
    ("def make_app(): ...", "make_app()"),
    ("def make_app(): ...\ndef create_app(): ...", "create_app()"),
    ("app = None", None),
    ("app = 'name'", None),
    ("app = f'{x}'", None),
    ("app = []\napplication = {}", None),
    ("app = None\napp = Flask(__name__)", "app"),
    ("app = FastAPI()", None),
    ("app = fastapi.FastAPI(title='x')", None),
    ("app = Starlette()", None),
    ("app = Quart(__name__)", None),
    ("app = typer.Typer()", None),
    ("app = Celery('x')", None),
    ("app = Typer()\ndef create_app(): ...", "create_app()"),
    ("if DEBUG:\n    app = Flask(__name__)", "app"),
    ("if DEBUG:\n    x = 1\nelse:\n    app = Flask(__name__)", "app"),
    ("try:\n    app = Flask(__name__)\nexcept ImportError:\n    raise", "app"),
    ("with x() as y:\n    app = Flask(__name__)", "app"),
    ("if __name__ == '__main__':\n    app = Flask(__name__)", None),
    ("def f():\n    app = Flask(__name__)", None),
    ("class X:\n    app = Flask(__name__)", None),
    ("import app", None),
    ("# app = Flask(__name__)", None),
    ("'app = Flask(__name__)'", None),
    ("", None),
    ("def x(:", None),
    ("app = Flask(__name__)\0", None),
    ("\ufeffapp = Flask(__name__)", "app"),
    ("web = Flask(__name__)\ndef main():\n    web.run()\nif '__main__' == __name__:\n    main()", "web"),
    ("shop = x.create_app('production')\nserve(shop)", "shop"),
    ("from shop import flask_app\nflask_app.run()", "flask_app"),
    ("web = Flask(__name__)", "web"),
    ("from bot import client\nclient.run('token')", None),
    ("client = Client()\nclient.run('token')", None),
])  # fmt: skip
def test_objects(tmp_path, source, name):
    path = tmp_path / "x.py"
    path.write_text(source, encoding="utf-8")
    assert find_object(str(path)) == name


@pytest.mark.parametrize("source", [
    "from flask_restx import Api\napi = Api()\ndef create_app():\n    app = Flask(__name__)\n    api.init_app(app)\n    return app\n",
    "from .api import api\ndef create_app():\n    app = Flask(__name__)\n    app.register_blueprint(api)\n    return app\n",
    "api = Blueprint('api', __name__)\ndef create_app(): ...\n",
])  # fmt: skip
def test_an_extension_called_api_is_not_taken_for_the_application(tmp_path, source):
    (tmp_path / "app.py").write_text(source)
    assert find(str(tmp_path), None).target == "app:create_app()"


def test_other_encodings(tmp_path):
    (tmp_path / "app.py").write_bytes("# coding: latin-1\n# \xe9\napp = Flask(__name__)\n".encode("latin-1"))
    assert find(str(tmp_path), None).target == "app:app"


@pytest.mark.parametrize(("given", "target"), [
    ("shop:app", "shop:app"), ("shop", "shop:web"), ("shop.web", "shop.web:app"), ("shop:create_app()", "shop:create_app()"),
    ("shop:create_app", "shop:create_app()"), ("shop:web.app", "shop:web.app"), ("nowhere", "nowhere:app"),
    ("shop:create_app('x')", "shop:create_app('x')"), ("fact", "fact:create_app()"),
])  # fmt: skip
def test_app_module(tree, given, target):
    root = tree(shop="from x import app as _hidden\nweb = 1\n", fact=FACTORY)
    if target == "shop:web":
        target = "shop:app"  # nothing is known of `web`: the customary name
    found = find(root, given, "ignored")
    assert (found.target, found.directory) == (target, root)
    assert "APP_MODULE" in found.why


@pytest.mark.parametrize(("given", "target"), [
    ("shop", "shop:application"), ("shop.py", "shop:application"), ("shop:app", "shop:app"), ("shop.py:app", "shop:app"),
    ("./shop.py", "shop:application"), ("web/site.py", "web.site:create_app()"), ("web.site", "web.site:create_app()"),
    ("shop:create_app", "shop:create_app()"), ("shop:create_app('dev')", "shop:create_app('dev')"), (" shop ", "shop:application"),
    ("shop:create_app('config/dev.py')", "shop:create_app('config/dev.py')"),
    ("shop.py:create_app('a.py')", "shop:create_app('a.py')"),
])  # fmt: skip
def test_flask_app(tmp_path, given, target):
    root = put(tmp_path, {"shop.py": "application = Flask(__name__)", "web/site.py": FACTORY})
    found = find(root, None, given)
    assert found.target == target
    assert "FLASK_APP" in found.why


def test_flask_app_as_an_absolute_path(tmp_path):
    """ENV FLASK_APP=/app/shop.py is in many Dockerfiles, and flask takes it."""
    root = put(tmp_path, {"shop.py": FLASK})
    assert find(root, None, f"{root}/shop.py").target == "shop:app"


def test_flask_app_names_any_factory(tmp_path):
    """flask calls a function that FLASK_APP names; a function that is called with the WSGI arguments would fail."""
    root = put(tmp_path, {"shop.py": "def build(config=None):\n    return object()\n"})
    assert find(root, None, "shop:build").target == "shop:build()"


@pytest.mark.parametrize(("files", "words"), [
    ({"a.py": FLASK, "b.py": FLASK}, ["several WSGI applications", "a:app, b:app", "APP_MODULE=a:app"]),
    ({"a.py": "a = FastAPI()", "b.py": "b = Quart(1)"}, ["several ASGI applications", "a:a, b:b"]), ({"app.py": "print 'x'\n"}, ["app.py (line 1", "Python 2 code"]),
    ({"manage.py": DJANGO}, ["manage.py (names garden.settings, and there is no garden.wsgi)"]),
])  # fmt: skip
def test_not_found_says_what_was_looked_at(tmp_path, files, words):
    with pytest.raises(NotFound) as error:
        find(put(tmp_path, files), None)
    for word in words:
        assert word in str(error.value)


def test_several_objects_of_one_file_are_named_and_none_is_guessed(tmp_path):
    source = "from shop import create_app\npublic = create_app('a')\nadmin = create_app('b')\n"
    with pytest.raises(
        NotFound, match=r"wsgi\.py \(makes several, public, admin, and none is called app or application"
    ):
        find(put(tmp_path, {"wsgi.py": source}), None)


def test_flask_app_without_an_object_is_the_one_made_of_a_factory(tmp_path):
    root = put(tmp_path, {"wsgi.py": "from shop import create_app\nshop = create_app(config='prod.cfg')\n"})
    clue = [Clue("wsgi", "FLASK_APP")]
    assert locate.locate(root, clue).target == "wsgi:shop"
    assert application.objects(clue, "wsgi:shop")[:3] == ["shop", "app", "application"]
    assert application.objects(clue, "wsgi:create_app()")[:3] == ["app", "application", "create_app()"]
    assert application.objects([], "wsgi:create_app()") == ["create_app()"]
    assert application.objects([], "wsgi:app") == application.objects([Clue("wsgi:x()", "FLASK_APP")], "wsgi:x()") == []


def test_the_order_of_clues(tmp_path):
    """Each says a file of its own: what is left when the stronger ones are gone."""
    names = ["APP_MODULE", "MODULE_NAME", "FLASK_APP", "Procfile", "uwsgi.ini"]
    root = put(tmp_path, {f"m{number}.py": FLASK for number in range(5)})
    clues = [Clue(f"m{number}", name) for number, name in enumerate(names)]
    for number, name in enumerate(names):
        found = locate.locate(root, clues[number:])
        assert (found.target, found.why) == (f"m{number}:app", f"{name}=m{number}")


def test_an_object_that_is_looked_for_first_and_a_folder(tmp_path):
    root = put(tmp_path, {"deep/web.py": "app = Flask(1)\napplication = Flask(2)\n", "deep/other.py": ""})
    assert locate.locate(root, [Clue("web.py", "uwsgi.ini", f"{root}/deep", "application")])[:3] == (
        "web:application", f"{root}/deep", "uwsgi.ini=web.py",
    )  # fmt: skip
    assert (
        locate.locate(root, [Clue("other.py", "uwsgi.ini", f"{root}/deep", "application")]).target
        == "other:application"
    )


def test_app_module_wins_over_flask_app(tree):
    assert find(tree(a=FLASK, b=FLASK), "a:app", "b:app").target == "a:app"


def test_nothing_is_imported(tmp_path, monkeypatch):
    marker = tmp_path / "imported"
    text = f"open({str(marker)!r}, 'w').close()\nraise SystemExit\napp = Flask(__name__)\n"
    root = put(tmp_path, {"app.py": text, "pack/__init__.py": text, "pack/inner.py": text})
    monkeypatch.syspath_prepend(root)
    before = set(sys.modules)
    assert find(root, None).target == "app:app"
    assert find(root, "pack.inner").target == "pack.inner:app"
    assert find(root, None, "pack").target == "pack:app"
    assert not marker.exists()
    assert set(sys.modules) == before


def message(root):
    with pytest.raises(NotFound) as caught:
        find(root, None)
    text = str(caught.value)
    assert "APP_MODULE=module:object" in text
    assert root in text
    assert "\n" not in text
    return text


def test_nothing_found_names_what_was_looked_for(tmp_path):
    text = message(str(tmp_path))
    for module in locate.MODULES:
        assert f"{module}.py" in text


def test_nothing_found_names_the_files_that_were_looked_at(tmp_path):
    text = message(put(tmp_path, {"main.py": "x = 1", "src/app.py": "y = 2"}))
    assert f"{tmp_path}/main.py (no app, application, api, create_app() or make_app())" in text
    assert f"{tmp_path}/src/app.py (" in text


def test_a_syntax_error_is_named_with_its_line(tmp_path):
    text = message(put(tmp_path, {"app.py": "import os\n\ndef broken(:\n    pass\n"}))
    assert f"{tmp_path}/app.py (line 3: " in text


@pytest.mark.parametrize(("names", "brought"), [
    ([], False), ([".git"], False), ([".env", ".dockerignore"], False), (["lost+found"], False), (["app.py"], True), (["x"], True),
])  # fmt: skip
def test_holds_anything(tmp_path, names, brought):
    for name in names:
        (tmp_path / name).mkdir()
    assert holds_anything(str(tmp_path)) is brought
    assert holds_anything(str(tmp_path / "nowhere")) is False


@pytest.mark.parametrize(("environ", "env", "flaskenv", "command", "why"), [
    ({}, "", "FLASK_APP=blog.py", [], "FLASK_APP in .flaskenv=blog.py"),
    ({}, "", 'export FLASK_APP="blog:app"  # mine', [], "FLASK_APP in .flaskenv=blog:app"),
    ({}, "FLASK_APP=site.py", "FLASK_APP=blog.py", [], "FLASK_APP=site.py"),
    ({"FLASK_APP": "site"}, "", "FLASK_APP=blog.py", [], "FLASK_APP=site"),
    ({"APP_MODULE": "site:app"}, "", "FLASK_APP=blog.py", [], "APP_MODULE=site:app"),
    ({}, "", "FLASK_APP=blog.py", ["flask", "run"], "FLASK_APP in .flaskenv=blog.py"),
    ({}, "", "", ["flask", "run"], "flask run=wsgi.py"),
    ({}, "", "", [], "found in"),
])  # fmt: skip
def test_flaskenv(tmp_path, environ, env, flaskenv, command, why):
    """As flask itself reads it: below the environment and .env; and `flask run` looks for wsgi.py first."""
    from flagon import application
    from flagon.boot import Boot

    files = {"app.py": FLASK, "blog.py": FLASK, "site.py": FLASK, "wsgi.py": FLASK}
    root = put(tmp_path, {**files, ".env": env, ".flaskenv": flaskenv})
    assert why in application.choose(Boot(environ, root, command or None), "").why


BARE = "import sys\nfrom django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
SERVES = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
WRAPPED = "import os\nfrom django.core import wsgi\nos.environ['DJANGO_SETTINGS_MODULE'] = 'conf.live'\napp = Noise(wsgi.get_wsgi_application())\n"
ASSIGNS = "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'garden.settings'\n" + BARE
READS = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', name())\n" + BARE


@pytest.mark.parametrize(("files", "variable", "target", "why", "settings"), [
    ({"manage.py": BARE, "site1/wsgi.py": SERVES, "site1/settings.py": ""}, "site1.settings", "site1.wsgi:application", "DJANGO_SETTINGS_MODULE=site1.settings", ""),
    ({"manage.py": BARE, "site1/wsgi.py": SERVES, "site1/settings.py": ""}, "", "site1.wsgi:application", "the only WSGI module of", "site1.settings"),
    ({"src/manage.py": BARE, "src/a/b/wsgi.py": SERVES, "src/a/b/settings/__init__.py": ""}, "", "a.b.wsgi:application", "the only WSGI module of", "a.b.settings"),
    ({"manage.py": BARE, "shop/wsgi.py": WRAPPED, "conf/live.py": ""}, "", "shop.wsgi:app", "the only WSGI module of", "conf.live"),
    ({"manage.py": BARE, "a/wsgi.py": SERVES, "b/wsgi.py": SERVES}, "b.settings.live", "b.wsgi:application", "DJANGO_SETTINGS_MODULE=b.settings.live", ""),
    ({"manage.py": ASSIGNS, "garden/wsgi.py": SERVES}, "", "garden.wsgi:application", "names garden.settings", ""),
    ({"manage.py": DJANGO, "shop/wsgi.py": SERVES}, "", "shop.wsgi:application", "the only WSGI module of", ""),
    ({"manage.py": READS, "shop/wsgi.py": SERVES, "shop/settings.py": ""}, "", "shop.wsgi:application", "the only WSGI module of", ""),
    ({"manage.py": BARE, "tests/wsgi.py": SERVES, "shop/wsgi.py": SERVES, "shop/settings.py": ""}, "none.settings", "shop.wsgi:application", "the only WSGI module of", ""),
    ({"manage.py": BARE, "wsgi.py": SERVES, "settings.py": ""}, "", "wsgi:application", "the only WSGI module of", "settings"),
    ({"manage.py": "from flask.cli import FlaskGroup\n", "wsgi.py": FLASK}, "site1.settings", "wsgi:app", "found in", None),
])  # fmt: skip
def test_a_django_project_by_what_names_its_settings(tmp_path, files, variable, target, why, settings):
    from flagon.inside import revisions

    put(tmp_path, files)
    environ = {"DJANGO_SETTINGS_MODULE": variable} if variable else {}
    found = locate.locate(str(tmp_path), [], environ)
    assert (found.target, why in found.why) == (target, True)
    layout = revisions.find(found.directory, found.target, environ)
    assert (layout and (layout.tool, layout.settings, layout.unclear)) == (
        None if settings is None else ("django", settings, "")
    )


@pytest.mark.parametrize(("files", "variable", "words", "settings"), [
    ({"manage.py": BARE, "a/wsgi.py": SERVES, "b/wsgi.py": SERVES}, "", "manage.py (names no settings, and several modules serve: a.wsgi, b.wsgi. DJANGO_SETTINGS_MODULE says", None),
    ({"manage.py": BARE, "a/settings.py": ""}, "", "(names no settings, and no module wsgi calls get_wsgi_application())", "a.settings"),
    ({"manage.py": BARE, "a/settings.py": "", "b/settings.py": ""}, "", "settings could be a.settings, b.settings: DJANGO_SETTINGS_MODULE says which", None),
    ({"manage.py": DJANGO}, "none.settings", "(DJANGO_SETTINGS_MODULE=none.settings and names garden.settings, and there is no none.wsgi or garden.wsgi)", ""),
    ({"manage.py": BARE}, "flat", "and there is no package)", ""),
])  # fmt: skip
def test_a_django_project_that_cannot_be_served_is_named_and_still_migrated(tmp_path, files, variable, words, settings):
    """Its manage.py is named as what was looked at; None: the settings to migrate with are not known, which is said."""
    from flagon.inside import revisions

    put(tmp_path, files)
    environ = {"DJANGO_SETTINGS_MODULE": variable} if variable else {}
    with pytest.raises(NotFound, match=r"Set APP_MODULE=module:object") as caught:
        locate.locate(str(tmp_path), [], environ)
    assert f"looked at {tmp_path}/manage.py " in str(caught.value)
    assert words in str(caught.value)
    layout = revisions.find(str(tmp_path), "x:y", environ)
    assert (layout.tool, layout.settings) == ("django", settings or "")
    assert (words in layout.unclear) is (settings is None)


def test_a_syntax_error_is_to_be_corrected_and_no_question_of_the_object(tmp_path):
    (tmp_path / "app.py").write_text("from flask import Flask\napp = Flask(__name__)\ndef hello()\n    return 1\n")
    with pytest.raises(locate.NotFound) as caught:
        locate.locate(str(tmp_path), [])
    assert "app.py (line 3: expected ':')" in str(caught.value)
    assert "no Python there is to be corrected" in str(caught.value)
    assert "Set APP_MODULE" not in str(caught.value)


@pytest.mark.parametrize(("names", "mounts", "said"), [
    ([], ["/", "{}"], "is empty"), ([".git", ".env"], ["/", "{}"], "holds nothing but .env, .git"), ([], ["/"], ""), (["a.txt"], ["/", "{}"], ""),
])  # fmt: skip
def test_an_empty_mount_is_named(tmp_path, monkeypatch, names, mounts, said):
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr(places, "mount_points", lambda: [point.format(tmp_path) for point in mounts])
    told = locate.empty_mount(str(tmp_path))
    assert bool(told) is bool(said)
    if said:
        assert told.startswith(f"{tmp_path} is mounted ({tmp_path}), and the folder {said}: ")
        with pytest.raises(NotFound, match="no WSGI or ASGI application found: "):
            locate.locate(str(tmp_path), [])
