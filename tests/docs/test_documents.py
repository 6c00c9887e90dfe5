"""Man pages, the command reference, guides and schemas: whole, and true."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

import generated
from budget.schema import SCHEMAS
from docs.shells import need
from generate.commands import commands

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS = [c.name for c in commands()]
BY_NAME = {c.name: c for c in commands()}
JQ = re.findall(r"```sh\n((?:(?!```).)*?\bjq\b.*?)```", (DOCS / "guides" / "jq.md").read_text(), re.DOTALL)


def plain(roff):
    return re.sub(r"\\f[BIR]|\\&", "", roff).replace("\\-", "-")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_man_page_has_every_option_of_its_command(name):
    text = plain((ROOT / "man" / f"{BY_NAME[name].page}.1").read_text())
    words = set(re.split(r"[\s,]+", text))
    for option in BY_NAME[name].options:
        assert words >= set(option.every_spelling), option.name
        assert not option.help or " ".join(option.help.split())[:20] in text.replace("\\(aq", "'").replace(
            "\\(ga", "`"
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_man_renders_a_page_without_warnings(name):
    page = ROOT / "man" / f"{BY_NAME[name].page}.1"
    command = [need("man"), "--warnings", "-E", "UTF-8", "-Tutf8", "-l", page]
    environment = {"MANWIDTH": "80", "PATH": "/usr/bin:/bin"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert run.stderr == ""
    assert BY_NAME[name].page in run.stdout


def test_every_command_and_option_has_a_sentence_of_help():
    silent = [(c.name, o.name) for c in commands() for o in c.options if not o.help]
    silent += [(c.name, a.name) for c in commands() for a in c.arguments if not a.help]
    silent += [(c.name, "") for c in commands() if not c.help or not c.summary]
    assert not silent


def test_the_command_reference_has_every_command_and_option():
    text = (DOCS / "commands.md").read_text()
    for command in commands():
        assert not command.words or f'<a name="{command.page}">' in text
        for option in command.options:
            if command.words:
                for spelling in option.every_spelling:
                    assert f"`{spelling}`" in text, (command.name, spelling)


def test_what_the_parser_says_is_what_the_files_say():
    stale = [path for path, text in generated._from_parser().items() if not generated.is_fresh(path, text)]
    assert not stale, "run python -m tests.generated"


def test_every_schema_is_checked_in_and_nothing_else():
    names = {path.name.partition(".")[0] for path in (DOCS / "schema").glob("*.json")}
    assert names == set(SCHEMAS)


@pytest.mark.parametrize("path", sorted((DOCS / "schema").glob("*.json")), ids=lambda p: p.name)
def test_a_schema_names_itself_and_refuses_unknown_keys(path):
    schema = json.loads(path.read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["type"] == "object"


def test_every_schema_that_an_answer_names_is_there():
    source = "".join(path.read_text() for path in (ROOT / "src" / "budget").rglob("*.py"))
    named = set(re.findall(r'"budget/([a-z-]+)/v\d+"', source))
    assert named <= set(SCHEMAS), named - set(SCHEMAS)


@pytest.mark.parametrize("recipe", JQ, ids=[recipe.split("|")[0].strip() for recipe in JQ])
def test_a_jq_recipe_runs_with_the_real_jq(recipe, tmp_path):
    need("jq")
    environment = generated.environment(str(tmp_path))
    run = subprocess.run(
        ["bash", "-uo", "pipefail", "-c", recipe],
        capture_output=True, text=True, check=False, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert "jq:" not in run.stderr
    assert run.returncode in (0, 3), run.stderr
    assert run.stdout.strip()


def anchors(path):
    """What a link to a page can end in: its headings as GitHub names them, and the anchors that it sets itself."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a (?:name|id)="([^"]+)"', text))


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text):
        if "://" not in target:
            page = path.parent / target if target else path
            assert page.exists(), target
            assert not anchor or anchor in anchors(page), f"{target}#{anchor}"


def test_every_page_is_in_the_index():
    index = (DOCS / "README.md").read_text()
    pages = {str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md")} - {"README.md"}
    assert not {page for page in pages if f"({page})" not in index}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_block_of_output_is_filled_and_holds_no_mistake(path):
    for match in generated._OUTPUT.finditer(path.read_text()):
        assert match["body"].strip(), match["head"]
        assert "Traceback" not in match["body"]
        assert "no such" not in match["body"].lower()


def test_pictures_show_what_their_command_shows():
    from generate.pictures import COMMANDS as PICTURES
    from generate.pictures import cells

    for name, command in PICTURES.items():
        shown = "".join(char for _, _, char, _ in sorted(cells((DOCS / "pictures" / name).read_text())))
        assert shown.startswith(f"${command.replace(' ', '')}")
        assert "error" not in shown


def test_the_wheel_installs_every_completion_and_the_man_pages():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    installed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    files = {f"completions/{path.name}" for path in (ROOT / "completions").iterdir()}
    assert set(installed) == files | {"man"}
    table = (DOCS / "completions.md").read_text()
    assert all(target in table for target in installed.values())
