"""A tiny checkout (bundle, variants, pictures, figures) and a real server with the page, shared here."""

import asyncio
import shutil

import pytest

from sightline.core import artifacts
from sightline.serve.api import create_app
from sightline.serve.batch_model import Model
from sightline.serve.prometheus import Metrics
from sightline.serve.service import Service
from tests.support import serving

DEPLOYED = serving.deployed(batch=4)
LIMITS = DEPLOYED.limits


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, tiny_graphs):
    return serving.build_bundle(tmp_path_factory.mktemp("page"), tiny_graphs)


@pytest.fixture(scope="session")
def checkout(bundle, tmp_path_factory):
    """A folder as a checkout has it: data/raw, models/onnx, and the figures of a few stages."""
    here = tmp_path_factory.mktemp("checkout")
    shutil.copytree(bundle.parent / "onnx", here / "models" / "onnx")
    shutil.copytree(bundle.parent / "raw", here / "data" / "raw")
    artifacts.write_json(here / "data" / "raw" / "config.json", {"source": "scenes"})
    curves = here / "plots" / "pretrain" / "plots" / "metrics"
    curves.mkdir(parents=True)
    (curves / "loss.tsv").write_text("step\tloss\n1\t4.5\n2\t3.25\n3\t3.0\n")
    (here / "plots" / "evaluate").mkdir()
    (here / "plots" / "evaluate" / "reliability.csv").write_text("confidence,accuracy,n\n55,50,9\n90,95,9\n")
    (here / "plots" / "evaluate" / "abstention.csv").write_text("coverage,accuracy\n50,99\n100,90\n")
    (here / "metrics" / "evaluate").mkdir(parents=True)
    row = {"pointing": 0.9437, "pointing_interval": [0.9, 0.97], "mass_inside": 0.56, "n": 500}
    row |= {"deletion_mean": 0.158, "insertion_mean": 0.924}
    methods = {"random": row | {"pointing": 0.02}, "cross_attention": row}
    artifacts.write_json(here / "metrics" / "faithfulness.json", {"methods": methods})
    head = "split,variant,spin,type,metric,value,low,high,n\n"
    (here / "metrics" / "evaluate" / "chair.csv").write_text(
        head + "test,shipped,off,scene truth,chair_s,6.9,5.4,8.4,1000\n"
        "test,shipped,on,scene truth,chair_s,8.2,6.5,9.9,1000\n"
    )
    (here / "metrics" / "evaluate" / "pope.csv").write_text(
        head + "test,shipped,off,adversarial,accuracy,96.2,95.4,97.2,2000\n"
        "test,shipped,on,adversarial,accuracy,97.4,97.0,97.9,2000\n"
        "test,shipped,off,popular,accuracy,11.1,11.0,11.2,2000\n"
    )
    return here


@pytest.fixture(scope="session")
def model(bundle):
    return Model.load(bundle, LIMITS.batch)


@pytest.fixture
def at_service(model):
    """Runs an async function of the service to its end."""

    def run(call):
        async def main():
            service = Service(model, DEPLOYED, Metrics(model, LIMITS.queue))
            try:
                return await call(service)
            finally:
                service.close()

        return asyncio.run(main())

    return run


@pytest.fixture(scope="session")
def address(model, bundle, checkout):
    """A real server with API and page."""
    from sightline.serve.ui.mount import mount

    app = mount(create_app(model, DEPLOYED), model, LIMITS, bundle, checkout)
    with serving.running(app) as address:
        yield address
