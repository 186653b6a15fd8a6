from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "flat"


if __name__ == "__main__":
    app.run(debug=True)
