"""completions/budget.bash: plain bash, without the bash-completion package."""

from __future__ import annotations

from generate.commands import Command, Option, commands, root
from generate.values import ADDRESSES, architectures, gpus, machines, samples

HEAD = """\
# bash completion for budget. Written by `python -m tests.generated` from the parser; do not edit.
# To use it: source this file, or put it into $XDG_DATA_HOME/bash-completion/completions/budget.
"""

BODY = r"""
# bash splits words at : where COMP_WORDBREAKS says so; what stands before the last one is not to be offered again
_budget_offer() {
    local cut=''
    [[ $COMP_WORDBREAKS == *:* ]] && cut=${cur%"${cur##*:}"}
    COMPREPLY+=("${1#"$cut"}")
}

# words that start with $cur
_budget_words() {
    local word
    for word in $1; do
        [[ $word == "$cur"* ]] && _budget_offer "$word"
    done
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
}

# files whose name ends in $1, and folders; without $1 every file; of a list, the last
_budget_files() {
    local path part=${cur##*,}
    while IFS= read -r path; do
        [[ -z $1 || -d $path || $path == *"$1" ]] && _budget_offer "${cur%"$part"}$path"
    done < <(compgen -f -- "$part")
    compopt -o filenames 2>/dev/null
}

_budget_kind() {
    case $1 in
        choices) _budget_words "$2" ;;
        model) _budget_words "$_budget_models"; _budget_files .gguf ;;
        machine) _budget_words "$_budget_machines"; _budget_files .json ;;
        gpu) _budget_words "$_budget_gpus" ;;
        arch) _budget_words "$_budget_architectures" ;;
        program) _budget_words "$(compgen -c -- "$cur" | grep -F llama)"; _budget_files '' ;;
        folder) _budget_files / ;;
        gate) _budget_files .toml ;;
        file) _budget_files '' ;;
    esac
}

_budget() {
    local cur line word path='' option='' kind='' choices='' i n_values=1
    local -a words
    COMPREPLY=()
    line=${COMP_LINE:0:COMP_POINT}
    cur=${line##*[[:space:]]}
    line=${line%"$cur"}
    local set_f=$-
    set -f
    words=($line)
    [[ $set_f == *f* ]] || set +f
    for ((i = 1; i < ${#words[@]}; i++)); do
        word=${words[i]}
        if [[ $word == -- ]]; then
            if [[ $cur == -* ]]; then _budget_words "$_budget_llama"; else _budget_files ''; fi
            return
        fi
        if [[ $option ]]; then ((--n_values)) || option=''; continue; fi
        if [[ $word == -* ]]; then
            _budget_value "$path" "$word" && option=$word
        elif _budget_is_command "${path:+$path }$word"; then
            path="${path:+$path }$word"
        fi
    done
    if [[ -z $option && $cur == --*=* ]]; then option=${cur%%=*}; cur=${cur#*=}; fi
    if [[ $option ]]; then
        _budget_value "$path" "$option" && _budget_kind $kind "$choices"
        return
    fi
    if [[ $cur == -* ]]; then _budget_words "$(_budget_options "$path")"; return; fi
    _budget_arguments "$path"
}

complete -F _budget budget
"""


def script() -> str:
    """The whole file."""
    shared = _shared()
    parts = [
        HEAD,
        _list("_budget_models", (*samples(), *ADDRESSES)),
        _list("_budget_gpus", gpus()),
        _list("_budget_machines", machines()),
        _list("_budget_architectures", architectures()),
        _list("_budget_llama", [s for o in shared for s in o.every_spelling]),
        _is_command(),
        _options(shared),
        _values(),
        _arguments(),
        BODY.lstrip("\n"),
    ]
    return "\n".join(parts)


def _list(name: str, words: object) -> str:
    return f"{name}='{' '.join(words)}'\n"  # type: ignore[call-overload]


def _shared() -> list[Option]:
    """llama.cpp's options."""
    most = max(commands(), key=lambda c: len(c.options))
    return [o for o in most.options if o.is_llama]


def _key(command: Command) -> str:
    return f"'{' '.join(command.words)}'"


def _is_command() -> str:
    names = "|".join(_key(c) for c in commands() if c.words)
    return (
        f"_budget_is_command() {{\n    case $1 in\n        {names}) return 0 ;;\n    esac\n    return 1\n}}\n"
    )


def _options(shared: list[Option]) -> str:
    spelled = {s for o in shared for s in o.every_spelling}
    lines = []
    for command in commands():
        words = [s for o in command.options for s in o.every_spelling]
        tail = " $_budget_llama" if spelled <= set(words) else ""
        own = " ".join(w for w in words if not (tail and w in spelled))
        lines.append(f'        {_key(command)}) echo "{own}{tail}" ;;')
    return "\n".join(["_budget_options() {", "    case $1 in", *lines, "    esac", "}", ""])


def _values() -> str:
    """Option to what completes it; fails for a switch."""
    kinds: dict[str, dict[tuple[str, str, int], list[str]]] = {}
    for command in commands():
        for option in command.options:
            for spelling in option.every_spelling:
                known = kinds.setdefault(spelling, {})
                kind = "switch" if option.metavar is None else option.values or "none"
                known.setdefault((kind, " ".join(option.offered), option.n_values), []).append(
                    " ".join(command.words)
                )
    special: list[str] = []
    common: dict[tuple[str, str, int], list[str]] = {}
    for spelling, known in kinds.items():
        first, *others = sorted(known.items(), key=lambda item: -len(item[1]))
        common.setdefault(first[0], []).append(spelling)
        for value, where in others:
            pattern = "|".join(f"'{path} {spelling}'" for path in where)
            special.append(f"        {pattern}) {_answer(value)} ;;")
    lines = [f"        {_patterns(s)}) {_answer(v)} ;;" for v, s in common.items()]
    head = [
        "# sets kind and choices of the value that option $2 of command $1 takes; fails where it takes none",
        "_budget_value() {",
        "    choices='' n_values=1",
        '    case "$1 $2" in',
    ]
    return "\n".join([*head, *special, *lines, "        *) return 1 ;;", "    esac", "}", ""])


def _patterns(spellings: list[str]) -> str:
    return "|".join(f"*' {spelling}'" for spelling in spellings)


def _answer(value: tuple[str, str, int]) -> str:
    kind, choices, n_values = value
    if kind == "switch":
        return "return 1"
    more = f" n_values={n_values}" if n_values != 1 else ""
    return f"kind={kind}" + (f" choices='{choices}'" if choices else "") + more


def _arguments() -> str:
    lines = []
    for command in commands():
        if command.commands:
            lines.append(
                f"        {_key(command)}) _budget_words '{' '.join(c.words[-1] for c in command.commands)}' ;;"
            )
        elif command.arguments:
            argument = command.arguments[0]
            choices = f" '{' '.join(argument.choices)}'" if argument.choices else ""
            if argument.values:
                lines.append(f"        {_key(command)}) _budget_kind {argument.values}{choices} ;;")
    assert root().commands
    return "\n".join(["_budget_arguments() {", "    case $1 in", *lines, "    esac", "}", ""])
