"""Two answers side by side."""

from __future__ import annotations

from budget.planning.compare import Side, compare


def answer(devices, **settings):
    return {
        "verdict": "fits",
        "model": {"path": "x", "n_layer": settings.pop("n_layer", 32)},
        "settings": settings,
        "budget": {"text": "auto"},
        "devices": [
            {"name": name, **{f"{k}_bytes": v for k, v in parts.items()}, "required_bytes": sum(parts.values())}
            for name, parts in devices.items()
        ],
    }  # fmt: skip


def test_only_what_differs_is_a_fact_and_every_part_that_either_has_is_a_row():
    a = answer({"CUDA0": {"weights": 100, "context": 40}, "CPU": {"weights": 5}}, type_k="f16", n_ctx=8192)
    b = answer({"CUDA0": {"weights": 100, "context": 20, "compute": 1}, "CPU": {"weights": 5}}, type_k="q8_0", n_ctx=8192)  # fmt: skip # noqa: E501
    found = compare(Side(name="a", answer=a), Side(name="b", answer=b))
    assert [(f.name, f.a, f.b) for f in found.facts] == [("type_k", "f16", "q8_0")]
    assert [(p.device, p.part, p.a_bytes, p.b_bytes, p.difference_bytes) for p in found.parts] == [
        ("CUDA0", "weights", 100, 100, 0),
        ("CUDA0", "context", 40, 20, -20),
        ("CUDA0", "compute", 0, 1, 1),
        ("CUDA0", "required", 140, 121, -19),
        ("CPU", "weights", 5, 5, 0),
        ("CPU", "required", 5, 5, 0),
    ]


def test_a_device_that_one_side_lacks_has_no_size_there():
    a = answer({"CPU": {"weights": 5}})
    b = answer({"CUDA0": {"weights": 3}, "CPU": {"weights": 2}}, n_layer=16)
    found = compare(Side(name="a", answer=a), Side(name="b", answer=b))
    assert [(f.name, f.a, f.b) for f in found.facts] == [
        ("n_layer", 32, 16),
        ("devices", "CPU", "CUDA0, CPU"),
    ]
    assert [(p.device, p.a_bytes, p.b_bytes, p.difference_bytes) for p in found.required()] == [
        ("CUDA0", None, 3, 3),
        ("CPU", 5, 2, -3),
    ]
