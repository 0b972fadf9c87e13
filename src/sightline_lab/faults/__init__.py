"""What must hold whatever goes wrong: promises, each tried with many random faults that can be replayed.

battery.py: a promise, a case of it, a run that resumes, and the bound that its outcome supports
promises.py: all promises, by their number
rows/: a file per promise, which makes its faults and judges what came of them
canary_network.py: a process in a network of its own, whose listeners count
smoke_copy.py: a copy of the project, built with the profile smoke
in_child.py: a call in a process of its own
dear_pictures.py: small pictures that take minutes to decode
fault_server.py: a server that misbehaves on order
local_server.py: a server for the length of a block
command_server.py: `sightline serve` as its users start it
served_bundle.py: the checkout's bundle in a server of its own
toy_training.py: a training small enough to be killed many times
built_pipeline.py: the pipeline of the smoke profile, to be stopped while it runs
killer.py: the process that forks and kills it
reliability_page.py: docs/reports/reliability.md

Not here: tests of one known fault each (`tests/`), the load test (`load_test`).
"""
