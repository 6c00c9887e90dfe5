"""Local files and shards: what is read, and what is said when it cannot be."""

from __future__ import annotations

import os

import pytest

import ghost
from budget.errors import BadModelError, ExitCode, UsageError
from budget.gguf.header import parse_header
from budget.source import open_model
from budget.source.cache import HeaderCache
from budget.source.local import open_header
from budget.source.shards import shard_name
from source.specs import BIG, MODEL, SPEC, part


def write(path, content):
    path.write_bytes(content)
    return path


def test_a_local_file_is_read_with_its_size(tmp_path):
    path = write(tmp_path / "m.gguf", MODEL)
    header, source = open_model(str(path))
    assert header == parse_header(MODEL)
    assert (source.location, source.file_bytes, source.n_shards) == (str(path), len(MODEL), 1)


def test_a_file_address_is_a_path(tmp_path):
    path = write(tmp_path / "a b.gguf", MODEL)
    assert open_model(f"file://{tmp_path}/a%20b.gguf")[0] == open_model(str(path))[0]


def test_every_local_failure_has_its_message(tmp_path):
    write(tmp_path / "llama.gguf", MODEL)
    write(tmp_path / "empty.gguf", b"")
    write(tmp_path / "page.gguf", b"<html>")
    write(tmp_path / "cut.gguf", MODEL[:60])
    (tmp_path / "none").mkdir()
    table = [
        ("lama.gguf", "no such file", "llama.gguf?"),
        ("LLAMA.gguf", "no such file", "llama.gguf?"),
        ("lla", "no such file", "llama.gguf?"),
        ("nowhere/m.gguf", "no such file", "there is no folder"),
        ("empty.gguf", "the file is empty", "download"),
        ("", "this is a folder", "cut.gguf"),
        ("none", "this is a folder", "budget scan"),
        ("page.gguf", "an HTML page", "download"),
        ("cut.gguf", "ends inside its header", "download"),
    ]
    for name, message, hint in table:
        with pytest.raises(BadModelError, match=message) as e:
            open_model(str(tmp_path / name))
        assert hint in e.value.hint, name
        assert str(tmp_path) in e.value.message
        assert e.value.exit_code == ExitCode.BAD_MODEL


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(BadModelError, match="not a regular file"):
            open_model(str(path))


def test_a_name_with_a_null_byte_is_refused():
    with pytest.raises(BadModelError, match="no such file"):
        open_model("a\0b.gguf")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = write(tmp_path / "m.gguf", MODEL)
    path.chmod(0)
    with pytest.raises(BadModelError, match="permission denied"):
        open_model(str(path))


@pytest.mark.parametrize("spec", ["", "ftp2://x/m.gguf", "sample:no-such"])
def test_what_is_no_model_is_wrong_usage(spec):
    with pytest.raises(UsageError) as e:
        open_model(spec)
    assert e.value.hint


def test_a_sample_needs_no_file():
    header, source = open_model("sample:llama-3.1-8b")
    assert len(header.tensors) == 292
    assert source.file_bytes == 4_912_916_224


def test_an_unknown_sample_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"no sample 'llama-3\.1-8B'") as e:
        open_model("sample:llama-3.1-8B")
    assert "did you mean sample:llama-3.1-8b?" in e.value.hint
    assert "gpt-oss-20b" in e.value.hint


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a-00001-of-00003.gguf", ("a", 1, 3)),
        ("/x/y-Q4_K_M-00012-of-00100.gguf", ("/x/y-Q4_K_M", 12, 100)),
        ("a-00000-of-00003.gguf", None),
        ("a-00004-of-00003.gguf", None),
        ("a-0001-of-0003.gguf", None),
        ("a.gguf", None),
    ],
)
def test_shard_names(name, expected):
    shard = shard_name(name)
    assert (shard and (shard.prefix, shard.number, shard.count)) == expected


def test_the_first_shard_leads_to_all(tmp_path):
    specs = [part("a", "b"), part("c", **{"general.alignment": ["u32", 64]}), part("d")]
    paths = ghost.write_split(specs, tmp_path)
    header, source = open_model(str(paths[0]))
    assert [(t.name, t.shard, t.offset) for t in header.tensors] == [
        ("a", 0, 0), ("b", 0, 1024), ("c", 1, 0), ("d", 2, 0),
    ]  # fmt: skip
    assert header.shard_data_offsets == tuple(open_header(p).data_offset for p in paths)
    assert (source.n_shards, source.file_bytes) == (3, sum(p.stat().st_size for p in paths))
    assert "general.alignment" not in header.metadata


def test_a_split_of_one_is_a_single_file(tmp_path):
    (path,) = ghost.write_split([part("a")], tmp_path)
    assert open_model(str(path))[1].n_shards == 1


def test_a_later_shard_points_to_the_first(tmp_path):
    paths = ghost.write_split([part("a"), part("b")], tmp_path)
    with pytest.raises(BadModelError, match="this is shard 2 of 2") as e:
        open_model(str(paths[1]))
    assert str(paths[0]) in e.value.hint


def test_a_missing_shard_is_named(tmp_path):
    paths = ghost.write_split([part("a"), part("b"), part("c")], tmp_path)
    paths[1].unlink()
    with pytest.raises(BadModelError, match=r"model-00002-of-00003\.gguf: shard 2 of 3 is missing"):
        open_model(str(paths[0]))


def test_an_incomplete_shard_is_named(tmp_path):
    paths = ghost.write_split([part("a"), part("b")], tmp_path)
    os.truncate(paths[1], paths[1].stat().st_size - 100)
    with pytest.raises(BadModelError, match=r"model-00002-of-00002\.gguf: the file is incomplete"):
        open_model(str(paths[0]))


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        pytest.param(part("b"), "says nothing of a split", id="no-split-keys"),
        pytest.param(
            part("b", **{"split.no": ["u16", 0], "split.count": ["u16", 2]}), "says it is 1 of 2", id="no"
        ),
        pytest.param(
            part("b", **{"split.no": ["u16", 1], "split.count": ["u16", 5]}), "says it is 2 of 5", id="count"
        ),
        pytest.param(
            part("a", **{"split.no": ["u16", 1], "split.count": ["u16", 2]}), "'a' is also in", id="twice"
        ),
        pytest.param(
            part("b", "c", **{"split.no": ["u16", 1], "split.count": ["u16", 2]}),
            "hold 3 tensors, and it claims 2",
            id="tensor-count",
        ),
    ],
)
def test_a_foreign_shard_is_named(tmp_path, foreign, message):
    paths = ghost.write_split([part("a"), part("b")], tmp_path)
    ghost.write_ghost(foreign, paths[1])
    with pytest.raises(BadModelError, match=message) as e:
        open_model(str(paths[0]))
    assert str(paths[1] if "claims" not in message else paths[0]) in e.value.message


def test_a_first_shard_under_another_name_says_how_to_call_it(tmp_path):
    paths = ghost.write_split([part("a"), part("b")], tmp_path)
    other = paths[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(BadModelError, match="the first of 2 shards, but not named so") as e:
        open_model(str(other))
    assert "NAME-00001-of-00002.gguf" in e.value.hint


def aged(path):
    """`path`, written a while ago."""
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def test_a_long_header_is_parsed_once(tmp_path):
    path = aged(write(tmp_path / "m.gguf", BIG))
    cache = HeaderCache(tmp_path / "cache")
    first = open_header(path, cache)
    assert cache.info().n_entries == 1
    write(path, b"x" * len(BIG))
    with path.open("r+b") as file:
        os.utime(file.fileno(), (1_700_000_000, 1_700_000_000))
    assert open_header(path, cache) == first  # same size, time and inode: the file is not looked at


@pytest.mark.parametrize("change", ["time", "size", "inode"])
def test_a_changed_file_is_parsed_again(tmp_path, change):
    path = aged(write(tmp_path / "m.gguf", BIG))
    cache = HeaderCache(tmp_path / "cache")
    open_header(path, cache)
    if change == "time":
        write(path, b"x" * len(BIG))
    elif change == "size":
        aged(write(path, b"x" * (len(BIG) + 1)))
    else:
        aged(write(tmp_path / "new", b"x" * len(BIG))).replace(path)
    with pytest.raises(BadModelError, match="not a GGUF file"):
        open_header(path, cache)


def test_a_file_written_just_now_is_not_cached(tmp_path):
    cache = HeaderCache(tmp_path / "cache")
    open_header(write(tmp_path / "m.gguf", BIG), cache)
    assert cache.info().n_entries == 0


def test_short_headers_are_not_worth_an_entry(tmp_path):
    cache = HeaderCache(tmp_path / "cache")
    open_header(aged(ghost.write_ghost(SPEC, tmp_path / "m.gguf")), cache)
    assert cache.info().n_entries == 0
