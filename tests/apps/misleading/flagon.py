raise SystemExit("a module of the application's own name for things")
