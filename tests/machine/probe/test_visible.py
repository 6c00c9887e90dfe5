"""CUDA_VISIBLE_DEVICES and ROCm's variables, worked out without a driver."""

import pytest

from budget.machine.probe.nvml import Card
from budget.machine.probe.visible import visible_cards, visible_entries

CARDS = (
    Card(index=0, uuid="GPU-aaaa1111"),
    Card(index=1, uuid="GPU-aaaa2222"),
    Card(index=2, uuid="GPU-bbbb3333"),
)
MIG = Card(
    index=3, uuid="GPU-cccc", mig_enabled=True, mig=(Card(index=3, uuid="MIG-1"), Card(index=3, uuid="MIG-2"))
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, [0, 1, 2], id="unset-shows-all"),
        pytest.param("", [], id="empty-hides-all"),
        pytest.param("2,0", [2, 0], id="reorders"),
        pytest.param(" 1 , 2 ", [1, 2], id="blanks"),
        pytest.param("0,7,1", [0], id="first-invalid-ends-the-list"),
        pytest.param("-1", [], id="minus-one-hides-all"),
        pytest.param("0,-1,1", [0], id="minus-one-ends-the-list"),
        pytest.param("1,1", [], id="a-duplicate-hides-all"),
        pytest.param("GPU-bbbb", [2], id="prefix-of-an-id"),
        pytest.param("gpu-BBBB3333", [2], id="case-does-not-count"),
        pytest.param("GPU-aaaa", [], id="ambiguous-prefix-is-invalid"),
        pytest.param("GPU-bbbb,GPU-aaaa1", [2, 0], id="several-ids"),
        pytest.param("0,GPU-bbbb", [0], id="kinds-do-not-mix"),
        pytest.param("bbbb3333", [], id="id-without-its-prefix"),
        pytest.param("NoDevFiles", [], id="word"),
    ],
)
def test_cuda_visible_devices(value, expected):
    assert [card.index for card in visible_cards(value, CARDS)] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, ["MIG-1"], id="unset-opens-the-first-instance-alone"),
        pytest.param("MIG-2", ["MIG-2"], id="by-id"),
        pytest.param("MIG-2,MIG-1", ["MIG-2"], id="only-one"),
        pytest.param("MIG-9", [], id="not-there"),
        pytest.param("3", ["MIG-1"], id="number-of-the-parent"),
    ],
)
def test_one_mig_instance_per_process(value, expected):
    assert [card.uuid for card in visible_cards(value, (*CARDS, MIG))] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "abc"),
        ("", ""),
        ("2,0", "ca"),
        ("0,9,1", "a"),
        ("GPU-b", "b"),
        ("GPU-b,0", "ba"),
    ],
)
def test_rocm_variables(value, expected):
    assert "".join(visible_entries(value, "abc", ["GPU-a", "GPU-b", "GPU-c"])) == expected
