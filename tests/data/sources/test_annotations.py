"""Annotation parsers: untidy files are read, wrong ones are named, and no text makes them fall over."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import miniatures
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fer_ssl.data.decode import Decoder
from fer_ssl.data.sources import affectnet, affwild2, ckplus, dfew, expw, rafdb
from fer_ssl.data.sources.fer2013 import CSV_NAMES, FER2013, read_votes
from fer_ssl.errors import DataError

AFFECTNET_HEADER = ",".join(affectnet.COLUMNS)
PARSERS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "rafdb": (rafdb.read_list, ["train_00001.jpg 5", "test 2_1.jpg 7", "test_00001.jpg 7"][::2]),
    "expw": (expw.read_list, ["happy man_7.jpg 0 10 20 40 50 99.5 3", "b.jpg 1 10 20 40 50 9 6"]),
    "affectnet": (affectnet.read_list, [AFFECTNET_HEADER, '"1/a b.jpg",1,2,3,4,0', "2/c.jpg,1,2,3,4,10"]),
    "affwild2": (affwild2.read_labels, [miniatures.ABAW_HEADER, "0", "-1", "7"]),
    "dfew": (dfew.read_split, ["video_name,label", "1,7", "16372,1"]),
    "ckplus": (ckplus.read_emotion, ["   3.0000000e+00"]),
}


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_marks_line_ends_and_spaces_change_nothing(tmp_path: Path, name: str, encoding: str, newline: str) -> None:
    parse, lines = PARSERS[name]
    tidy = parse(miniatures.write(tmp_path / "tidy", lines))
    untidy = [f" {line} \t" for line in lines]
    assert parse(miniatures.write(tmp_path / "untidy", [*untidy, "", " "], newline, encoding)) == tidy


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("rafdb", ["train_1.jpg 0"], r"line 1 of .* has label '0' instead of a number in 1\.\.7"),
        ("rafdb", ["train_1.jpg 8"], "label '8'"),
        ("rafdb", ["train_1.jpg 1", "", "test_1.jpg 1"], r"line 2 of .* is not `train_"),
        ("rafdb", ["train_1.jpg"], "line 1"),
        ("rafdb", ["train_/../../x.jpg 1"], "no path below the folder"),
        ("expw", ["a.jpg 0 1 2 3 4 5 7"], "label '7'"),
        ("expw", ["a.jpg 0 1 2 3 4 5"], "is not `image_name face_id top left"),
        ("expw", ["a.jpg 0 1 2.5 3 4 5 6"], "left '2.5'"),
        ("expw", ["/a.jpg 0 1 2 3 4 5 6"], "no path below"),
        ("affectnet", ["1/a.jpg,1,2,3,4,0"], "has no column 'subDirectory_filePath' .* with its header"),
        ("affectnet", [AFFECTNET_HEADER, "a.jpg,1,2,3,4,11"], "expression '11'"),
        ("affectnet", [AFFECTNET_HEADER, "a.jpg,1,2,3,4"], "line 2 of .* has 5 fields instead of 6"),
        ("affectnet", [AFFECTNET_HEADER, '"a.jpg,1,2,3,4,1'], "line 2 of .* is not CSV"),
        ("affwild2", ["0", "1"], "is not the header Neutral,Anger"),
        ("affwild2", ["Anger,Neutral,Disgust,Fear,Happiness,Sadness,Surprise,Other", "1"], "is not the header"),
        ("affwild2", [miniatures.ABAW_HEADER, "8"], r"line 2 .* label '8' instead of a number in -1\.\.7"),
        ("affwild2", [miniatures.ABAW_HEADER, "1", "", "2"], "line 3 .* label ''"),
        ("dfew", ["video_name,label", "1,0"], "label '0'"),
        ("dfew", ["video_name,label", "1,2", "00001,2"], "'00001' .* listed twice"),
        ("dfew", ["1,2"], "no column 'video_name'"),
        ("ckplus", ["8.0"], "instead of an emotion"),
        ("ckplus", ["2.5"], "instead of an emotion"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, name: str, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PARSERS[name][0](miniatures.write(tmp_path / "list", lines))


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf\r\n", b"\xff\xfe\x00train"])
def test_empty_and_undecodable_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(DataError, match=r"list is (empty|not text)"):
        PARSERS[name][0](tmp_path / "list")
    with pytest.raises(DataError, match=r"cannot be read .*data\.root="):
        PARSERS[name][0](tmp_path / "missing")


def test_a_face_listed_twice_is_named(tmp_path: Path) -> None:
    path = miniatures.rafdb(tmp_path) / "EmoLabel/list_patition_label.txt"
    path.write_text(path.read_text() + "train_00002.jpg 4\n")
    with pytest.raises(DataError, match=r"'train_00002_aligned.jpg' .* listed twice"):
        rafdb.RAFDB(tmp_path).load(Decoder(12, 3))


pieces = st.sampled_from(
    [
        *"0123456789-.,; \t\n\r\"'\\/",
        "\x00",
        "\ufeff",
        "\u2028",
        "\x85",
        "é",
        "nan",
        "inf",
        "1e999",
        ".jpg",
        "..",
        "train_",
    ]
)
texts = st.one_of(st.text(), st.lists(pieces, max_size=40).map("".join))


@st.composite
def edited(draw: st.DrawFn, lines: list[str]) -> str:
    """Return the text of valid lines with a stretch replaced by anything."""
    text = "\n".join(lines)
    start = draw(st.integers(0, len(text)))
    return text[:start] + draw(texts) + text[start + draw(st.integers(0, 6)) :]


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_text_is_parsed_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    parse, lines = PARSERS[name]
    path = tmp_path_factory.getbasetemp() / f"fuzzed_{name}"
    path.write_bytes(data.draw(st.one_of(texts, edited(lines))).encode("utf-8", "surrogatepass"))
    refused_or_parsed(lambda: parse(path))


@settings(max_examples=100, deadline=None)
@given(content=st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: b"\x93NUMPY\x01\x00" + tail)))
@example(content=b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }\n" + b"\0" * 16)
def test_any_bytes_of_an_expression_are_parsed_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed_exp.npy"
    path.write_bytes(content)
    refused_or_parsed(lambda: affectnet.read_expression(path))


@settings(max_examples=100, deadline=None)
@given(text=edited(["emotion,pixels,Usage", f"3,{' '.join(['9'] * 2304)},Training", "0,9,PublicTest"]))
def test_any_fer2013_csv_is_parsed_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / CSV_NAMES[0]
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    refused_or_parsed(lambda: FER2013(path).load(Decoder(48, 1)))


@settings(max_examples=100, deadline=None)
@given(text=edited(["Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF",
                    "Training,fer0.png,10,0,0,0,0,0,0,0,0,0", "Training,fer1.png,0,0,3,0,0,7,0,0,0,0"]))  # fmt: skip
def test_any_ferplus_votes_are_parsed_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed_votes.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    refused_or_parsed(lambda: read_votes(path, np.arange(2), "Training"))


@given(left=st.floats(), top=st.floats())
@settings(max_examples=50, deadline=None)
def test_any_box_is_parsed_or_refused(tmp_path_factory: pytest.TempPathFactory, left: float, top: float) -> None:
    path = miniatures.write(tmp_path_factory.getbasetemp() / "x_boundingbox.txt", [f"{left} {top} 3 4"])
    refused_or_parsed(lambda: rafdb.read_box(path.parent, "x.jpg"))


def refused_or_parsed(parse: Callable[[], Any]) -> None:
    with suppress(DataError):
        parse()
