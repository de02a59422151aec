"""Sizes of files and functions, and what must not stand inside a function."""

import os
import re
import subprocess

from tidy_rules.layers import layer_of
from tidy_rules.tree import Finding, Rule

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70

# With what a function of a layer begins, if not with its file's name.
PREFIXES = {
    "base": ("ts_",),
    "base/io": ("ts_",),
    "net": ("net_", "ts_"),
    "cluster-cfg": ("cfg_", "reg_"),
    "cluster-cfg/io": ("cfg_",),
    "heartbeat": ("hb_",),
    "heartbeat/io": ("hb_",),
    "replicator": ("repl_",),
    "replicator/io": ("repl_",),
    "services": ("svc_", "kv_", "resp_", "netctl_", "agent_", "http_"),
    "services/io": ("svc_", "front_", "resp_", "http_"),
    "services/agent/io": ("agent_",),
    "vsan-witness": ("witness_",),
    "vsan-witness/io": ("witness_",),
    "daemon": ("nicd_", "replica_", "daemon_"),
    "cli": ("cli_",),
    "lab": ("lab_",),
    "tests/lincheck": ("lin_",),
    "tests/lincheck/io": ("lin_",),
}


def functions(tree, only_global=False):
    """(file, name, first line, last line) of every C function, as ctags sees them."""
    paths = [f.path for f in tree.c_files()]
    if not paths:
        return
    result = subprocess.run(
        ["ctags", "--options=NONE", "--languages=C", "--langmap=C:.c.h", "--kinds-C=f", "-x",
         "--_xformat=%n\t%{end}\t%{file}\t%N\t%F", "-L", "-"],
        input="\n".join(paths), capture_output=True, text=True, check=True, cwd=tree.root)
    for line in result.stdout.splitlines():
        first, last, scope, name, path = line.split("\t")
        if last and not (only_global and scope == "file"):
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


def check_prefix(tree):
    for file, name, first, _ in functions(tree, only_global=True):
        prefixes = PREFIXES.get(layer_of(file.path))
        if not file.path.endswith(".c") or prefixes is None or name == "main":
            continue
        # journal_writer.c and journal_index.c are parts of journal.
        stem = re.split(r"[^a-z0-9]+", os.path.basename(file.path)[:-len(".c")])[0] + "_"
        if not name.startswith(prefixes + (stem,)):
            yield Finding(file.path, first, f"{name}() is visible to all: make it static, or begin "
                          "it with " + " or ".join(prefixes + (stem,)))


RULES = [
    Rule("file-size", f"files have at most {FILE_LINES_MAX} lines", check_file_size,
         bad=[{"net/x.c": "int a;\n" * (FILE_LINES_MAX + 1)}],
         good=[{"net/x.c": "int a;\n" * FILE_LINES_MAX}]),
    Rule("function-size", f"functions have at most {FUNCTION_LINES_MAX} lines",
         check_function_size,
         bad=[{"net/x.c": "int f(void)\n{\n" + "    g();\n" * FUNCTION_LINES_MAX + "}\n"}],
         good=[{"net/x.c": "int f(void)\n{\n" + "    g();\n" * (FUNCTION_LINES_MAX - 3) + "}\n"}]),
    Rule("prefix", "what others can see bears its module's prefix", check_prefix,
         bad=[{"net/x.c": "int helper(void)\n{\n    return 1;\n}\n"}],
         good=[{"net/x.c": "int net_help(void)\n{\n    return 1;\n}\n"},
               {"net/x.c": "int x_help(void)\n{\n    return 1;\n}\n"},
               {"net/x.c": "static int helper(void)\n{\n    return 1;\n}\n"}]),
    Rule("ifdef", "no preprocessor branch inside a function", check_ifdef,
         bad=[{"net/x.c": "int f(void)\n{\n#ifdef A\n    g();\n#endif\n}\n"}],
         good=[{"net/x.c": "#ifdef A\nint f(void)\n{\n    g();\n}\n#endif\n"}]),
]
