raise SystemExit("the demo file that an old image left there: app/main.py comes first")
app = None
