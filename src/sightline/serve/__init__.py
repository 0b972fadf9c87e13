"""The HTTP server: OpenAI's routes over a bundle, batching, limits, and the web page.

api.py: the routes
api_schema.py: schemas of requests and responses
service.py: from a request to rows for the model
batcher.py: the request queue and dynamic batches
batch_model.py: session, OOD detector and index at one batch shape
completions.py: chat requests and replies in OpenAI's form
connections.py: limits of connections, headers and time, below HTTP
image_input.py: pictures from requests, checked first
api_error.py: the errors clients see, in OpenAI's form
deploy/: how a server is set up, by environment: limits, addresses, the log
log_writer.py: the log, which nobody waits for
login.py: the login of the page, and the cookie that it gives
middleware.py: API keys, sizes and rates, before any route
prometheus.py: /metrics
metric_names.py: its labels
metrics_reader.py: /metrics of a server, read back as figures
same_site.py: Host, Origin and Sec-Fetch-Site: no page of another website
serve_profile.py: a server under ONNX Runtime's profiler: its model, queue and batches
example_load.py: a client that asks about a bundle's example pictures
server.py: start and graceful stop
ui/: the web page
safety/: filters of questions, answers and captions, by a policy
request_settings.py: how a request is answered: the bundle's settings and what the request changes

Not here: answering itself (`inference/session.py`), load tests (`sightline_lab/load_test`).
"""
