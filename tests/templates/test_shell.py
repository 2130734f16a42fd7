"""A value in a command is data: in every place where it may stand, whatever it holds, under dash and bash."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runner.templates import Scope, TemplateError, compile_command

# Of two names for one program, one.
FOUND = [path for name in ("sh", "bash", "dash") if (path := shutil.which(name))]
SHELLS = {os.path.basename(os.path.realpath(path)): path for path in FOUND}

VALUES = st.text(
    alphabet=st.one_of(
        st.sampled_from(list("'\"\\$`!#&|;<>(){}[]*?~ \t\n\r=-%+@^,.:/aEOFx")),
        st.characters(codec="utf-8", exclude_characters="\0"),
    ),
    max_size=30,
)
AWKWARD = [
    "",
    " ",
    "\n",
    "\n\n",
    "a\n",
    "x",
    "-n",
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "\\",
    "\\'",
    "a b  c",
    "*",
    "~",
    "EOF",
    "\nEOF\ntouch pwned\n",
    "{{x}}",
    "${IFS}",
    "!!",
    "\r\n",
    "\t",
    "%s%n",
    "é日本\U0001f600",
]

CONTEXTS = {
    "bare": "args {{x}}",
    "twice": "args {{x}} {{x}}",
    "in a word": "args pre{{x}}post",
    "two in a word": "args {{x}}{{x}}",
    "double quotes": 'args "{{x}}"',
    "in double quotes": 'args "a {{x}} b"',
    "single quotes": "args '{{x}}'",
    "in single quotes": "args 'it {{x}} is'",
    "mixed quotes": """args 'a'"{{x}}"{{x}}'{{x}}'""",
    "assignment": 'v={{x}}; args "$v"',
    "quoted assignment": 'v="<{{x}}>"; args "$v"',
    "export": 'export v={{x}}; args "$v"',
    "substitution": "args \"$(printf '%sE' {{x}})\"",
    "quoted substitution": 'args "$(printf \'%sE\' "{{x}}")"',
    "nested substitution": 'args "$(printf "%sE" "$(printf \'%sE\' \'{{x}}\')")"',
    "here-document": 'args "$(cat <<EOF\n[{{x}}]\nEOF\n)"',
    "quoted here-document": "args \"$(cat <<'EOF'\n[{{x}}] $HOME `date` \\ \\\\ $\nEOF\n)\"",
    "tabbed here-document": 'args "$(cat <<-EOF\n\t[{{x}}]\n\tEOF\n)"',
    "two here-documents": 'cat > a <<A; cat > b <<"B"\n[{{x}}]\nA\n[{{x}}]$\nB\nargs "$(cat a)" "$(cat b)"',
    "here-document and more": 'cat > a <<E && args "$(cat a)"\n[{{x}}]\nE\n',
    "case word": "case {{x}} in *) args {{x}};; esac",
    "case pattern": "case v in {{x}}) args no;; (*) args {{x}};; esac",
    "for": 'for i in a {{x}} b; do args "$i"; done',
    "if": "if test -n {{x}}; then args {{x}}; else args empty; fi",
    "and or": "false || true && args {{x}}",
    "subshell": "(args {{x}})",
    "group": "{ args {{x}}; }",
    "function": 'f() { args "$@"; }; f {{x}} y',
    "pipe": 'printf %s {{x}} | cat > a; args "$(cat a; echo E)"',
    "redirection": "args {{x}} > /dev/null 2>&1; args {{x}}",
    "comment before": "# don't {{x}}\nargs {{x}}",
    "comment behind": "args {{x}} # it's {{x}}\nargs two",
    "hash in a word": "args a#{{x}}",
    "after an expansion": 'v=1; args "${v#x}{{x}}" ${v}{{x}}',
    "continued line": "args \\\n  {{x}} \\\n  b",
    "arithmetic beside": "args $((1 + 2)) {{x}}",
    "braces beside": 'v="a b"; args "${v%% *}" {{x}} "${#v}"',
    "sh -c with arguments": 'sh -c \'printf "%s\\0" "$1" >> out\' sh {{x}}',
    "while": "while :; do args {{x}}; break; done",
    "not": "! args {{x}}",
    "after --": "args -- {{x}}",
}
"""Commands in which `args` writes its arguments, and what stands in the place of a plain word must come out again."""


def run(shell: str, command: str, value: str, place: Path) -> list[bytes]:
    """What `args` was given when the shell ran the command."""
    compiled = compile_command(command, Scope({"x": value}), bash=shell == "bash")
    (place / "out").write_bytes(b"")
    script = 'args() { for _a in "$@"; do printf \'%s\\0\' "$_a" >> out; done; }\n' + compiled.script(place / "values")
    done = subprocess.run(
        [SHELLS[shell], "-c", script], cwd=place, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    assert done.stderr == b"", (script, done.stderr)
    assert not (place / "pwned").exists()
    return (place / "out").read_bytes().split(b"\0")[:-1]


def plainly(shell: str, command: str, place: Path, plain: str = "PLAIN") -> list[bytes]:
    """The same with a value that needs no care, put in as text."""
    (place / "out").write_bytes(b"")
    script = 'args() { for _a in "$@"; do printf \'%s\\0\' "$_a" >> out; done; }\n' + command.replace("{{x}}", plain)
    subprocess.run([SHELLS[shell], "-c", script], cwd=place, capture_output=True)
    return (place / "out").read_bytes().split(b"\0")[:-1]


def expected(context: str, answers: list[bytes], value: str) -> list[bytes]:
    """The plain answers with the value in the plain one's place."""
    data = value.encode()
    if context == "if" and not value:
        return [b"empty"]
    wanted = [answer.replace(b"PLAIN", data) for answer in answers]
    if context == "case pattern" and value == "v":
        return [b"no"]
    return wanted


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_value_never_changes_a_command(context: str, shell: str, tmp_path: Path) -> None:
    command = CONTEXTS[context]
    answers = plainly(shell, command, tmp_path)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(VALUES)
    def values(value: str) -> None:
        assert run(shell, command, value, tmp_path) == expected(context, answers, value), value

    for value in AWKWARD:
        values = example(value)(values)
    values()


REFUSED = {
    "arithmetic": ("echo $((1 + {{x}}))", "in arithmetic"),
    "arithmetic in quotes": ('echo "$((1 + {{x}}))"', "in arithmetic"),
    "arithmetic command": ("(( a = {{x}} ))", "in arithmetic"),
    "arithmetic for": ("for ((i = 0; i < {{x}}; i++)); do :; done", "in arithmetic"),
    "old arithmetic": ("echo $[{{x}}]", "in arithmetic"),
    "let": ("let a={{x}}", "in the code that 'let' runs"),
    "numeric comparison": ("[[ {{x}} -eq 1 ]]", "in an arithmetic comparison"),
    "test -v": ("[ -v {{x}} ]", "in an arithmetic comparison"),
    "subscript": ("a[{{x}}]=1", "in a subscript"),
    "array subscript": ("a=([{{x}}]=1)", "in a subscript"),
    "expansion": ("echo ${a:-{{x}}}", "inside '${…}'"),
    "expansion in quotes": ('echo "${a#{{x}}}"', "inside '${…}'"),
    "expansion in a here-document": ("cat <<E\n${a:-{{x}}}\nE\n", "inside '${…}'"),
    "variable's name": ("{{x}}=1 true", "in a variable's name"),
    "part of a variable's name": ("a{{x}}b=1", "in a variable's name"),
    "exported name": ("export {{x}}", "in a variable's name"),
    "read": ("read {{x}}", "in a variable's name"),
    "unset": ("unset {{x}}", "in a variable's name"),
    "for": ("for {{x}} in a; do :; done", "in a variable's name"),
    "printf -v": ("printf -v {{x}} a", "in a variable's name"),
    "integer": ("declare -i a={{x}}", "in the value of such a variable"),
    "eval": ("eval echo {{x}}", "in the code that 'eval' runs"),
    "alias": ("alias x={{x}}\nx", "in the code that 'alias' runs"),
    "eval quoted": ("eval 'echo {{x}}'", "in the code that 'eval' runs"),
    "sh -c": ("sh -c 'echo {{x}}'", "in the code that 'sh' runs"),
    "sh -ec": ('/bin/sh -ec "echo {{x}}"', "in the code that 'sh' runs"),
    "bash --norc -c": ("bash --norc -c {{x}}", "in the code that 'bash' runs"),
    "sudo sh -c": ("sudo -u me sh -c 'echo {{x}}'", "in the code that 'sh' runs"),
    "env sh -c": ("env A=1 sh -c 'echo {{x}}'", "in the code that 'sh' runs"),
    "find -exec sh -c": ("find . -exec sh -c 'echo {{x}}' ';'", "in the code that 'sh' runs"),
    "docker exec": ("docker exec box bash -lc 'echo {{x}}'", "in the code that 'bash' runs"),
    "ssh": ("ssh host ls {{x}}", "in the code that 'ssh' runs"),
    "assignments before": ("A=1 B=2 ssh host {{x}}", "in the code that 'ssh' runs"),
    "python -c": ('python3 -c "print({{x}})"', "in the code that 'python3' runs"),
    "python -Ic": ("python -Ic '{{x}}'", "in the code that 'python' runs"),
    "perl -e": ("perl -ne '{{x}}'", "in the code that 'perl' runs"),
    "node --eval": ("node --eval '{{x}}'", "in the code that 'node' runs"),
    "awk": ("awk '/{{x}}/ { print }' file", "in the code that 'awk' runs"),
    "sed": ("sed 's/a/{{x}}/' file", "in the code that 'sed' runs"),
    "sed -e": ("sed -n -e s/a/{{x}}/p file", "in the code that 'sed' runs"),
    "trap": ("trap 'rm {{x}}' EXIT", "in a trap"),
    "fed to sh": ("sh <<EOF\necho {{x}}\nEOF\n", "in the input of a shell or interpreter"),
    "quoted and fed": ("bash -s <<'EOF'\necho {{x}}\nEOF\n", "in the input of a shell or interpreter"),
    "fed to python": ("python3 - <<'EOF'\nprint({{x}})\nEOF\n", "in the input of a shell or interpreter"),
    "here-string": ("bash <<< {{x}}", "in the input of a shell or interpreter"),
    "piped to sh": ("echo {{x}} | sh", "in what is piped to a shell or interpreter"),
    "piped to xargs sh": ("echo {{x}} | xargs -I{} sh -c 'echo {}'", "in what is piped to a shell or interpreter"),
    "backticks": ("echo `echo {{x}}`", "between backticks"),
    "dollar": ('echo "${{x}}"', "right after a '$'"),
    "dollar in a word": ("echo a${{x}}", "right after a '$'"),
    "delimiter": ("cat <<{{x}}\na\nx\n", "in a here-document's delimiter"),
    "ansi-c": ("echo $'{{x}}'", "inside $'…'"),
    "open quote": ("echo 'a {{x}}", "a ' is not closed"),
    "open double quote": ('echo "a {{x}}', 'a " is not closed'),
    "open substitution": ("echo $(echo {{x}}", "')' is missing"),
    "endless here-document": ("cat <<EOF\n{{x}}\n", "has no end"),
    "pattern": ("echo +({{x}}|b)", "in a pattern"),
    "stray": ("echo {{x}} )", "a ')' closes nothing"),
    "inside a substitution": ('echo "$(eval {{x}})"', "in the code that 'eval' runs"),
    "inside a function": ("f() { eval {{x}}; }", "in the code that 'eval' runs"),
    "inside an if": ("if true; then eval {{x}}; fi", "in the code that 'eval' runs"),
    "inside a case": ("case a in a) eval {{x}};; esac", "in the code that 'eval' runs"),
    "behind an and": ("true && eval {{x}}", "in the code that 'eval' runs"),
}


@pytest.mark.parametrize("context", REFUSED)
def test_where_a_value_would_be_evaluated_again_it_is_refused(context: str) -> None:
    command, where = REFUSED[context]
    with pytest.raises(TemplateError) as caught:
        compile_command(command, Scope({"x": "v"}), bash=True)
    assert where in caught.value.message
    assert caught.value.hint


def test_a_dollar_quote_is_refused_in_sh_where_shells_differ() -> None:
    with pytest.raises(TemplateError, match="different ways"):
        compile_command("printf $'a' {{x}}", Scope({"x": "v"}))
    assert compile_command("printf $'a' {{x}}", Scope({"x": "v"}), bash=True).values == ("v",)


@pytest.mark.parametrize(
    "command",
    [
        "sh script.sh {{x}}",
        "python tool.py --name {{x}}",
        "echo {{x}} | python tool.py",
        "ssh-keygen -f {{x}}",
        "git commit -m {{x}} -- {{x}}",
        "awk -v x={{x}} '{ print x }' file",
        "[ {{x}} -eq 1 ]",
        "[[ {{x}} == a* && ! ( $b =~ (c|d) ) ]]",
        "read -r -p {{x}} answer",
        "local a={{x}}",
        "printf {{x}}",
        "a=({{x}} b)",
        "cat <(echo {{x}})",
        "echo ${#arr[@]} {{x}}",
        "time make {{x}}",
    ],
)
def test_ordinary_uses_are_not_refused(command: str) -> None:
    compiled = compile_command(command, Scope({"x": "v"}), bash=True)
    assert set(compiled.values) == {"v"}
    assert "{{" not in compiled.text


def test_a_value_that_leads_a_word_is_told_about() -> None:
    warnings = compile_command("rm {{x}}", Scope({"x": "v"})).warnings
    assert warnings == ("'{{x}}' leads a word: a value like -rf becomes an option; write -- before it",)
    for command in ("rm -- {{x}}", "git commit -m {{x}}", "echo {{x}}", "rm ./{{x}}", 'cd "{{x}}"'):
        assert compile_command(command, Scope({"x": "v"})).warnings == ()


def test_a_nul_is_refused_and_text_that_is_not_utf8_comes_through(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="NUL"):
        compile_command("echo {{x}}", Scope({"x": "a\0b"}))
    compiled = compile_command("printf %s {{x}} > out", Scope({"x": "a\udcff\udcc3"}))
    subprocess.run(["sh", "-c", compiled.script(tmp_path / "v")], cwd=tmp_path, check=True)
    assert (tmp_path / "out").read_bytes() == b"a\xff\xc3"


def test_values_reach_no_child_and_may_be_larger_than_an_argument(tmp_path: Path) -> None:
    value = "secret" * 500_000
    compiled = compile_command("env > env; printf %s {{x}} > out", Scope({"x": value}))
    subprocess.run(["sh", "-c", compiled.script(tmp_path / "v")], cwd=tmp_path, check=True)
    assert (tmp_path / "out").read_text() == value
    assert "secret" not in (tmp_path / "env").read_text()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "v").iterdir()} == {0o600}


def test_a_command_does_not_run_when_a_value_is_gone(tmp_path: Path) -> None:
    script = compile_command("touch ran; echo {{x}}", Scope({"x": "v"})).script(tmp_path / "v")
    (tmp_path / "v" / "value-1").unlink()
    assert subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True).returncode == 125
    assert not (tmp_path / "ran").exists()


def test_a_command_without_values_is_not_touched() -> None:
    text = "echo ${#arr[@]} `date` \\{{ 'open"
    compiled = compile_command(text, Scope({}))
    assert compiled.text == "echo ${#arr[@]} `date` {{ 'open"
    assert compiled.script(Path("/nowhere")) == compiled.text


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="ab \t\n'\"\\$`(){}[]<>|&;#=-!{x}", max_size=30),
    st.text(alphabet="a \n'\"\\$`(){}<>|&;#=", max_size=30),
)
def test_any_text_around_a_value_is_understood_or_refused(before: str, after: str) -> None:
    try:
        compiled = compile_command(f"{before} {{{{x}}}} {after}", Scope({"x": "v"}), bash=True)
    except TemplateError:
        pass  # with a sentence, as the tests above say
    else:
        assert "_runner_value_1" in compiled.text or "{{" in before + after


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(alphabet="ab \n'\"\\$(){}<|&;#=", max_size=14),
    st.text(alphabet="ab \n'\"\\$(){}<|&;#=", max_size=14),
    st.sampled_from([value for value in AWKWARD if "touch" in value]),
)
def test_no_text_around_it_makes_a_value_run(tmp_path: Path, before: str, after: str, value: str) -> None:
    for shell in SHELLS:
        try:
            compiled = compile_command(f"{before}{{{{x}}}}{after}", Scope({"x": value}), bash=shell == "bash")
        except TemplateError:
            continue
        script = compiled.script(tmp_path / "values")
        subprocess.run(
            [SHELLS[shell], "-c", script], cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, timeout=10
        )
        assert not (tmp_path / "pwned").exists(), script
