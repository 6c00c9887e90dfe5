"""hf:// names against a small Hub on loopback, made after the Hub's documented API."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest

import ghost
from budget.errors import BadModelError, ExitCode, NetworkError, UsageError
from budget.gguf.header import parse_header
from budget.source import hub as hub_module
from budget.source import open_model
from budget.source.cache import HeaderCache
from budget.source.errors import MissingFileError
from budget.source.hub import Hub, list_quants, open_all
from budget.source.hub_name import HubName, names_repo, parse_name, parse_page
from budget.source.web import WebReader
from ports import unanswered
from source.on_disk import COMMIT, store
from source.servers import QUICK, Handler, serve
from source.specs import BIG, MODEL, part

REPO = "user/Model-GGUF"

NAMES = [
    ("hf://u/r", ("u/r", None, None, "main")),
    ("hf://u/r/", ("u/r", None, None, "main")),
    ("hf://u/r:Q4_K_M", ("u/r", None, "Q4_K_M", "main")),
    ("hf://u/r@v1:Q4_K_M", ("u/r", None, "Q4_K_M", "v1")),
    ("hf://u/r:Q4_K_M@v1", ("u/r", None, "Q4_K_M", "v1")),
    ("hf://u/r@v1", ("u/r", None, None, "v1")),
    ("hf://u/r/m.gguf", ("u/r", "m.gguf", None, "main")),
    ("hf://u/r/sub/m-Q8_0.gguf@abc", ("u/r", "sub/m-Q8_0.gguf", None, "abc")),
    ("hf://u/r@abc/sub/m.gguf", ("u/r", "sub/m.gguf", None, "abc")),
    ("hf://u/r/m.gguf@refs/pr/3", ("u/r", "m.gguf", None, "refs/pr/3")),
    ("hf://u/r/a%20b.gguf", ("u/r", "a b.gguf", None, "main")),
    ("hf://u-1/r.2_x/m.GGUF", ("u-1/r.2_x", "m.GGUF", None, "main")),
]


@pytest.mark.parametrize(("spec", "expected"), NAMES)
def test_names(spec, expected):
    name = parse_name(spec)
    assert (name.repo, name.file, name.quant, name.revision) == expected


def test_a_name_prints_as_it_is_written():
    for spec in ("hf://u/r", "hf://u/r:Q4_K_M", "hf://u/r/m.gguf", "hf://u/r/m.gguf@abc"):
        assert str(parse_name(spec)) == spec


@pytest.mark.parametrize(
    "spec",
    [
        "hf://",
        "hf://u",
        "hf:///r",
        "hf://u/",
        "hf://u/../x",
        "hf://u/r/m.bin",
        "hf://u/r/m.gguf:Q4_0",
        "hf://u r/x",
    ],
)
def test_what_is_no_name(spec):
    with pytest.raises(UsageError, match=r"Hugging Face Hub|not a GGUF file") as e:
        parse_name(spec)
    assert "hf://user/repo" in e.value.hint


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://huggingface.co/u/r/blob/main/m.gguf", "hf://u/r/m.gguf"),
        ("https://huggingface.co/u/r/resolve/v2/s/m.gguf?download=true", "hf://u/r/s/m.gguf@v2"),
        ("https://huggingface.co/u/r/tree/main", "hf://u/r"),
        ("https://huggingface.co/u/r", "hf://u/r"),
        ("https://hf.co/u/r/", "hf://u/r"),
        ("https://huggingface.co/datasets/u/r", None),
        ("https://huggingface.co/api/models/u/r", None),
        ("https://huggingface.co/u/r/discussions/1", None),
        ("https://example.org/u/r/blob/main/m.gguf", None),
    ],
)
def test_pasted_addresses(url, expected):
    page = parse_page(url)
    assert (page and str(page)) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("hf://u/r", True),
        ("hf://u/r@v2", True),
        ("https://huggingface.co/u/r", True),
        ("hf://u/r:Q4_0", False),
        ("hf://u/r/m.gguf", False),
        ("https://huggingface.co/u/r/blob/main/m.gguf", False),
        ("https://example.org/u/r", False),
        ("sample:x", False),
        ("m.gguf", False),
    ],
)
def test_which_names_mean_a_whole_repository(spec, expected):
    assert names_repo(spec) is expected


SPLIT = [part("a"), part("b")]


def split_files(stem):
    shards = []
    for i, spec in enumerate(SPLIT):
        keys = {"split.no": ["u16", i], "split.count": ["u16", 2], "split.tensors.count": ["i32", 2]}
        full = {**spec, "metadata": spec["metadata"] | keys}
        shards.append((f"{stem}-{i + 1:05d}-of-00002.gguf", ghost.header_bytes(full) + bytes(1024)))
    return dict(shards)


FILES = {
    ".gitattributes": b"*",
    "README.md": b"# model",
    "model-BF16.gguf": MODEL,
    "model-F16.gguf": MODEL,
    "model-Q4_K_M.gguf": BIG,
    "model-UD-Q2_K_XL.gguf": MODEL,
    "mmproj-model-F16.gguf": MODEL,
    "imatrix.gguf": MODEL,
    "mtp-model-Q4_K_M.gguf": MODEL,
    "broken-Q3_K_S.gguf": b"<html>",
    **split_files("Q8_0/model-Q8_0"),
}


class FakeHub(Handler):
    """The calls that budget makes; large files redirect to storage, as on the real one."""

    private = False
    tree_only = False

    def do_GET(self):  # noqa: N802
        path = unquote(self.path)
        self.served.requests.append((self.command, path, self.headers.get("Range")))
        self.served.headers.append({k.lower(): v for k, v in self.headers.items()})
        if self.private and self.headers.get("Authorization") != "Bearer good":
            return self.fail(401, ("X-Error-Message", "Invalid username or password."))
        for revision in ("main", COMMIT):
            if path == f"/api/models/{REPO}/revision/{revision}?blobs=true" and not self.tree_only:
                siblings = [{"rfilename": name, "size": len(data)} for name, data in FILES.items()]
                return self.json({"id": REPO, "sha": COMMIT, "siblings": siblings})
            if path == f"/api/models/{REPO}/tree/{revision}?recursive=true":
                return self.tree(0)
            for name in FILES:
                if path == f"/{REPO}/resolve/{revision}/{name}":
                    return self.fail(302, ("Location", f"/storage/{name}"), ("X-Linked-Etag", f'"{name}"'))
        if path.startswith("/page2"):
            return self.tree(5)
        if path.startswith("/storage/"):
            return self.answer(FILES[path.removeprefix("/storage/")])
        return self.fail(404, ("X-Error-Code", "RepoNotFound"))

    def tree(self, start):
        """Five entries a page."""
        items = [{"type": "file", "path": n, "size": len(c)} for n, c in FILES.items()]
        items = [{"type": "directory", "path": "Q8_0", "size": 0}, *items]
        link = [("Link", f'<{self.served.url}/page2>; rel="next"')] if not start else []
        return self.json(items[:5] if not start else items[5:], *link)

    def json(self, data, *headers):
        body = json.dumps(data).encode()
        self.head(200, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers])
        self.wfile.write(body)


@pytest.fixture
def fake(monkeypatch):
    with serve(FakeHub) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def paths(served):
    return [path for _, path, _ in served.requests]


def test_one_file_takes_no_listing(fake):
    header, source = open_model(f"hf://{REPO}/model-F16.gguf")
    assert header == parse_header(MODEL)
    assert (source.file_bytes, source.location) == (len(MODEL), f"hf://{REPO}/model-F16.gguf")
    assert paths(fake) == [f"/{REPO}/resolve/main/model-F16.gguf", "/storage/model-F16.gguf"]


def test_a_quantisation_is_found_in_one_listing(fake):
    header, source = open_model(f"hf://{REPO}:q4_k_m")
    assert header == parse_header(BIG)
    assert source.path == "model-Q4_K_M.gguf"
    assert paths(fake)[0] == f"/api/models/{REPO}/revision/main?blobs=true"
    assert paths(fake)[1] == f"/{REPO}/resolve/{COMMIT}/model-Q4_K_M.gguf"
    assert len(paths(fake)) <= 5


def test_f16_is_not_bf16(fake):
    assert open_model(f"hf://{REPO}:F16")[1].path == "model-F16.gguf"


def test_without_a_quantisation_llama_cpp_chooses(fake):
    assert open_model(f"hf://{REPO}")[1].path == "model-Q4_K_M.gguf"


def test_shards_are_joined(fake):
    header, source = open_model(f"hf://{REPO}:Q8_0")
    assert [(t.name, t.shard) for t in header.tensors] == [("a", 0), ("b", 1)]
    assert source.n_shards == 2


def test_a_second_call_makes_no_request(fake):
    first = open_model(f"hf://{REPO}:Q4_K_M")
    fake.requests.clear()
    assert open_model(f"hf://{REPO}:Q4_K_M") == first
    assert fake.requests == []


def test_without_the_cache_it_does(fake):
    open_model(f"hf://{REPO}:Q4_K_M", use_cache=False)
    fake.requests.clear()
    open_model(f"hf://{REPO}:Q4_K_M", use_cache=False)
    assert fake.requests


@pytest.mark.parametrize("tree_only", [False, True], ids=["revision", "tree-in-pages"])
def test_a_listing_joins_shards_and_knows_what_is_no_model(monkeypatch, tree_only):
    with serve(FakeHub, tree_only=tree_only) as served, WebReader(policy=QUICK) as web:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        repo = Hub(web).list_files(HubName(repo=REPO))
    shard_bytes = sum(len(c) for n, c in FILES.items() if n.startswith("Q8_0"))
    assert [(f.quant, f.kind, f.file_bytes, len(f.paths)) for f in repo.files] == [
        ("BF16", "model", len(MODEL), 1),
        ("F16", "model", len(MODEL), 1),
        ("Q4_K_M", "model", len(BIG), 1),
        ("UD-Q2_K_XL", "model", len(MODEL), 1),
        ("F16", "mmproj", len(MODEL), 1),
        ("imatrix", "other", len(MODEL), 1),
        ("Q4_K_M", "draft", len(MODEL), 1),
        ("Q3_K_S", "model", 6, 1),
        ("Q8_0", "model", shard_bytes, 2),
    ]
    assert repo.name.revision == ("main" if tree_only else COMMIT)
    at = "" if tree_only else f"@{COMMIT}"
    assert repo.spec(repo.models[0]) == f"hf://{REPO}/model-BF16.gguf{at}"
    assert [f.path for f in repo.mmproj] == ["mmproj-model-F16.gguf"]


def test_every_quantisation_is_opened_and_a_bad_one_is_a_row(fake):
    repo = list_quants(f"hf://{REPO}")
    rows = {file.quant: outcome for file, outcome in open_all(repo)}
    assert list(rows) == ["BF16", "F16", "Q4_K_M", "UD-Q2_K_XL", "Q3_K_S", "Q8_0"]
    assert isinstance(rows.pop("Q3_K_S"), BadModelError)
    assert {quant: source.file_bytes for quant, (_, source) in rows.items()}["Q4_K_M"] == len(BIG)
    assert rows["Q8_0"][1].n_shards == 2


def test_an_unknown_quantisation_lists_those_there_are(fake):
    with pytest.raises(MissingFileError, match="no such quantisation") as e:
        open_model(f"hf://{REPO}:Q6_K")
    assert "Q4_K_M" in e.value.hint
    assert "UD-Q2_K_XL" in e.value.hint


@pytest.mark.parametrize("spec", ["hf://no/such", "hf://no/such:Q4_0", f"hf://{REPO}@v9:Q4_0"])
def test_an_unknown_repository(fake, spec):
    with pytest.raises(MissingFileError, match="no such repository or revision") as e:
        open_model(spec)
    assert e.value.exit_code == ExitCode.BAD_MODEL


def test_an_unknown_file(fake):
    with pytest.raises(MissingFileError, match="no such file on the server"):
        open_model(f"hf://{REPO}/nothing.gguf")


def test_a_private_repository_asks_for_a_token(monkeypatch):
    with serve(FakeHub, private=True) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        with pytest.raises(NetworkError, match="no such repository, or it is private") as e:
            open_model(f"hf://{REPO}:F16")
    assert "HF_TOKEN" in e.value.hint


@pytest.mark.parametrize("where", ["variable", "token-path", "home", "default"])
def test_a_token_is_found_and_sent(monkeypatch, tmp_path, where):
    file = tmp_path / "token"
    if where == "variable":
        monkeypatch.setenv("HF_TOKEN", "good\n")
    elif where == "token-path":
        monkeypatch.setenv("HF_TOKEN_PATH", str(file))
    elif where == "home":
        monkeypatch.setenv("HF_HOME", str(tmp_path))
    else:
        file = tmp_path / "xdg/huggingface/token"
        file.parent.mkdir(parents=True)
    file.write_text("good\n")
    with serve(FakeHub, private=True) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url + "/")
        assert open_model(f"hf://{REPO}:F16")[0] == parse_header(MODEL)


def test_model_endpoint_comes_before_hf_endpoint(fake, monkeypatch):
    monkeypatch.setenv("MODEL_ENDPOINT", fake.url)
    monkeypatch.setenv("HF_ENDPOINT", "http://nowhere.invalid")
    assert open_model(f"hf://{REPO}/model-F16.gguf")[1].file_bytes == len(MODEL)


def test_a_pasted_address_of_the_endpoint_is_a_name(fake):
    header, source = open_model(f"{fake.url}/{REPO}/blob/main/model-F16.gguf")
    assert header == parse_header(MODEL)
    assert source.location.endswith("/blob/main/model-F16.gguf")


CACHES = [
    ("HF_HUB_CACHE", ""),
    ("HF_HOME", "hub"),
    ("LLAMA_CACHE", ""),
    ("XDG_CACHE_HOME", "huggingface/hub"),
]


@pytest.mark.parametrize(("variable", "below"), CACHES)
@pytest.mark.parametrize(
    "name", [f"hf://{REPO}:F16", f"hf://{REPO}/model-F16.gguf", f"hf://{REPO}/model-F16.gguf@{COMMIT}"]
)
def test_what_is_on_disk_takes_no_request(fake, monkeypatch, tmp_path, variable, below, name):
    monkeypatch.setenv(variable, str(tmp_path / "cache"))
    store(tmp_path / "cache" / below, {"model-F16.gguf": MODEL})
    header, source = open_model(name)
    assert header == parse_header(MODEL)
    assert source.file_bytes == len(MODEL)
    assert fake.requests == []


def test_a_split_model_with_a_shard_not_downloaded_is_read_from_the_hub(fake, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    first, _ = split_files("Q8_0/model-Q8_0").items()
    store(tmp_path, dict([first]))
    assert open_model(f"hf://{REPO}/{first[0]}")[1].n_shards == 2
    assert fake.requests


def test_offline_only_the_disk_counts(fake, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    store(tmp_path, {"model-F16.gguf": MODEL})
    assert open_model(f"hf://{REPO}")[1].file_bytes == len(MODEL)
    with pytest.raises(MissingFileError, match="HF_HUB_OFFLINE"):
        open_model(f"hf://{REPO}/model-BF16.gguf")
    with pytest.raises(NetworkError, match="HF_HUB_OFFLINE"):
        open_model("hf://other/repo:Q4_0")
    assert fake.requests == []


def test_an_unreachable_hub_leaves_the_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    store(tmp_path, {"model-F16.gguf": MODEL})
    with (
        unanswered() as address,
        WebReader(HeaderCache(tmp_path / "c"), policy=QUICK, sleep=lambda _: None) as web,
    ):
        monkeypatch.setenv("HF_ENDPOINT", f"http://{address}")
        repo = Hub(web).list_files(HubName(repo=REPO))
        assert [f.quant for f in repo.models] == ["F16"]
        with pytest.raises(NetworkError, match="no connection"):
            Hub(web).list_files(HubName(repo="other/repo"))


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a/../../b"])
def test_a_revision_cannot_leave_the_cache(monkeypatch, tmp_path, revision):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert hub_module.HubCache().snapshot(REPO, revision) is None


def test_a_repository_without_gguf_says_so(monkeypatch):
    class Plain(FakeHub):
        def do_GET(self):  # noqa: N802
            self.json({"sha": COMMIT, "siblings": [{"rfilename": "model.safetensors"}]})

    with serve(Plain) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        with pytest.raises(MissingFileError, match="holds no GGUF file"):
            open_model(f"hf://{REPO}")


@pytest.mark.parametrize("body", [b"<html>", b"[1, 2]", b'{"siblings": 3}'], ids=["html", "numbers", "wrong"])
def test_an_answer_that_is_no_listing(monkeypatch, body):
    class Nonsense(FakeHub):
        def do_GET(self):  # noqa: N802
            self.fail(200, body=body)

    with serve(Nonsense) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        with pytest.raises(NetworkError, match=r"did not send JSON|not understood"):
            open_model(f"hf://{REPO}")
