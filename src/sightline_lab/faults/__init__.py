"""What must hold whatever goes wrong: promises, each tried with many random faults that can be replayed.

battery.py: a promise, a case of it, a run that resumes, and the bound that its outcome supports
promises.py: all promises, by their number
rows/: a file per promise, which makes its faults and judges what came of them
fault_server.py: a server that misbehaves on order
local_server.py: a server for the length of a block
served_bundle.py: the checkout's bundle in a server of its own
toy_training.py: a training small enough to be killed many times
killer.py: the process that forks and kills it
reliability_page.py: docs/reports/reliability.md

Not here: tests of one known fault each (`tests/`), the load test (`load_test`).
"""
