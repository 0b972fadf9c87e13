"""Your own table: every row accounted for with the right reason, pictures from safe places only."""

import csv
import io
import json
import random
import tempfile
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.data import fetch
from sightline.data.intake import columns, table_files
from sightline.data.intake.pictures import PictureFolder
from sightline.data.intake.splits import hash_share, split_of
from sightline.data.shards import Items
from sightline.data.sources import table as source
from sightline_lab.faults.fault_server import fault_server
from tests.support.sources import NO_COLUMNS, balanced, jpeg, params, read

HEADER = "title,description,image_url,id\n"
LOOPBACK = ("127.0.0.1/32",)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.001)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "home"))


def build(folder, table, out="out", allow=(), **changes):
    folder.mkdir(exist_ok=True)
    (folder / "items.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    chosen = params("table", path=str(folder / "items.csv"), pictures=str(folder), **changes)
    config = source.build(chosen, 7, folder / out, allow=allow)
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


@pytest.mark.parametrize("word", ["NULL", "null", "None", "N/A", "n/a", "NA", "<NA>", "#N/A", "nan", "NaN"])
def test_words_for_a_missing_value_are_none_but_in_an_answer(tmp_path, word):
    table = HEADER + f"Red cup,{word},{word},1\n{word},A book.,,2\n{word},{word},,3\nNo id,Words.,,{word}\n"
    _, items, rejected = build(tmp_path, table)
    assert items["1"]["captions"] == ["Red cup"] and items["1"]["image"] is None
    assert items["2"]["captions"] == ["A book."] and "title" not in items["2"]
    assert [it["reason"] for it in rejected] == ["empty_text", "empty_id"]
    if word.lower() != "nan":
        asked = f"id,question,answer\n1,What is on the table?,{word}\n"
        _, items, _ = build(tmp_path / "asked", asked)
        assert items["1"]["questions"][0]["answers"] == [word]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_bom_line_ends_and_column_order(tmp_path, bom, ending):
    table = bom + ending.join([" ID ,Extra,Image_URL,description,TITLE", "7,x,,words,name", ""])
    _, items, _ = build(tmp_path, table)
    assert items["7"]["captions"] == ["name", "words"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "expected a first line that names the columns, found nothing"),
        ("title,title,image_url,id\n", "found title twice"),
        ("sku,price\n", "no column with captions was recognised among its columns: sku, price; give its"),
    ],
)
def test_a_table_without_usable_columns_is_named(tmp_path, header, said):
    with pytest.raises(ValueError, match=rf"items\.csv.*{said}"):
        build(tmp_path, header + ("a,b\n" if header else ""))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("id,gender,productDisplayName,Image URL", ("id", "Image URL", ["productDisplayName"])),
        ("image,caption", ("", "image", ["caption"])),
        ("image_name| comment_number| comment", ("", "image_name", ["comment"])),
        ("SKU;Photo;Title;Description;Price", ("SKU", "Photo", ["Title", "Description"])),
        ("filename\tcaption_1\tcaption_2\tlabel", ("", "filename", ["caption_1", "caption_2"])),
        ("file,label", ("", "file", ["label"])),
        ("text,img_path,uuid", ("uuid", "img_path", ["text"])),
    ],
)
def test_usual_names_are_recognised(tmp_path, header, found):
    (tmp_path / "t.csv").write_text(header + "\n")
    told = columns.guess(table_files.open_table(tmp_path / "t.csv").columns)
    assert (told.id, told.image, list(told.captions)) == found


def test_given_columns_win_and_a_wrong_one_names_those_that_are_there(tmp_path, capsys):
    given = NO_COLUMNS | {"image": "foto", "captions": ["Text", "titel"]}
    config, items, _ = build(tmp_path, "nr,titel,text,Foto\n7,Rad,Ein Rad.,\n", columns=given)
    assert [item["captions"] for item in items.values()] == [["Ein Rad.", "Rad"]]
    assert "image = Foto; captions = text, titel" in capsys.readouterr().err
    for role, name in (("image", "bild"), ("captions", ["bild"]), ("split", "teil")):
        with pytest.raises(ValueError, match=rf"data.columns.{role}: got '.*one of the columns.*nr, titel"):
            build(tmp_path, "nr,titel,text,Foto\n", out=role, columns=given | {role: name})
    with pytest.raises(ValueError, match="question and data.columns.answer go together"):
        build(tmp_path, "nr,titel,text,Foto\n", out="q", columns=given | {"question": "nr"})


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_encodings_and_delimiters_are_told(tmp_path, encoding, delimiter, capsys):
    rows = [["Fahrräder", "Größe; klein, oder groß", f"Nº {n} – «täglich» für {n} €"] for n in range(20)]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([["title", "description", "text"], *rows])
    _, items, rejected = build(tmp_path, out.getvalue().encode(encoding))
    assert rejected == [] and sorted(item["captions"] for item in items.values()) == sorted(rows)
    said = capsys.readouterr().err
    assert f"({encoding}" in said and ("tabs" if delimiter == "\t" else repr(delimiter)) in said


def test_rows_of_one_picture_are_one_item(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(ord(name)))
    table = "image,caption\na.jpg,A dog.\nb.jpg,A cat.\na.jpg,A brown dog.\na.jpg,A dog.\n"
    config, items, _ = build(tmp_path, table)
    assert {id: item["captions"] for id, item in items.items()} == {
        "a.jpg": ["A dog.", "A brown dog."], "b.jpg": ["A cat."]
    }  # fmt: skip
    assert items["a.jpg"]["from"] == "a.jpg" and config["rows"]["accepted"] == 4


def test_rows_of_one_id_must_agree_in_picture_and_split(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(ord(name)))
    table = "id,image,caption,split\n1,a.jpg,A dog.,train\n1,b.jpg,A cat.,train\n1,a.jpg,Dog.,train\n"
    _, items, rejected = build(tmp_path, table + "1,a.jpg,No.,test\n2,a.jpg,Again a dog.,train\n")
    assert items["1"]["captions"] == ["A dog.", "Dog."] and items["2"]["captions"] == ["Again a dog."]
    assert [record["reason"] for record in rejected] == ["duplicate_id", "two_splits"]


def test_questions_with_answers(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    rows = ["1,a.jpg,Is it red?,yes", "2,a.jpg,How many?,3", "3,a.jpg,Is it red?,no"]
    table = "\n".join(["question_id,image,question,answer", *rows])
    _, items, _ = build(tmp_path, table)
    assert items["a.jpg"]["captions"] == ["Is it red? yes", "How many? 3"]
    assert items["a.jpg"]["questions"] == [
        {"question": "Is it red?", "answers": ["yes", "no"]}, {"question": "How many?", "answers": ["3"]}
    ]  # fmt: skip


def test_own_splits_in_their_usual_spellings(tmp_path):
    names = ["train", "Validation", "dev", "valid", "TEST", "extra", "", "no name!"]
    table = "id,text,split\n" + "".join(f"{n},words,{name}\n" for n, name in enumerate(names))
    _, items, rejected = build(tmp_path, table)
    found = [items[str(n)]["split"] for n in range(7)]
    assert found == ["train", "val", "val", "val", "test", "extra", "train"]
    assert [record["reason"] for record in rejected] == ["bad_split"]


def test_a_split_that_is_missing_is_drawn_from_train(tmp_path, capsys):
    table = "id,text,split\n" + "".join(f"{n},words,{'test' if n < 20 else 'train'}\n" for n in range(200))
    _, items, _ = build(tmp_path, table)
    assert {items[str(n)]["split"] for n in range(20)} == {"test"}
    drawn = {id for id, item in items.items() if item["split"] == "val"}
    assert drawn == {str(n) for n in range(20, 200) if hash_share(str(n)) < 0.2}
    assert f"the data has no split val: {len(drawn)} items of train" in capsys.readouterr().err


@pytest.mark.parametrize("count", [3, 5, 30])
def test_a_small_table_has_a_picture_in_every_split(tmp_path, count):
    for n in range(count):
        (tmp_path / f"{n}.jpg").write_bytes(jpeg(n))
    table = HEADER + "".join(f"t,d,{n}.jpg,{count}-{n}\n" for n in range(count))
    config, _, _ = build(tmp_path, table, val_share=0.01)
    assert config["items"]["val"] >= 1 and config["items"]["test"] >= 1 and config["items"]["train"] >= 1


def test_local_pictures_need_their_folder(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "items.csv").write_text("image,caption\na.jpg,A dog.\n")
    with pytest.raises(ValueError, match=rf"line 2: the picture a.jpg.*-S data.pictures={tmp_path}"):
        source.build(params("table", path=str(tmp_path / "items.csv")), 7, tmp_path / "out")
    _, items, _ = build(tmp_path, f"image,caption\n{tmp_path / 'a.jpg'},A dog.\n", out="absolute")
    assert items["a.jpg"]["from"] == "a.jpg"


@pytest.mark.parametrize("form", ["parquet", "arrow", "jsonl"])
def test_lists_of_captions_and_pictures_in_the_table(tmp_path, form):
    rows = [
        {"image": {"bytes": jpeg(n), "path": None}, "caption": [f"One {n}.", f"Two {n}."]} for n in range(150)
    ]
    path = tmp_path / f"items.{form}"
    if form == "jsonl":
        for n, row in enumerate(rows):
            (tmp_path / f"{n}.jpg").write_bytes(row["image"]["bytes"])
            row["image"] = f"{n}.jpg"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "parquet":
        pq.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=40)
    else:
        with (
            pyarrow.OSFile(str(path), "wb") as file,
            pyarrow.ipc.new_stream(file, pyarrow.Table.from_pylist(rows).schema) as out,
        ):
            out.write_table(pyarrow.Table.from_pylist(rows), max_chunksize=40)
    chosen = params("table", path=str(path), pictures=str(tmp_path))
    config = source.build(chosen, 7, tmp_path / "out")
    items = Items(tmp_path / "out")
    assert config["pictures"]["kept"] == 150
    for n in range(150):
        assert items[n]["captions"] == [f"One {n}.", f"Two {n}."] and items.image_bytes(items[n]) == jpeg(n)


def test_no_file_and_a_quote_left_open(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="nowhere.csv is not a file"):
        source.build(params("table", path=str(tmp_path / "nowhere.csv")), 7, tmp_path / "out")
    monkeypatch.setattr(table_files, "MAX_FIELD", 5000)
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
    "duplicate_id": [b"a,b,x.jpg,first", b"a,b,y.jpg, first "],
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
    truth, rows = {}, [b"a,b,,first", *(f"Grüße,b,,ok{n}".encode() for n in range(400))]
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
        "in": 801, "accepted": 801 - len(rejected), "rejected": len(rejected), "unused": 0
    }  # fmt: skip
    assert all(id == "first" or id.startswith(("good", "ok")) for id in items)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_split_depends_on_the_id_alone(data):
    ids = [f"id{n}" for n in range(40)]
    with tempfile.TemporaryDirectory() as folder:
        order = data.draw(st.permutations(ids))[: data.draw(st.integers(1, 40))]
        table = HEADER + "".join(f"t,d,,{id}\n" for id in order)
        _, items, _ = build(Path(folder), table)
        assert {id: item["split"] for id, item in items.items()} == {id: split_of(id, 0.2) for id in order}


def test_the_shares_of_the_splits():
    splits = [split_of(f"item {n}", 0.1) for n in range(10_000)]
    # A fair hash gives 1000 +- 30 (one sigma) of 10,000; 150 is five sigma.
    assert abs(splits.count("val") - 1000) < 150 and abs(splits.count("test") - 1000) < 150


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_rows_or_a_clear_error(data):
    with tempfile.TemporaryDirectory() as folder:
        try:
            config, items, _ = build(Path(folder), HEADER.encode() + data)
        except ValueError as error:
            assert "items.csv" in str(error)
        else:
            assert config["rows"]["accepted"] >= len(items)


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


def test_a_path_may_be_seen_from_the_table_or_from_the_folder_of_the_pictures(tmp_path):
    """`data.pictures` is the folder pics beside the table; pics/pics/c.jpg is meant by its own path first."""
    (tmp_path / "pics" / "pics").mkdir(parents=True)
    for name, number in (("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3), ("pics/c.jpg", 4)):
        (tmp_path / "pics" / name).write_bytes(jpeg(number))
    (tmp_path / "other.jpg").write_bytes(jpeg(5))
    table = tmp_path / "items.csv"
    rows = ("A,a,pics/a.jpg,1", "B,b,b.jpg,2", "C,c,pics/c.jpg,3", "D,d,other.jpg,4")
    table.write_text(HEADER + "\n".join(rows) + "\n")
    chosen = params("table", path=str(table), pictures=str(tmp_path / "pics"))
    config = source.build(chosen, 7, tmp_path / "out")
    items, rejected = read(tmp_path / "out")
    assert {id: items[id].get("from") for id in "123"} == {"1": "a.jpg", "2": "b.jpg", "3": "pics/c.jpg"}
    assert Items(tmp_path / "out").image_bytes(items["3"]) == jpeg(4)
    assert config["pictures"] == {"none": 0, "kept": 3, "refused": 1} and rejected[0]["id"] == "4"


def test_local_pictures_that_cannot_be_had_keep_the_text(tmp_path):
    (tmp_path / "outside.jpg").write_bytes(jpeg())
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cut.jpg").write_bytes(jpeg()[:200])
    (folder / "svg.jpg").write_text("<svg/>")
    (folder / "none.jpg").write_bytes(b"")
    (folder / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    truth = {
        "x" * 300 + ".jpg": "image_missing", "loop.jpg": "image_missing", "y/" * 3000: "image_missing",
        "missing.jpg": "image_missing", "cut.jpg": "image_truncated", "svg.jpg": "image_format",
        "none.jpg": "image_empty", "../outside.jpg": "image_outside", "/etc/passwd": "image_outside",
        "file:///etc/passwd": "image_outside", "link.jpg": "image_link", ".": "image_missing",
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


def test_a_read_that_fails_as_nobody_foresaw_refuses_its_row_alone(tmp_path, monkeypatch):
    """A disk's error, a library's own exception: the other rows have their pictures."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.jpg").write_bytes(jpeg())
    real = PictureFolder.read

    def read_or_fail(self, location):
        if location == "b.jpg":
            raise OSError(5, "Input/output error")
        return real(self, location)

    monkeypatch.setattr(PictureFolder, "read", read_or_fail)
    config, _, rejected = build(folder, HEADER + "".join(f"t,text,{name}.jpg,{name}\n" for name in "abc"))
    assert [(record["id"], record["reason"]) for record in rejected] == [("b", "image_unreadable")]
    assert "Input/output error" in rejected[0]["detail"]
    assert config["pictures"] == {"none": 0, "kept": 2, "refused": 1}


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


def test_an_open_quote_is_an_error_and_no_caption(tmp_path):
    rows = [f"{n},a.jpg,A cup number {n}." for n in range(20)]
    rows[4] = '4,a.jpg,"A cup number 4.'
    with pytest.raises(ValueError, match=r"items\.csv, line 6: a quote is opened there and takes 15 more"):
        build(tmp_path, "\n".join(["id,image,caption", *rows, ""]))


def test_a_text_of_many_lines_is_one_caption(tmp_path):
    _, items, _ = build(tmp_path, 'id,image,caption\n1,,"A list:\nred, round\nblue\ngreen\nwhite"\n')
    assert items["1"]["captions"] == ["A list: red, round blue green white"]


def test_a_misspelled_split_is_refused_and_another_is_said(tmp_path, capsys):
    table = "id,text,split\n1,words,trian\n2,words,holdout\n3,words,train\n"
    _, items, rejected = build(tmp_path, table)
    assert set(items) == {"2", "3"}
    assert rejected[0]["reason"] == "bad_split" and rejected[0]["detail"].endswith("did you mean 'train'?")
    assert "1 items are of the split holdout" in capsys.readouterr().err


def test_entities_of_html_are_characters(tmp_path):
    _, items, _ = build(tmp_path, "id,text\n1,Women&#x27;s shirt &amp; R&B\n")
    assert items["1"]["captions"] == ["Women's shirt & R&B"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x1f\x8b\x08\x00rest", "is compressed; expected CSV"),
        (b"%PDF-1.4\n", "is a PDF"),
        (b'[{"image": "a.jpg"}]', "is a JSON array; expected JSON lines"),
        (bytes(range(1, 32)) * 8, "is no text"),
    ],
)
def test_what_is_no_table_is_said_to_be_none(tmp_path, data, said):
    with pytest.raises(ValueError, match=said):
        build(tmp_path, data)
