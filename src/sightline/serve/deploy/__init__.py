"""How a server is set up, by environment: deploy/base.yaml, dev, staging, prod, or a file of one's own.

deployment.py: the schema: every setting with its type, range and meaning
environments.py: files, environment variables and options as one checked `Deployment`
deployment_reference.py: docs/reference/deploy.md

Not here: what a setting does (the module of `serve` that reads it), the values (`deploy`).
"""
