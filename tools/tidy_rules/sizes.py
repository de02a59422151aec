"""Sizes of files and functions, and what must not stand inside a function."""

import re
import subprocess

from tidy_rules.tree import Finding, Rule

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70


def functions(tree):
    """(file, name, first line, last line) of every C function, as ctags sees them."""
    paths = [f.path for f in tree.c_files()]
    if not paths:
        return
    result = subprocess.run(
        ["ctags", "--options=NONE", "--languages=C", "--langmap=C:.c.h", "--kinds-C=f", "-x",
         "--_xformat=%n\t%{end}\t%N\t%F", "-L", "-"],
        input="\n".join(paths), capture_output=True, text=True, check=True, cwd=tree.root)
    for line in result.stdout.splitlines():
        first, last, name, path = line.split("\t")
        if last:
            yield tree.files[path], name, int(first), int(last)


def check_file_size(tree):
    for file in tree.code_files():
        if len(file.lines) > FILE_LINES_MAX:
            yield Finding(file.path, len(file.lines), f"{len(file.lines)} lines, more than "
                          f"{FILE_LINES_MAX}: split it by role")


def check_function_size(tree):
    for file, name, first, last in functions(tree):
        # A test program's main is the list of its tests.
        if name == "main" and file.path.startswith("tests/unit/"):
            continue
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield Finding(file.path, first, f"{name}() has {last - first + 1} lines, more than "
                          f"{FUNCTION_LINES_MAX}: parents branch, leaves compute")


def check_ifdef(tree):
    pattern = re.compile(r"\s*#\s*(if|ifdef|ifndef|else|elif)\b")
    for file, name, first, last in functions(tree):
        for number in range(first, last + 1):
            if pattern.match(file.lines[number - 1]):
                yield Finding(file.path, number, f"a preprocessor branch inside {name}(): make two "
                              "functions of it")


RULES = [
    Rule("file-size", f"files have at most {FILE_LINES_MAX} lines", check_file_size,
         bad=[{"net/x.c": "int a;\n" * (FILE_LINES_MAX + 1)}],
         good=[{"net/x.c": "int a;\n" * FILE_LINES_MAX}]),
    Rule("function-size", f"functions have at most {FUNCTION_LINES_MAX} lines",
         check_function_size,
         bad=[{"net/x.c": "int f(void)\n{\n" + "    g();\n" * FUNCTION_LINES_MAX + "}\n"}],
         good=[{"net/x.c": "int f(void)\n{\n" + "    g();\n" * (FUNCTION_LINES_MAX - 3) + "}\n"}]),
    Rule("ifdef", "no preprocessor branch inside a function", check_ifdef,
         bad=[{"net/x.c": "int f(void)\n{\n#ifdef A\n    g();\n#endif\n}\n"}],
         good=[{"net/x.c": "#ifdef A\nint f(void)\n{\n    g();\n}\n#endif\n"}]),
]
