"""Finding models and judging them in parallel."""

from __future__ import annotations

import os

import pytest

import ghost
from budget.errors import BadModelError, NetworkError, UsageError
from budget.source.discover import Found, discover, llama_cpp_folder
from budget.source.gguf_names import choose, group, kind_of, quant_of
from budget.source.open import open_model
from budget.source.scan import scan
from source.judges import judge, judge_badly
from source.on_disk import COMMIT, install, store
from source.specs import BIG, MODEL, SPEC, part


@pytest.mark.parametrize(
    ("path", "quant", "kind"),
    [
        ("Llama-3.1-8B-Instruct-Q4_K_M.gguf", "Q4_K_M", "model"),
        ("llama-3.1-8b.Q5_K_S.gguf", "Q5_K_S", "model"),
        ("BF16/gemma-BF16-00001-of-00002.gguf", "BF16", "model"),
        ("Qwen3-UD-Q2_K_XL.gguf", "UD-Q2_K_XL", "model"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4", "model"),
        ("model-IQ3_XXS.gguf", "IQ3_XXS", "model"),
        ("ggml-model-i2_s.gguf", "ggml-model-i2_s", "model"),
        ("gemma-3-27b-it-q4_0.gguf", "Q4_0", "model"),
        ("model-Q4_K_M-imat.gguf", "Q4_K_M", "model"),
        ("mmproj-F16.gguf", "F16", "mmproj"),
        ("gemma-3-27b-mmproj-BF16.gguf", "BF16", "mmproj"),
        ("imatrix_unsloth.gguf", "imatrix_unsloth", "other"),
        ("mtp-Qwen-Q8_0.gguf", "Q8_0", "draft"),
        ("tiny.gguf", "tiny", "model"),
    ],
)
def test_what_a_name_says(path, quant, kind):
    assert (quant_of(path), kind_of(path)) == (quant, kind)


def test_shards_are_one_model_and_missing_ones_are_known():
    sizes = [
        ("a-00001-of-00002.gguf", 10),
        ("a-00002-of-00002.gguf", 5),
        ("b-00002-of-00002.gguf", 7),
        ("r.md", 1),
    ]
    whole, half = group(sizes)
    assert (whole.path, whole.file_bytes, whole.missing) == ("a-00001-of-00002.gguf", 15, ())
    assert (half.path, half.file_bytes, half.missing) == (
        "b-00001-of-00002.gguf",
        None,
        ("b-00001-of-00002.gguf",),
    )


@pytest.mark.parametrize(
    ("names", "quant", "expected"),
    [
        (["m-Q8_0.gguf", "m-Q4_K_M.gguf"], None, "m-Q4_K_M.gguf"),
        (["m-Q6_K.gguf", "m-Q8_0.gguf"], None, "m-Q8_0.gguf"),
        (["mmproj-F16.gguf", "m-Q6_K.gguf", "m-Q5_0.gguf"], None, "m-Q6_K.gguf"),
        (["m-BF16.gguf", "m-F16.gguf"], "f16", "m-F16.gguf"),
        (["m-UD-Q4_K_XL.gguf"], "Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
        (["Q4_0/m-00001-of-00002.gguf"], "Q5_0", None),
        (["mmproj-F16.gguf"], None, None),
    ],
)
def test_the_choice_of_a_quantisation(names, quant, expected):
    chosen = choose(group((name, 1) for name in names), quant)
    assert (chosen and chosen.path) == expected


def test_every_store_is_searched_and_each_file_is_listed_once(own_home, tmp_path):
    folder = tmp_path / "models"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/x-Q8_0.gguf").write_bytes(MODEL)
    (folder / "again.gguf").symlink_to(folder / "deep/er/x-Q8_0.gguf")
    (folder / "mmproj-x.gguf").write_bytes(MODEL)
    (folder / "notes.txt").write_bytes(b"")
    ghost.write_split([part("a"), part("b")], folder, "s")
    lm = own_home / ".lmstudio/models/pub/repo"
    lm.mkdir(parents=True)
    (lm / "y.gguf").write_bytes(MODEL)
    llama = tmp_path / "xdg/llama.cpp"
    llama.mkdir(parents=True)
    (llama / "u_r_z.gguf").write_bytes(MODEL)
    store(tmp_path / "xdg/huggingface/hub", {"h-Q4_0.gguf": MODEL})
    install(own_home / ".ollama/models", MODEL)
    found = [(f.store, f.name, f.kind) for f in discover([str(folder)])]
    assert found == [
        (str(folder), "again", "model"),
        (str(folder), "mmproj-x", "mmproj"),
        (str(folder), "s", "model"),
        ("Hugging Face", "user/Model-GGUF/h-Q4_0", "model"),
        ("LM Studio", "pub/repo/y", "model"),
        ("llama.cpp", "u_r_z", "model"),
        ("Ollama", "llama3.1:8b", "model"),
    ]
    assert [f.name for f in discover([str(folder)], stores=False)] == ["again", "mmproj-x", "s"]
    assert all(open_model(f.spec) for f in discover([str(folder)]))
    assert COMMIT in next(f.spec for f in discover() if f.store == "Hugging Face")


def test_a_file_that_is_named_has_its_size(tmp_path):
    (tmp_path / "x-Q8_0.gguf").write_bytes(MODEL)
    shards = ghost.write_split([part("a"), part("b")], tmp_path, "s")
    places = [str(tmp_path / "x-Q8_0.gguf"), str(shards[0])]
    total = sum(path.stat().st_size for path in shards)
    assert [f.file_bytes for f in discover(places, stores=False)] == [len(MODEL), total]
    shards[1].unlink()
    assert [f.file_bytes for f in discover(places, stores=False)] == [len(MODEL), None]


def test_the_folder_of_lm_studio_may_be_elsewhere(own_home, tmp_path):
    (tmp_path / "lms/models/p/r").mkdir(parents=True)
    (tmp_path / "lms/models/p/r/m.gguf").write_bytes(MODEL)
    own_home.mkdir()
    (own_home / ".lmstudio-home-pointer").write_text(f"{tmp_path}/lms\n")
    assert [(f.store, f.name) for f in discover()] == [("LM Studio", "p/r/m")]


def test_llama_cache_moves_the_folder():
    assert str(llama_cpp_folder({"LLAMA_CACHE": "/c"})) == "/c"


def test_nothing_found_is_an_empty_list_and_a_folder_that_is_not_there_an_error(tmp_path):
    assert list(discover([str(tmp_path)])) == []
    with pytest.raises(BadModelError, match="nowhere: no such file or folder"):
        list(discover([str(tmp_path / "nowhere")]))


def many(folder, n, bad=()):
    """`n` models, those numbered in `bad` damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        path = folder / f"m{i:03}.gguf"
        if i in bad:
            path.write_bytes(b"<html>" if i % 2 else MODEL[:100])
        else:
            ghost.write_ghost(SPEC, path)
    return list(discover([str(folder)], stores=False))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_one_bad_file_is_a_row(tmp_path, n_jobs):
    found = many(tmp_path / "m", 30, bad=(3, 8, 29))
    rows = list(scan(found, judge, n_jobs=n_jobs))
    assert [row.found for row in rows] == found
    bad = {row.found.name: row.error for row in rows if row.error}
    assert list(bad) == ["m003", "m008", "m029"]
    assert "an HTML page" in bad["m003"]
    assert "ends inside its header" in bad["m008"]
    assert {row.result for row in rows if not row.error} == {("llama", 2, 1)}


def test_what_is_no_model_by_itself_is_listed_and_not_judged(tmp_path):
    (tmp_path / "mmproj-F16.gguf").write_bytes(b"not even gguf")
    (row,) = scan(discover([str(tmp_path)], stores=False), judge)
    assert (row.found.kind, row.result, row.error) == ("mmproj", None, None)


def test_a_process_that_dies_costs_one_row(tmp_path):
    many(tmp_path / "m", 18)
    for i in (5, 17):
        ghost.write_ghost(part("only"), tmp_path / "m" / f"m{i:03}.gguf")
    ghost.write_ghost(part("a", "b", "c"), tmp_path / "m/m002.gguf")
    rows = list(scan(discover([str(tmp_path / "m")], stores=False), judge_badly, n_jobs=2))
    assert [row.found.name for row in rows] == [f"m{i:03}" for i in range(18)]
    errors = {row.found.name: row.error for row in rows if row.error}
    assert list(errors) == ["m002", "m005", "m017"]
    assert errors["m002"] == "RuntimeError: a bug"
    assert "process that read it was ended" in errors["m005"]


def test_the_list_may_have_no_end(tmp_path):
    (one,) = many(tmp_path / "m", 1)

    def endless():
        while True:
            endless.n += 1
            yield one

    endless.n = 0
    rows = scan(endless(), judge, n_jobs=2)
    assert [next(rows).result for _ in range(40)] == [("llama", 2, 1)] * 40
    rows.close()
    assert endless.n <= 40 + 8 * (2 * 4 + 2)


def test_a_cached_header_is_used_again(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(BIG)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    found = [Found(name="m", spec=str(path), store="x")]
    first = list(scan(found, judge))
    path.write_bytes(b"x" * len(BIG))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert list(scan(found, judge)) == first
    assert next(iter(scan(found, judge, use_cache=False))).error


def test_a_store_that_fsspec_knows(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pipe("/bucket/a/m-Q4_0.gguf", MODEL)
    fs.pipe("/bucket/b.gguf", b"<html>")
    fs.pipe("/bucket/readme.md", b"")
    for path in ghost.write_split([part("a"), part("b")], tmp_path):
        fs.pipe(f"/bucket/{path.name}", path.read_bytes())
    rows = list(scan(discover(["memory://bucket"], stores=False), judge, n_jobs=1))
    got = [(row.found.name, row.result or row.error) for row in rows]
    assert [name for name, _ in got] == ["a/m-Q4_0", "b", "model"]
    assert got[0][1] == ("llama", 2, 1)
    assert rows[0].found.spec == "memory://bucket/a/m-Q4_0.gguf"
    assert "an HTML page" in got[1][1]
    assert got[2][1] == ("llama", 2, 2)


def test_a_stored_file_that_is_not_there():
    pytest.importorskip("fsspec")
    from budget.errors import BadModelError

    with pytest.raises(BadModelError, match="no such file"):
        open_model("memory://bucket/nothing.gguf")


@pytest.mark.parametrize("url", ["nonsense://x/m.gguf", "s3a9://x"])
def test_a_store_that_nobody_knows(url):
    with pytest.raises(UsageError, match="cannot read"):
        list(discover([url], stores=False))


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_gives_the_same_rows(tmp_path):
    distributed = pytest.importorskip("distributed")
    found = many(tmp_path / "m", 20, bad=(3, 8))
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
    ) as cluster:
        rows = list(scan(found, judge, dask=cluster.scheduler_address))
    assert rows == list(scan(found, judge, n_jobs=1))


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_is_not_there(monkeypatch):
    distributed = pytest.importorskip("distributed")

    def client(address, timeout):
        raise OSError(f"Timed out trying to connect to {address} after {timeout}")

    monkeypatch.setattr(distributed, "Client", client)
    with pytest.raises(NetworkError, match="no Dask scheduler at tcp://nowhere:8786"):
        list(scan([Found(name="m", spec="m", store="x")], judge, dask="tcp://nowhere:8786"))
