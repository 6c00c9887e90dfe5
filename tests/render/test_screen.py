"""Blocks as lines of a screen, as Markdown, and rows as CSV."""

from __future__ import annotations

import pytest

from budget.render.csv import to_csv
from budget.render.lines import Look, columns, joined, to_text, wrap
from budget.render.markdown import to_markdown
from budget.render.screen import GAP, Command, Drawing, Table, Text, Title, to_lines

SIZES = Table(["device", "weights", "left"], [["CUDA0", "4.30", ("-1.82", "bad")], ["CPU", "12.28", "9.00"]])
WHY = Table(
    ["node", "why"],
    [["n1", "short by a lot of memory on every one of its cards"], ["n2", ""]],
    left=(0, 1),
    wrap=1,
)


def shown(*blocks, width=80):
    return to_text(to_lines(blocks, Look(width=width))).splitlines()


@pytest.mark.parametrize(
    ("table", "width", "expected"),
    [
        pytest.param(
            SIZES, 80, ["device  weights   left", "CUDA0      4.30  -1.82", "CPU       12.28   9.00"], id="whole"
        ),
        pytest.param(
            SIZES, 16,
            ["device  weights", "CUDA0      4.30", "CPU       12.28",
             "device   left", "CUDA0   -1.82", "CPU      9.00"],
            id="the-last-column-moves-below",
        ),
        pytest.param(
            WHY, 40,
            ["node  why", "n1    short by a lot of memory on every", "      one of its cards", "n2"],
            id="sentences-wrap",
        ),
        pytest.param(
            Table(["a", "b"], [["1", "2"]], narrow=Table(["a"], [["3"]])), 3, ["a", "3"], id="the-narrow-one-instead"
        ),
        pytest.param(
            Table((), [["-ctk q8_0 -ctv q8_0", "half of the cache"]], left=(0, 1), wrap=1, indent=2), 36,
            ["  -ctk q8_0 -ctv q8_0", "               half of the cache"],
            id="a-first-cell-too-long-for-its-column-stands-alone",
        ),
        pytest.param(Table(["a"], []), 80, ["a"], id="no-rows"),
        pytest.param(Table((), []), 80, [], id="nothing"),
        pytest.param(
            Table(["名", "n"], [["模型", "1"], ["m", "22"]]), 80, ["名     n", "模型   1", "m     22"],
            id="wide-letters",
        ),
    ],
)  # fmt: skip
def test_a_table_in_so_many_columns(table, width, expected):
    assert shown(table, width=width) == expected


def test_styles_are_of_cells_and_do_not_change_the_text():
    (_, row, _) = to_lines([SIZES], Look())
    assert ("-1.82", "bad") in row
    assert to_text([row]) == "CUDA0      4.30  -1.82"


def test_a_line_to_paste_is_never_broken_and_a_sentence_is():
    line = "llama-server -m model.gguf -c 8192"
    assert shown(Command(line), width=20) == [line]
    assert shown(Text(line), width=20) == ["llama-server -m", "  model.gguf -c 8192"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", 3), ("模型", 4), ("é", 1), ("e\u0301", 1), ("█▓▒ → ★", 7), ("", 0)],
    ids=ascii,
)
def test_columns_of_a_text(text, expected):
    assert columns(text) == expected


def test_a_word_longer_than_the_line_has_one_of_its_own():
    assert wrap("a /a/very/long/path b", 8) == ["a", "  /a/very/long/path", "  b"]


def test_neighbours_of_one_style_are_one_span():
    assert joined([("a", "x"), ("b", "x"), ("c", "")]) == [("ab", "x"), ("c", "")]


def test_markdown_has_everything_but_drawings():
    blocks = [
        Title("FITS", "good", "a`b.gguf"), Text("one sentence"), GAP, Drawing(lambda look: [(("x", ""),)]), SIZES, GAP,
        Text("first | of two"), Text("second"), Command("llama-server -c 8192"),
        Table((), [("-ot 'a\\.b|c=CPU'", "2 GiB | less")], indent=2),
    ]  # fmt: skip
    assert to_markdown(blocks).split("\n\n") == [
        "**FITS**: ``a`b.gguf``",
        "one sentence",
        "| device | weights | left |\n| :--- | ---: | ---: |\n| CUDA0 | 4.30 | -1.82 |\n| CPU | 12.28 | 9.00 |",
        "- first \\| of two\n- second",
        "```sh\nllama-server -c 8192\n```",
        "- `-ot 'a\\.b|c=CPU'`: 2 GiB \\| less",
    ]


def test_csv_names_what_is_nested_and_leaves_unknown_empty():
    rows = [
        {"name": "a,b", "fits": True, "size_bytes": None, "result": {"n_ctx": 4, "reasons": ["x", "y"]}},
        {"name": "c", "fits": False, "size_bytes": 7, "result": None},
    ]
    assert to_csv(rows) == (
        'name,fits,size_bytes,result.n_ctx,result.reasons\n"a,b",true,,4,x y\nc,false,7,,\n'
    )
    assert to_csv([]) == ""


@pytest.mark.parametrize(
    "block", [Text("a\x1b[31mb"), Title("FITS", "good", "a\x1b[31mb"), Command("a\x1b[31mb")]
)
def test_nothing_that_a_terminal_acts_on_is_shown(block):
    assert "a\ufffd[31mb" in shown(block)[0]
    assert "a\ufffd[31mb" in to_markdown([block])


def test_a_name_with_a_line_end_stays_in_its_row():
    assert shown(Table(["name", "n"], [["a\nb", "1"], ["abcd\u202e", "2"]])) == [
        "name   n", "a\ufffdb    1", "abcd\ufffd  2",
    ]  # fmt: skip


def test_what_a_row_says_of_the_one_above_stays_indented_where_it_is_broken():
    rows = [("FAIL", "a case"), ("", "  a reason that takes more than one line")]
    assert shown(Table((), rows, left=(0, 1), wrap=1), width=32) == [
        "FAIL  a case",
        "        a reason that takes more",
        "        than one line",
    ]
