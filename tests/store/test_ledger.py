from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time

import pytest

import admitters
from admitters import GiB, budget
from budget.errors import UsageError
from budget.planning.residents import Resident
from budget.store.ledger import admit, prune, read_ledger, release

N_PROCESSES = 200


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.json"


def resident(name, gib=1, pid=None):
    return Resident(name=name, usage={"CUDA0": gib * GiB}, pid=pid)


def context():
    """Children that start quickly where the system can, with everything imported already."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["admitters"])
    return found


def names(path):
    return [r.name for r in read_ledger(path).residents]


def test_a_missing_ledger_is_empty(path):
    assert read_ledger(path).residents == ()
    assert not path.exists()


def test_what_is_admitted_can_be_read_and_released(path):
    assert admit(path, resident("a", 10, pid=7), budget(24)).admitted
    assert admit(path, resident("b", 14), budget(24)).admitted
    refused = admit(path, resident("c", 1), budget(24))
    assert [(f.device, f.required_bytes, f.available_bytes) for f in refused.failures] == [("CUDA0", GiB, 0)]
    assert names(path) == ["a", "b"]
    assert read_ledger(path).find("a") == resident("a", 10, pid=7)
    release(path, "a")
    assert admit(path, resident("c", 10), budget(24)).admitted
    assert names(path) == ["b", "c"]


def test_a_model_can_take_the_place_of_another(path):
    admit(path, resident("a", 20), budget(24))
    assert not admit(path, resident("b", 10), budget(24)).admitted
    assert admit(path, resident("b", 10), budget(24), replaces="a").admitted
    assert admit(path, resident("b", 12), budget(24), replaces="b").admitted
    assert read_ledger(path).residents == (resident("b", 12),)


def test_what_is_to_be_left_free_is_not_given_away(path):
    spare = {"CUDA0": 4 * GiB}
    assert not admit(path, resident("a", 21), budget(24), spare=spare).admitted
    assert admit(path, resident("a", 20), budget(24), spare=spare).admitted
    assert read_ledger(path).residents[0].usage == {"CUDA0": 20 * GiB}


def test_a_device_that_is_not_known_admits_nothing(path):
    answer = admit(path, Resident(name="a", usage={"Vulkan0": 1}), budget(24))
    assert (answer.admitted, answer.unknown) == (False, ("Vulkan0",))
    assert not path.exists()


def test_a_name_is_taken_once(path):
    admit(path, resident("a"), budget(24))
    with pytest.raises(UsageError, match="in the ledger already"):
        admit(path, resident("a"), budget(24))
    with pytest.raises(UsageError, match="no resident 'b'"):
        release(path, "b")


def test_residents_whose_process_ended_can_be_dropped(path):
    for name, pid in (("a", 1), ("b", 2), ("c", None)):
        admit(path, resident(name, pid=pid), budget(24))
    prune(path, lambda pid: pid == 2)
    assert names(path) == ["b", "c"]


GOOD = {"name": "a", "usage_bytes": {"CUDA0": 1}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param('{"schema": "budget/ledger/v1", "residents": [', "not JSON", id="torn"),
        pytest.param("\xff", "cannot be read", id="not-text"),
        pytest.param("[]", "no JSON object", id="list"),
        pytest.param("{}", "schema is None", id="no-schema"),
        pytest.param({"residents": []}, "schema", id="other-schema"),
        pytest.param({"resident": []}, "unknown key 'resident'", id="unknown-key"),
        pytest.param({"residents": 5}, "no list", id="no-list"),
        pytest.param({"residents": [5]}, r"residents\[0\]: no JSON object", id="no-object"),
        pytest.param({"residents": [{"usage_bytes": {}}]}, "name is None", id="no-name"),
        pytest.param({"residents": [{"name": "a"}]}, "usage_bytes", id="no-usage"),
        pytest.param({"residents": [{**GOOD, "usage_bytes": {"CUDA0": -1}}]}, "CUDA0 is -1", id="negative"),
        pytest.param({"residents": [{**GOOD, "usage_bytes": {"CUDA0": 1.5}}]}, "CUDA0 is 1.5", id="fraction"),
        pytest.param({"residents": [{**GOOD, "pid": "7"}]}, "pid is '7'", id="pid"),
        pytest.param({"residents": [{**GOOD, "model": 5}]}, "model is 5", id="model"),
        pytest.param({"residents": [GOOD, GOOD]}, "two residents", id="twice"),
    ],
)
def test_what_is_no_ledger_is_named_and_never_overwritten(path, text, says):
    if isinstance(text, dict):
        schema = {} if says == "schema" else {"schema": "budget/ledger/v1"}
        text = json.dumps(schema | text)
    path.write_bytes(text.encode("latin-1"))
    before = path.read_bytes()
    for attempt in (read_ledger, lambda p: admit(p, resident("new"), budget(24)), lambda p: release(p, "a")):
        with pytest.raises(UsageError, match=says):
            attempt(path)
    assert path.read_bytes() == before


def test_the_nearest_known_key_is_offered(path):
    path.write_text('{"schema": "budget/ledger/v1", "residnets": []}', encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read_ledger(path)
    assert error.value.hint == "did you mean residents? keys: schema, residents"


def test_a_ledger_in_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UsageError):
        admit(tmp_path / "none" / "ledger.json", resident("a"), budget(24))


def test_a_lock_that_stays_taken_is_an_error(path):
    from filelock import FileLock

    with FileLock(f"{path}.lock"), pytest.raises(UsageError, match="held the lock"):
        admit(path, resident("a"), budget(24), timeout_s=0)
    assert admit(path, resident("a"), budget(24)).admitted


def test_two_hundred_processes_never_admit_more_than_fits(path):
    # 40 GiB for claims of 1 GiB each: exactly forty of two hundred get in
    here = context()
    start, answers = here.Barrier(N_PROCESSES + 1), here.Queue()
    children = [
        here.Process(target=admitters.admit_one, args=(path, f"p{i}", GiB, 40, start, answers))
        for i in range(N_PROCESSES)
    ]
    for child in children:
        child.start()
    start.wait()
    reads = 0
    while any(child.is_alive() for child in children) and reads < 100_000:
        assert (
            sum(r.total_bytes for r in read_ledger(path).residents) <= 40 * GiB
        )  # never torn, never too much
        reads += 1
        time.sleep(0.001)
    told = dict(answers.get(timeout=600) for _ in children)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * N_PROCESSES
    assert sum(told.values()) == 40
    assert sorted(names(path)) == sorted(name for name, admitted in told.items() if admitted)
    assert not path.with_name("ledger.json.tmp").exists()


def test_a_process_that_dies_at_any_step_leaves_a_readable_ledger(path):
    admit(path, resident("first"), budget(64))
    here, n, codes = context(), 0, []
    while not codes or codes[-1] != 0:
        n += 1
        child = here.Process(target=admitters.die_at, args=(path, n))
        child.start()
        child.join()
        codes.append(child.exitcode)
        assert codes[-1] in (0, 9)
        ledger = read_ledger(path)
        assert ledger.residents[0] == resident("first")
        assert set(names(path)) <= {"first", *(f"late{i}" for i in range(1, n + 1))}
    assert codes.count(9) >= 3  # the lock, the new file, its new name
    assert f"late{n}" in names(path)
    assert admit(path, resident("after"), budget(64)).admitted


def test_a_killed_process_leaves_a_readable_ledger_and_a_free_lock(path):
    code = "import sys, pathlib, admitters; admitters.admit_for_ever(pathlib.Path(sys.argv[1]))"
    admit(path, resident("first"), budget(64))
    for i in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], env={"PYTHONPATH": ":".join(sys.path)}
        )
        before = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == before and child.poll() is None:
            time.sleep(0.002)
        time.sleep(0.003 * i)
        child.kill()
        child.wait()
        assert names(path)[0] == "first"
        assert admit(path, resident(f"after{i}"), budget(64), timeout_s=10).admitted
