"""Fixtures around one export of tiny random models: a folder's conftest.py imports what its tests use."""

import shutil

import pytest

from tests.support import serving, tiny


@pytest.fixture(scope="session")
def trained():
    """(VLM, DualEncoder), random and tiny."""
    return tiny.models(tiny.tokenizer().size)


@pytest.fixture(scope="session")
def root(tmp_path_factory, tiny_graphs):
    """A folder with the variant fp32, its int8 and int4 forms, and settings; read-only for tests."""
    from sightline.export import variants
    from sightline.inference import calibration_data

    folder = shutil.copytree(tiny_graphs, tmp_path_factory.mktemp("exported") / "onnx")
    images = tiny.pictures(16)
    asked = calibration_data.Questions(images, [tiny.QUESTIONS[i % 4] for i in range(16)], ["red"] * 16)
    shown = [(image, tiny.CAPTIONS[0]) for image in images]
    forms = variants.calibrate(folder, "fp32", asked, shown, tmp_path_factory.mktemp("scratch") / "fp32")
    variants.write_int8(folder, "fp32", forms, {}, variants.calibration_digest(asked, shown))
    variants.write_int4(folder, forms)
    return folder


@pytest.fixture(scope="session")
def searching_bundle(tmp_path_factory, tiny_graphs):
    """A bundle without a decoder; read-only for tests."""
    return serving.build_searching_bundle(tmp_path_factory.mktemp("search"), tiny_graphs)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, tiny_graphs):
    """A bundle of tiny random models with ten items; read-only for tests."""
    return serving.build_bundle(tmp_path_factory.mktemp("serve"), tiny_graphs)
