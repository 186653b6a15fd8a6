"""What stands below the main guard and is not run: named with its line, and what is no loss is not."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import pytest

from flagon import application, guard
from flagon.boot import Boot

HEAD = "import os, sys, argparse\nfrom flask import Flask\napp = Flask(__name__)\n"
GUARD = "if __name__ == '__main__':\n"


def said(folder, source, command=None, name="app.py", environ=None):
    (folder / name).write_text(source)
    boot = Boot({"RUNTIME_DIR": str(folder / "run"), **(environ or {})}, str(folder), command)
    boot.application = application.choose(boot, "")
    return guard.lines(boot)


@pytest.mark.parametrize("body", [
    "app.run()",
    "app.run(host='0.0.0.0', port=int(os.environ.get('PORT', 5000)), debug=True)",
    "port = int(os.getenv('PORT', '8000'))\nprint('on', port)\napp.run(port=port)",
    "parser = argparse.ArgumentParser()\nparser.add_argument('--port')\nargs = parser.parse_args()\napp.run(port=args.port)",
    "from waitress import serve\nserve(app, port=80)",
    "if os.environ.get('DEBUG'):\n    app.run(debug=True)\nelse:\n    from waitress import serve\n    serve(app)",
    "socketio.run(app)",
    "app.debug = True\napp.config['TEMPLATES_AUTO_RELOAD'] = True\napp.run()",
    "context = ssl.SSLContext(2)\ncontext.load_cert_chain('a')\napp.run(ssl_context=context)",
    "import logging\nlogging.basicConfig(level=10)\napp.run()",
    "port = free_port()\napp.run(port=port)",
    "try:\n    app.run()\nexcept KeyboardInterrupt:\n    sys.exit(0)",
    "make_server('', 80, app).serve_forever()",
    "httpd = make_server('', 80, app)\nhttpd.serve_forever()",
    "main()",
])  # fmt: skip
def test_no_loss(tmp_path, body):
    main = "def main():\n    parser = argparse.ArgumentParser()\n    args = parser.parse_args()\n    app.run(port=args.port)\n"
    source = HEAD + main + GUARD + "".join(f"    {line}\n" for line in body.splitlines())
    assert said(tmp_path, source, ["python", "app.py"]) == []


@pytest.mark.parametrize(("body", "line", "text", "more"), [
    ("db.create_all()\napp.run()", 5, "db.create_all()", 0),
    ("with app.app_context():\n    db.create_all()\napp.run()", 6, "db.create_all()", 0),
    ("scheduler = Scheduler()\nscheduler.start()\napp.run()", 5, "scheduler = Scheduler()", 1),
    ("threading.Thread(target=work).start()\napp.run()", 5, "threading.Thread(target=work).start()", 0),
    ("app.config['LIMIT'] = 5\napp.run()", 5, "app.config['LIMIT'] = 5", 0),
    ("if not os.path.exists('x.db'):\n    init()\napp.run()", 6, "init()", 0),
    ("try:\n    load_model()\nfinally:\n    app.run()", 6, "load_model()", 0),
    ("app = create_app('live')\napp.run()", 5, "app = create_app('live')", 0),
    ("model = requests.get('x')\napp.run()", 5, "model = requests.get('x')", 0),
    ("bot.run()\napp.run()", 5, "bot.run()", 0),
    ("@app.get('/x')\ndef x(): ...\napp.run()", 6, "@app.get('/x')", 0),
    ("subprocess.run(['a'])\napp.run()", 5, "subprocess.run(['a'])", 0),
])  # fmt: skip
@pytest.mark.parametrize("command", [["python", "app.py"], None, "Procfile"])
def test_named(tmp_path, body, line, text, more, command):
    source = HEAD + GUARD + "".join(f"    {one}\n" for one in body.splitlines())
    if command == "Procfile":
        (tmp_path / "Procfile").write_text("web: python app.py\n")
        command = None
    (found,) = said(tmp_path, source, command)
    assert f"app.py line {line}: `{text}`" in found
    assert (f"and {more} more" in found) == bool(more)
    assert ("SERVE_CMD=off" in found) == bool(command)
    assert ("docker-entrypoint.d" if command else "prestart.sh") in found


@pytest.mark.parametrize(("made", "call"), [
    ("io = SocketIO(app)", "io.run(app, host='0.0.0.0', port=5001)"), ("from ext import io", "io.run(app)"), ("shop = Flask(__name__)", "shop.run(port=1)"), ("site = create_app('live')", "site.run()"),
])  # fmt: skip
def test_a_server_of_any_name_is_not_advised_to_be_started_at_import(tmp_path, made, call):
    assert said(tmp_path, f"{HEAD}{made}\n{GUARD}    {call}\n", ["python", "app.py"]) == []
    (found,) = said(tmp_path, f"{HEAD}{made}\n{GUARD}    seed()\n    {call}\n", ["python", "app.py"])
    assert "`seed()` is" in found.replace(', below `if __name__ == "__main__":`,', "")


@pytest.mark.parametrize("call", ["main()", "sys.exit(main())", "raise SystemExit(main())"])
def test_what_main_does(tmp_path, call):
    source = HEAD + "def main():\n    init_db()\n    app.run()\n" + GUARD + f"    {call}\n"
    (found,) = said(tmp_path, source)
    assert "app.py line 5: `init_db()`" in found


@pytest.mark.parametrize(("command", "files"), [
    (["gunicorn", "app:app"], {}), (["flask", "run"], {}), (["uwsgi", "--module", "app:app"], {}), (["waitress-serve", "app:app"], {}),
    (None, {"Procfile": "web: gunicorn app:app\n"}), (None, {"uwsgi.ini": "[uwsgi]\nmodule = app:app\n"}),
])  # fmt: skip
def test_a_server_that_imports_has_never_run_it(tmp_path, command, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert said(tmp_path, HEAD + GUARD + "    init_db()\n    app.run()\n", command) == []


def test_a_main_module_is_not_imported_at_all(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text(HEAD)
    (tmp_path / "shop" / "__main__.py").write_text("from . import app\nfrom .db import init\ninit()\napp.run()\n")
    (found,) = said(tmp_path, "", ["python", "-m", "shop"], "other.py")
    assert "shop/__main__.py line 3: `init()` is not run" in found
