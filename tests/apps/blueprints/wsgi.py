from site_ import create_app

application = create_app()
