"""The server under load: throughput, overload, identical answers, hostile pictures, schema fuzzing.

run_load_test.py: the parts and their order
load_client.py: a cheap HTTP client
server_process.py: measured processes
local_proxy.py: nginx and HAProxy with the files of deploy/
rolling_update.py: servers that are replaced behind a proxy, under load
naive_server.py: the naive baseline server
in_process.py: the model without HTTP
hostile_images.py: hostile uploads
schema_fuzz.py: Schemathesis
load_page.py: docs/reports/load.md

Not here: the server (`serve`).
"""
