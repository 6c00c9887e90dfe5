from __future__ import annotations

from pathlib import Path

import pytest

from budget.errors import UsageError
from budget.store.config import config_path, load_config


def write(folder: Path, text: str) -> Path:
    path = folder / "budget" / "budget.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_lies_where_the_system_keeps_configuration():
    home = Path("home")
    assert config_path({"XDG_CONFIG_HOME": "xdg"}, home=home) == Path("xdg/budget/budget.toml")
    assert config_path({"APPDATA": "data"}, home=home) == Path("data/budget/budget.toml")
    assert config_path({}, home=home) == Path("home/.config/budget/budget.toml")


def test_the_file_is_read_where_it_is_and_missed_by_nobody(tmp_path):
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert load_config(env=env, home=tmp_path).value("headroom") == 0
    path = write(tmp_path, 'headroom = 0.1\nmax_resident = "20GiB"\n')
    found = load_config(env=env, home=tmp_path).settings["headroom"]
    assert (found.value, found.origin, found.where) == (0.1, "file", str(path))


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(path=tmp_path / "none.toml")


@pytest.mark.parametrize("text", ["headroom = ", "[unclosed", "headroom 0.1", '{"headroom": 0.1}'])
def test_what_is_not_toml_is_an_error_that_names_the_file(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match="not TOML"):
        load_config(path=path)
    assert path.read_text(encoding="utf-8") == text


def test_tables_are_no_options(tmp_path):
    with pytest.raises(UsageError, match="unknown key 'policy'"):
        load_config(path=write(tmp_path, "[policy]\nheadroom = 0.1\n"))
