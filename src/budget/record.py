"""Frozen, slotted, keyword-only values that are cheap to define.

`@record` gives a class what `@dataclass(frozen=True, slots=True, kw_only=True)` gives it, in a fifth of the time:
methods that need no code of their own are shared, `__init__` is compiled when the first value is made, and the
`dataclasses` module (with `inspect` behind it) is loaded only by who calls `fields`, `asdict` or its like.
Python defines some fifty such classes before `budget` prints a number; as dataclasses they took half of its time.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")
_set = object.__setattr__


class _Field:
    """A default that is made anew for every value, or a field that `repr` leaves out."""

    __slots__ = ("default_factory", "repr")

    def __init__(self, default_factory: Callable[[], Any] | None, is_shown: bool) -> None:
        self.default_factory, self.repr = default_factory, is_shown


def field(*, default_factory: Callable[[], Any] | None = None, repr: bool = True) -> Any:  # noqa: A002 (its name there)
    """As `dataclasses.field`."""
    return _Field(default_factory, repr)


@overload
def record(cls: type[T], /) -> type[T]: ...
@overload
def record(
    *, slots: bool = True, kw_only: bool = True, frozen: bool = True
) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(
    cls: type[Any] | None = None, /, *, slots: bool = True, kw_only: bool = True, frozen: bool = True
) -> Any:
    """Make the annotated names of a class its fields.

    Args:
        slots: False leaves instances their `__dict__`, which `functools.cached_property` needs.
        kw_only: False lets fields be given by position too.
        frozen: False lets them be set, and makes values unhashable.
    """

    def make(cls: type[Any]) -> type[Any]:
        own = dict(cls.__dict__)
        names: tuple[str, ...] = tuple(own.get("__annotations__", ()))
        defaults = {name: own[name] for name in names if name in own}
        shape: dict[str, Any] = {
            "__record_fields__": names,
            "__record_defaults__": defaults,
            "__record_content__": attrgetter(*names) if names else type,
            "__record_is_kw_only__": kw_only,
            "__match_args__": () if kw_only else names,
            "__dataclass_fields__": _DataclassFields(),
            "__init__": _first_init,
            "__eq__": _eq,
            "__repr__": _repr,
            "__hash__": _hash if frozen else None,
        }
        if frozen:
            shape |= {"__setattr__": _refuse, "__delattr__": _refuse}
        if not slots:
            for name, value in shape.items():
                setattr(cls, name, value)
            for name, default in defaults.items():
                if isinstance(default, _Field):
                    delattr(cls, name)
            return cls
        for name in (*defaults, "__dict__", "__weakref__"):
            own.pop(name, None)
        shape |= {"__slots__": names, "__getstate__": _getstate, "__setstate__": _setstate}
        made: type[Any] = type(cls)(cls.__name__, cls.__bases__, own | shape)  # type: ignore[misc]
        made.__qualname__ = cls.__qualname__
        return made

    return make if cls is None else make(cls)


def replace(value: T, /, **changes: Any) -> T:
    """A copy of a record with some fields changed, as `dataclasses.replace`."""
    return type(value)(**as_dict(value) | changes)


def field_names(cls: type[Any]) -> tuple[str, ...]:
    """The names of a record's fields, in order."""
    names: tuple[str, ...] = cls.__record_fields__
    return names


def as_dict(value: Any) -> dict[str, Any]:
    """The fields of a record by name; what they hold stays as it is."""
    return {name: getattr(value, name) for name in value.__record_fields__}


def _first_init(self: Any, *args: Any, **given: Any) -> None:
    """Compile `__init__` of the class, put it in place, and run it."""
    cls = type(self)
    init = _compile_init(cls)
    cls.__init__ = init
    init(self, *args, **given)


def _compile_init(cls: Any) -> Callable[..., None]:
    names, defaults = cls.__record_fields__, cls.__record_defaults__
    known: dict[str, Any] = {"_set": _set}
    parameters, lines = ["self"], []
    if cls.__record_is_kw_only__ and names:
        parameters.append("*")
    for name in names:
        value = name
        if name in defaults:
            default = known[f"_{name}"] = defaults[name]
            parameters.append(f"{name}=_{name}")
            if isinstance(default, _Field):
                known[f"_make_{name}"] = default.default_factory
                value = f"_make_{name}() if {name} is _{name} else {name}"
        else:
            parameters.append(name)
        lines.append(f" _set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    code = f"def __init__({', '.join(parameters)}):\n" + ("\n".join(lines) or " pass")
    exec(code, known)  # noqa: S102 (built from the names of fields alone, as dataclasses does)
    init = known["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init  # type: ignore[no-any-return]


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self.__record_content__(self) == self.__record_content__(other)


def _hash(self: Any) -> int:
    return hash(self.__record_content__(self))


def _repr(self: Any) -> str:
    hidden = {name for name, d in self.__record_defaults__.items() if isinstance(d, _Field) and not d.repr}
    shown = ", ".join(f"{n}={getattr(self, n)!r}" for n in self.__record_fields__ if n not in hidden)
    return f"{self.__class__.__qualname__}({shown})"


def _refuse(_: Any, name: str, *value: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")


def _getstate(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self.__record_fields__])


def _setstate(self: Any, state: tuple[Any, ...]) -> None:
    for name, value in zip(self.__record_fields__, state, strict=True):
        _set(self, name, value)


class _DataclassFields:
    """What makes `dataclasses.fields`, `asdict` and `replace` take a record; built when one of them asks."""

    def __get__(self, _: object, cls: Any) -> dict[str, Any]:
        import dataclasses

        rows = []
        for name in cls.__record_fields__:
            default = cls.__record_defaults__.get(name, dataclasses.MISSING)
            if isinstance(default, _Field):
                factory = default.default_factory or dataclasses.MISSING
                told = dataclasses.field(default_factory=factory, repr=default.repr)  # type: ignore[arg-type]
            else:
                told = dataclasses.field(default=default)
            rows.append((name, cls.__annotations__[name], told))
        made = dataclasses.make_dataclass(cls.__name__, rows, kw_only=True)
        cls.__dataclass_fields__ = made.__dataclass_fields__  # type: ignore[attr-defined]
        return cls.__dataclass_fields__  # type: ignore[no-any-return]
