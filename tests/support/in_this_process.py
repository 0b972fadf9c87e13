"""Work for other processes, done in this one: each new one would import torch and the exporter anew. Real
ones work for the pipeline that tests/pipeline builds."""

import copy
from concurrent.futures import Future, ThreadPoolExecutor
from unittest import mock


class Pool(ThreadPoolExecutor):
    """In place of a ProcessPoolExecutor: a call after another, on copies as a process would get."""

    def __init__(self, max_workers=None, mp_context=None, initializer=None, initargs=()):
        super().__init__(1)
        if initializer is not None:
            with mock.patch("sightline.core.shard_map.end_with_parent"):  # this process goes on
                initializer(*copy.deepcopy(initargs))

    def submit(self, function, /, *given, **more) -> Future:
        return super().submit(function, *copy.deepcopy(given), **copy.deepcopy(more))
