"""Checks that other programs do: clang-format, shellcheck, Python's own parser."""

import ast
import os
import re
import subprocess

from tidy_rules.tree import Finding, Rule

# A fixture has no .clang-format above it: the repository's is named here.
STYLE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                     ".clang-format")
CLANG_FORMAT = "clang-format-14"
BATCH = 40


def check_format(tree):
    paths = [f.path for f in tree.c_files()]
    pattern = re.compile(r"^(.*?):(\d+):\d+: (?:error|warning): ")
    for start in range(0, len(paths), BATCH):
        result = subprocess.run(
            [CLANG_FORMAT, f"--style=file:{STYLE}", "--dry-run", *paths[start:start + BATCH]],
            capture_output=True, text=True, check=False, cwd=tree.root)
        seen = set()
        for line in result.stderr.splitlines():
            match = pattern.match(line)
            if match and match.group(1) not in seen:
                seen.add(match.group(1))
                yield Finding(match.group(1), int(match.group(2)),
                              f"not formatted: {CLANG_FORMAT} -i {match.group(1)}")
        if result.returncode != 0:
            yield Finding(paths[start], 1, f"{CLANG_FORMAT} failed: {result.stderr[:200]}")


def check_shell(tree):
    for file in tree.files.values():
        if not file.is_shell:
            continue
        result = subprocess.run(["shellcheck", "--format=gcc", file.path], capture_output=True,
                                text=True, check=False, cwd=tree.root)
        for line in result.stdout.splitlines():
            _, number, _, message = line.split(":", 3)
            yield Finding(file.path, int(number), message.strip())


def check_python(tree):
    for file in tree.files.values():
        if not file.is_python:
            continue
        try:
            ast.parse(file.text, file.path)
        except SyntaxError as error:
            yield Finding(file.path, error.lineno or 1, f"not Python: {error.msg}")
        for number, line in enumerate(file.lines, 1):
            if len(line) > 100:
                yield Finding(file.path, number, "longer than 100 columns")


RULES = [
    Rule("clang-format", "C files are formatted", check_format,
         bad=[{"net/x.c": "int  a;\n"}], good=[{"net/x.c": "int a;\n"}]),
    Rule("shellcheck", "shell scripts pass shellcheck", check_shell,
         bad=[{"x.sh": "#!/bin/sh\necho $1\n"}], good=[{"x.sh": "#!/bin/sh\necho \"$1\"\n"}]),
    Rule("python", "Python parses, in lines of at most 100 columns", check_python,
         bad=[{"x.py": "def f(:\n"}, {"x.py": "a = 1  # " + "x" * 100 + "\n"}],
         good=[{"x.py": "a = 1\n"}]),
]
