"""A dvc.lock that DVC was stopped at writing is told from a whole one; a whole one is kept."""

import pytest

from sightline.core import dvc_lock

ENTRY = """  {name}:
    cmd: python stages/{name}.py
    deps:
    - path: stages/{name}.py
      hash: md5
      md5: 913b5f9dc56a51dc6c9912fd855b532d
      size: 99
    outs:
    - path: models/{name}
      hash: md5
      md5: 9b015d47890db83a71155ad273d65f40.dir
      size: 120647
      nfiles: 2
"""
HEAD = "schema: '2.0'\nstages:\n"
WHOLE = (HEAD + "".join(ENTRY.format(name=name) for name in ("align", "finetune"))).encode()


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.lock").write_bytes(WHOLE)
    return tmp_path


def test_a_whole_one_is_kept_and_read(repository):
    dvc_lock.keep(repository)
    assert (repository / dvc_lock.COPY).read_bytes() == WHOLE
    assert list(dvc_lock.stages(WHOLE)) == ["align", "finetune"] and dvc_lock.fault(repository) == ""


def test_every_cut_is_told_and_never_replaces_the_copy(repository):
    dvc_lock.keep(repository)
    for size in range(len(WHOLE)):
        (repository / "dvc.lock").write_bytes(WHOLE[:size])
        assert dvc_lock.fault(repository), f"cut after {size} bytes"
    (repository / "dvc.lock").write_bytes(WHOLE[:-5])
    dvc_lock.keep(repository)
    assert (repository / dvc_lock.COPY).read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), ("stages: [\n", "is no YAML"), ("- one\n", "no dvc.lock of schema"),
     ("schema: '2.0'\nstages: text\n", "has no stages"),
     ("schema: '2.0'\nstages:\n  a:\n", "cut record of the stage a"),
     ("schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - path: y\n", "cut record"),
     ("schema: '2.0'", "ends within a line, after 13 bytes"), ("\udcff\n", "is no YAML"),
     ("a: 2001-99-99\n", "is no YAML")],
)  # fmt: skip
def test_what_is_wrong_is_said(repository, text, said):
    (repository / "dvc.lock").write_bytes(text.encode(errors="surrogateescape"))
    assert said in dvc_lock.fault(repository)
    dvc_lock.keep(repository)
    assert not (repository / dvc_lock.COPY).exists()


def test_a_changed_one_of_the_user_is_whole(repository):
    """Another branch with fewer stages, of other content, is nothing to repair."""
    dvc_lock.keep(repository)
    (repository / "dvc.lock").write_bytes((HEAD + ENTRY.format(name="text")).encode())
    assert dvc_lock.fault(repository) == ""
    dvc_lock.keep(repository)
    assert b"text" in (repository / dvc_lock.COPY).read_bytes()


def test_without_dvc_nothing_is_written(tmp_path):
    dvc_lock.keep(tmp_path)
    (tmp_path / "dvc.lock").write_bytes(WHOLE)
    dvc_lock.keep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["dvc.lock"]
    assert dvc_lock.fault(tmp_path) == ""
