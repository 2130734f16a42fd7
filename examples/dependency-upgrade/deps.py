#!/usr/bin/env python3
"""All that knows pip: lists outdated pins of requirements.txt, a file each; installs one and moves its pin.

Input: JSON on standard input, {"do": "list"} or {"do": "bump", "todo": ".upgrades/NAME.todo"}.
"""

import json
import pathlib
import re
import subprocess
import sys

PINS = pathlib.Path("requirements.txt")
FOLDER = pathlib.Path(".upgrades")


def pip(*words):
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
    if done.returncode:
        print(f"pip {words[0]}: {done.stderr.strip()[-500:]}")  # on stdout: the report quotes it
        sys.exit(1)
    return done.stdout


def pinned(name):
    return re.compile(rf"^({re.escape(name)}\s*==\s*)\S+", re.IGNORECASE | re.MULTILINE)


def list_outdated():
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")  # notes of a run: never part of a commit
    for old in FOLDER.glob("*.*"):
        if old.name != ".gitignore":
            old.unlink()
    pins = PINS.read_text()
    for one in json.loads(pip("list", "--outdated", "--format", "json")):
        if pinned(one["name"]).search(pins):
            (FOLDER / f"{one['name']}.todo").write_text(f"{one['name']} {one['version']} {one['latest_version']}\n")
            print(one["name"], one["version"], "->", one["latest_version"])


def bump(todo):
    name, before, after = pathlib.Path(todo).read_text().split()
    pip("install", "--quiet", f"{name}=={after}")
    PINS.write_text(pinned(name).sub(rf"\g<1>{after}", PINS.read_text()))
    print(f"{name} {before} -> {after}")


given = json.load(sys.stdin)
if given["do"] == "list":
    list_outdated()
else:
    bump(given["todo"])
