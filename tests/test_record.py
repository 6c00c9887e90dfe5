"""A record does what the frozen, slotted, keyword-only dataclass of the same fields does."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from functools import cached_property

import pytest

from budget.record import field, field_names, record, replace


@record
class Cache:
    """What a layer keeps."""

    n_ctx: int
    n_head: int = 8
    types: dict[str, str] = field(default_factory=dict)
    header: str = field(default_factory=str, repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    n_ctx: int
    n_head: int = 8
    types: dict[str, str] = dataclasses.field(default_factory=dict)
    header: str = dataclasses.field(default_factory=str, repr=False)


@record(kw_only=False)
class Row:
    name: str
    size: int = 0


@record(frozen=False, kw_only=False)
class Counter:
    n: int = 0


@record(slots=False)
class Lazy:
    n: int

    @cached_property
    def squared(self):
        return self.n**2


@record
class Checked:
    n: int

    def __post_init__(self):
        if self.n < 0:
            raise ValueError("negative")


@record
class Empty:
    pass


def test_fields_and_defaults():
    cache = Cache(n_ctx=4096)

    assert (cache.n_ctx, cache.n_head, cache.types, cache.header) == (4096, 8, {}, "")
    assert field_names(Cache) == ("n_ctx", "n_head", "types", "header")
    assert Cache.__doc__ == "What a layer keeps."


def test_a_default_factory_makes_a_new_value_each_time():
    assert Cache(n_ctx=1).types is not Cache(n_ctx=1).types


@pytest.mark.parametrize(
    ("arguments", "given"),
    [((), {}), ((1,), {}), ((), {"n_ctx": 1, "n_layer": 2})],
    ids=["missing", "by-position", "unknown"],
)
def test_wrong_arguments_are_type_errors(arguments, given):
    for cls in (Cache, Same):
        with pytest.raises(TypeError):
            cls(*arguments, **given)


@pytest.mark.parametrize("name", ["n_ctx", "other"])
def test_values_cannot_be_changed(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Cache(n_ctx=1), name, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(Cache(n_ctx=1), name)
    assert not hasattr(Cache(n_ctx=1), "__dict__")


def test_equal_when_class_and_fields_are():
    assert Cache(n_ctx=1) == Cache(n_ctx=1, n_head=8)
    assert Cache(n_ctx=1) != Cache(n_ctx=2)
    assert Cache(n_ctx=1) != Same(n_ctx=1)
    assert Row("a") != ("a", 0)
    assert Empty() == Empty()


def test_equal_values_have_one_hash():
    assert len({Row("a", 1), Row("a", 1), Row("a", 2)}) == 2
    with pytest.raises(TypeError):
        hash(Cache(n_ctx=1))  # holds a dict
    with pytest.raises(TypeError):
        hash(Counter())


def test_repr_is_that_of_the_dataclass():
    assert repr(Cache(n_ctx=1, header="long")) == repr(Same(n_ctx=1, header="long")).replace("Same", "Cache")


def test_replace_gives_a_changed_copy_and_refuses_other_names():
    assert replace(Cache(n_ctx=1, n_head=2), n_ctx=3) == Cache(n_ctx=3, n_head=2)
    with pytest.raises(TypeError):
        replace(Cache(n_ctx=1), n_layer=2)


def test_the_functions_of_dataclasses_take_a_record():
    cache = Cache(n_ctx=1, types={"k": "f16"})

    assert dataclasses.asdict(cache) == dataclasses.asdict(Same(n_ctx=1, types={"k": "f16"}))
    assert [(f.name, f.kw_only, f.repr) for f in dataclasses.fields(Cache)] == [
        (f.name, f.kw_only, f.repr) for f in dataclasses.fields(Same)
    ]
    assert dataclasses.replace(cache, n_ctx=2) == Cache(n_ctx=2, types={"k": "f16"})


@pytest.mark.parametrize(
    "value", [Cache(n_ctx=1, types={"k": "f16"}), Row("a", 1), Lazy(n=3), Empty(), Counter(2)]
)
def test_records_travel_to_other_processes(value):
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value


def test_by_position_where_a_class_allows_it():
    assert Row("a", 5) == Row(name="a", size=5)
    match Row("a", 5):
        case Row(name, size):
            assert (name, size) == ("a", 5)


def test_not_frozen_where_a_class_says_so():
    counter = Counter()
    counter.n += 1

    assert counter == Counter(1)


def test_without_slots_properties_can_be_cached():
    assert Lazy(n=3).squared == 9
    with pytest.raises(dataclasses.FrozenInstanceError):
        Lazy(n=3).n = 4


def test_post_init_runs():
    with pytest.raises(ValueError, match="negative"):
        Checked(n=-1)
