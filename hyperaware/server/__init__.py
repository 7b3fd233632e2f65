"""The HTTP server (`hyperaware serve`, extra `server`): routes, keys, limits, batching.

No decision lives here. `hyperaware.server.app:create_app` makes the application. The model and the decoders
of pictures run in processes of their own (`model_worker`, `decode_worker`), restarted when they die.
"""
