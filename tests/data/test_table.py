"""Your own table: every row accounted for with the right reason, pictures from safe places only."""

import csv
import io
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.data import fetch
from sightline.data.shards import Items
from sightline.data.sources import table as source
from tests.support.fault_server import fault_server
from tests.support.sources import balanced, jpeg, params, read

HEADER = "title,description,image_url,id\n"
LOOPBACK = ("127.0.0.1/32",)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.001)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "home"))


def build(folder, table, out="out", allow=(), **changes):
    folder.mkdir(exist_ok=True)
    (folder / "items.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    config = source.build(params("table", path=str(folder / "items.csv"), **changes), 7, folder / out, allow)
    assert balanced(config)
    return config, *read(folder / out)


def test_text_pictures_and_captions(tmp_path):
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a b.jpg").write_bytes(jpeg(1))
    uri = (tmp_path / "pics" / "a b.jpg").as_uri()
    table = (
        HEADER + f'Red cup,A cup.,pics/a b.jpg,1\nBook,,,2\n,"Two\nlines, ""quoted""",{uri},3\nSame,Same,,4\n'
    )
    config, items, rejected = build(tmp_path, table)
    assert rejected == [] and config["pictures"] == {"none": 2, "kept": 2, "refused": 0}
    assert items["1"]["captions"] == ["Red cup", "A cup."] and items["1"]["title"] == "Red cup"
    assert items["2"]["image"] is None and items["2"]["captions"] == ["Book"]
    assert items["3"]["captions"] == ['Two lines, "quoted"'] and items["4"]["captions"] == ["Same"]
    assert Items(tmp_path / "out").image_bytes(items["1"]) == jpeg(1)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_bom_line_ends_and_column_order(tmp_path, bom, ending):
    table = bom + ending.join([" ID ,Extra,Image_URL,description,TITLE", "7,x,,words,name", ""])
    _, items, _ = build(tmp_path, table)
    assert items["7"]["captions"] == ["name", "words"]


@pytest.mark.parametrize(
    "header",
    ["", "name,text,url,key\n", "title,description,id\n", "title,title,description,image_url,id\n", "\n"],
)
def test_wrong_columns_are_listed(tmp_path, header):
    with pytest.raises(
        ValueError, match="expected the columns title, description, image_url, id once each"
    ) as caught:
        build(tmp_path, header + "a,b,c,d\n")
    for name in header.strip().split(","):
        assert name in str(caught.value)


def test_no_file_and_a_quote_left_open(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="nowhere.csv is not a file"):
        source.build(params("table", path=str(tmp_path / "nowhere.csv")), 7, tmp_path / "out")
    monkeypatch.setattr(source, "MAX_FIELD", 5000)
    with pytest.raises(ValueError, match="is a quote left open"):
        build(tmp_path, HEADER + 'a,"b,c,1\n' + "x,y,z,2\n" * 1000)


DEFECTS = {  # reason -> rows of bytes that must be rejected for it
    "bad_utf8": [b"caf\xe9,x,,{id}", b"x,\xff\xfe,,{id}", b"x,x,\x80,{id}"],
    "nul": [b"a\0b,x,,{id}", b"x,x,\0,{id}"],
    "wrong_columns": [b"only,three,{id}", b"one,two,,{id},five", b"alone"],
    "empty_id": [b"a,b,,", b"a,b,,  ", b"a,b,,NaN", b"a,b,,nan", b'a,b,,"\t"'],
    "long_id": [b"a,b,," + b"i" * 501],
    "empty_text": [b",,,{id}", b" ,\t,,{id}", b"nan,NaN,,{id}", b"\x01,,x.jpg,{id}"],
    "long_text": [b"t" * 10_001 + b",x,,{id}", b"x," + b"word " * 200_000 + b",,{id}"],
    "duplicate_id": [b"a,b,,first", b"a,b,, first "],
}
GOOD = [
    b"a,b,,{id}",
    "Gr\u00fc\u00dfe,\u4f60\u597d \U0001f600,,{id}".encode(), b"=cmd|' /C calc'!A0,x,,{id}",
    b"nan,text,,{id}", b'"multi\nline",x,,{id}', b"x,,,{id}", b"  spaced  ,x,,{id}",
    b"<script>alert(1)</script>,x,,{id}",
    b"t" * 10_000 + b",x,,{id}",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_rows_in_equal_rows_out_and_each_reason_is_right(tmp_path, seed):
    chance = random.Random(seed)
    truth, rows = {}, [b"a,b,,first"]
    for number in range(400):
        if chance.random() < 0.5:
            rows.append(chance.choice(GOOD).replace(b"{id}", b"good%d" % number))
        else:
            reason = chance.choice(list(DEFECTS))
            rows.append(chance.choice(DEFECTS[reason]).replace(b"{id}", b"bad%d" % number))
            truth[reason] = truth.get(reason, 0) + 1
    config, items, rejected = build(tmp_path, HEADER.encode() + b"\n".join(rows) + b"\n")
    assert config["rejected"] == truth and len(rejected) == sum(truth.values())
    assert config["rows"] == {
        "in": 401, "accepted": 401 - len(rejected), "rejected": len(rejected), "unused": 0
    }  # fmt: skip
    assert all(id == "first" or id.startswith("good") for id in items)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_split_depends_on_the_id_alone(data):
    ids = [f"id{n}" for n in range(40)]
    with tempfile.TemporaryDirectory() as folder:
        order = data.draw(st.permutations(ids))[: data.draw(st.integers(1, 40))]
        table = HEADER + "".join(f"t,d,,{id}\n" for id in order)
        _, items, _ = build(Path(folder), table)
        assert {id: item["split"] for id, item in items.items()} == {
            id: source.split_of(id, 0.2) for id in order
        }


def test_the_shares_of_the_splits():
    splits = [source.split_of(f"item {n}", 0.1) for n in range(10_000)]
    # A fair hash gives 1000 +- 30 (one sigma) of 10,000; 150 is five sigma.
    assert abs(splits.count("val") - 1000) < 150 and abs(splits.count("test") - 1000) < 150


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_rows_or_a_clear_error(data):
    with tempfile.TemporaryDirectory() as folder:
        config, items, _ = build(Path(folder), HEADER.encode() + data)
        assert config["rows"]["accepted"] == len(items)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1, unique=True))
def test_any_unicode_text_survives(texts):
    with tempfile.TemporaryDirectory() as folder:
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerows([["title", "description", "image_url", "id"]])
        writer.writerows([text, "x", "", f"id{n}"] for n, text in enumerate(texts))
        _, items, _ = build(Path(folder), table.getvalue())
        assert len(items) == len(texts)


def test_max_items_counts_the_rest(tmp_path):
    config, items, _ = build(tmp_path, HEADER + "".join(f"t,d,,{n}\n" for n in range(100)), max_items=3)
    assert config["items"] == {"train": 3, "val": 3, "test": 3} and config["rows"]["unused"] == 91


def test_local_pictures_that_cannot_be_had_keep_the_text(tmp_path):
    (tmp_path / "outside.jpg").write_bytes(jpeg())
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cut.jpg").write_bytes(jpeg()[:200])
    (folder / "svg.jpg").write_text("<svg/>")
    (folder / "none.jpg").write_bytes(b"")
    (folder / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    truth = {
        "missing.jpg": "image_missing", "cut.jpg": "image_truncated", "svg.jpg": "image_format",
        "none.jpg": "image_empty", "../outside.jpg": "image_outside", "/etc/passwd": "image_outside",
        "file:///etc/passwd": "image_outside", "link.jpg": "image_outside", ".": "image_missing",
        "ftp://example.com/a.jpg": "image_scheme", "data:image/png;base64,xx": "image_scheme",
        "C:\\pictures\\a.jpg": "image_scheme", "http://": "image_url", "http://[::1/x": "image_url",
        "http://127.0.0.1/a.jpg": "image_address", "http://169.254.169.254/x": "image_address",
        "file://..%2Foutside.jpg": "image_missing",
    }  # fmt: skip
    table = HEADER + "".join(f'title,text,"{url}",{n}\n' for n, url in enumerate(truth))
    config, items, rejected = build(folder, table)
    assert [record["reason"] for record in rejected] == list(truth.values())
    assert all(item["image"] is None and item["captions"] == ["title", "text"] for item in items.values())
    assert config["pictures"] == {"none": 0, "kept": 0, "refused": len(truth)}
    assert config["rows"]["accepted"] == len(truth)


def test_web_pictures_are_fetched_once_and_their_faults_recorded(tmp_path):
    with fault_server() as server:
        server.files = {"/good.jpg": jpeg(1), "/html.jpg": b"<html>", "/cut.jpg": jpeg(2)[:150]}
        names = ["good", "html", "cut", "gone"]
        table = HEADER + "".join(f"t,d,{server.url}/{name}.jpg,{name}\n" for name in names)
        table += "t,d,http://127.0.0.2/a.jpg,private\n"
        config, items, rejected = build(tmp_path, table, allow=LOOPBACK)
        assert {record["id"]: record["reason"] for record in rejected} == {
            "html": "image_format", "cut": "image_truncated", "gone": "image_status",
            "private": "image_address",
        }  # fmt: skip
        assert Items(tmp_path / "out").image_bytes(items["good"]) == jpeg(1)
        assert len(items) == 5 and len(server.requests) == 4
        build(tmp_path, table, out="again", allow=LOOPBACK)
        assert [path for path, _ in server.requests[4:]] == ["/gone.jpg"]
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_without_an_allowance_no_local_server_is_asked(tmp_path):
    with fault_server() as server:
        server.files = {"/a.jpg": jpeg(1)}
        _, items, rejected = build(tmp_path, HEADER + f"t,d,{server.url}/a.jpg,1\n")
        assert (
            server.requests == [] and rejected[0]["reason"] == "image_address" and items["1"]["image"] is None
        )
