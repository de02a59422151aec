"""Left-overs, white space, machine paths, header guards: what any reader trips over."""

import os
import re

from tidy_rules.tree import Finding, Rule

# Not our text: fuzz seeds are bytes, the licence is quoted.
VERBATIM = re.compile(r"^(tests/fuzz/corpus/|LICENSE$)")

# Written apart, so that this file passes its own rules.
LEFT_OVERS = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b"
                        r"|(?i:\bnot (yet )?imple" r"mented\b)"
                        r"|^\s*#\s*if\s+0\b"
                        r"|^(<{7}|>{7}) ")
MACHINE_PATHS = re.compile(r"(?<![\w.-])/(wo" r"rk|ro" r"ot|ho" r"me/\w+)/")
URL = re.compile(r"\bhttps?://([\w.-]+)")
URL_HOSTS = re.compile(r"(^|\.)(apache|debian|doi|example|github|ietf|kernel|openssl|redis|"
                       r"rfc-editor|usenix|w3|libuv|llvm|gnu|cmake|microsoft)\.(com|io|org|dev)$"
                       r"|^(localhost|127(\.\d+){3})$")


# What a fuzzer, a debugger, patch or a compiler leaves in the folder where it ran.
LEFT_FILES = re.compile(r"(^|/)((crash|leak|oom|timeout|slow-unit)-[^/]*|core(\.\d+)?|a\.out"
                        r"|[^/]*\.(orig|rej|o|a|so|gcda|gcno|profraw|log))$")


def our_files(tree):
    return [f for f in tree.files.values() if not VERBATIM.match(f.path)]


def check_left_overs(tree):
    for file in our_files(tree):
        for number, line in enumerate(file.lines, 1):
            match = LEFT_OVERS.search(line)
            if match:
                yield Finding(file.path, number, f"a left-over: {match.group().strip()}")


def check_left_files(tree):
    for path in tree.paths:
        if LEFT_FILES.search(path) and os.path.isfile(os.path.join(tree.root, path)):
            yield Finding(path, 1, "a file that a tool left behind (a fuzzer's find belongs into "
                          "tests/fuzz/corpus, with a name that says what it is)")


def check_white_space(tree):
    for file in our_files(tree):
        for number, line in enumerate(file.lines, 1):
            if line != line.rstrip():
                yield Finding(file.path, number, "white space at the end of the line")
            if "\t" in line:
                yield Finding(file.path, number, "a tab")
        if file.text and not file.text.endswith("\n"):
            yield Finding(file.path, len(file.lines), "no newline at the end of the file")
        if file.text.endswith("\n\n"):
            yield Finding(file.path, len(file.lines), "empty lines at the end of the file")


def check_machine_paths(tree):
    for file in our_files(tree):
        for number, line in enumerate(file.lines, 1):
            if MACHINE_PATHS.search(line):
                yield Finding(file.path, number, "a path of one machine")
            for host in URL.findall(line):
                if not URL_HOSTS.search(host):
                    yield Finding(file.path, number, f"{host} is not a host that everybody "
                                  "reaches (known ones: tools/tidy_rules/text.py)")


def check_header(tree):
    for file in tree.c_files():
        if not file.path.endswith(".h"):
            continue
        guard = re.sub(r"[^A-Za-z0-9]", "_", file.path).upper()
        if not re.search(rf"^#ifndef {guard}\n#define {guard}\n", file.text, re.MULTILINE):
            yield Finding(file.path, 1, f"wants the include guard {guard}")
        if not file.text.startswith("/*"):
            yield Finding(file.path, 1, "wants a comment on top: purpose and neighbours")


def check_executable(tree):
    for file in tree.files.values():
        mode = os.stat(os.path.join(tree.root, file.path)).st_mode
        if bool(mode & 0o100) != bool(file.first_line):
            yield Finding(file.path, 1, "a program has both a first line `#!…` and the executable "
                          "bit, other files neither")


def check_words(tree):
    words = re.compile(r"(?<![a-z])(slave|leader|standby)s?(?![a-z])",
                       re.IGNORECASE)
    for file in tree.c_files():
        if file.path.startswith(("tests/", "lab/")):
            continue
        for number, line in file.code_lines():
            match = words.search(line)
            if match:
                yield Finding(file.path, number, f"{match.group(1)} is not a word of the glossary "
                              "(docs/ARCHITECTURE.md)")


RULES = [
    Rule("left-files", "no file that a tool left behind", check_left_files,
         bad=[{"crash-fuzz_resp": "x"}, {"base/buf.c.orig": "int x;\n"}],
         good=[{"tests/unit/test_crash.c": "int x;\n", "base/core.h": "int x;\n"}]),
    Rule("left-overs", "no reminders, no dead code", check_left_overs,
         bad=[{"net/x.c": "/* TO" "DO: more */\n"}, {"docs/x.md": "This is not yet imple"
                                                       "mented.\n"},
              {"net/x.c": "#if 0\n#endif\n"}],
         good=[{"net/x.c": "int todos;\n#if 01\n"},
               {"tests/fuzz/corpus/x/a": "X" "XX"}]),
    Rule("white-space", "no tabs, no trailing white space, one newline at the end",
         check_white_space,
         bad=[{"net/x.c": "int a; \n"}, {"x.md": "\ta\n"}, {"x.md": "a"}, {"x.md": "a\n\n"},
              {"x.md": "a\r\n"}],
         good=[{"net/x.c": "int a;\n"}, {"tests/fuzz/corpus/x/a": "a\t"}]),
    Rule("machine-paths", "nothing that exists on one machine only", check_machine_paths,
         bad=[{"x.md": "see /wo" "rk/main\n"}, {"x.c": "\"/ro" "ot/x\"\n"},
              {"x.md": "http:" "//pkg.intranet.lan/debian\n"}],
         good=[{"x.md": "the homework/dir, https://www.apache.org/licenses\n"},
               {"x.md": "http://127.77.1.1:80/\n"}]),
    Rule("header", "a header has a comment on top and a guard named after its path", check_header,
         bad=[{"net/x.h": "/* x */\n#pragma once\n"},
              {"net/x.h": "#ifndef NET_X_H\n#define NET_X_H\n#endif\n"},
              {"net/x.h": "/* x */\n#ifndef X_H\n#define X_H\n#endif\n"}],
         good=[{"cluster-cfg/x.h": "/* x */\n#ifndef CLUSTER_CFG_X_H\n#define CLUSTER_CFG_X_H\n"
                "#endif\n"}]),
    Rule("executable", "programs are executable, other files are not", check_executable,
         bad=[{"tools/x.plain": "#!/bin/sh\n"}],
         good=[{"tools/x": "#!/bin/sh\n", "tools/y": "y\n"}]),
    Rule("words", "the glossary's words only", check_words,
         bad=[{"net/x.c": "int slave_count;\n"}, {"net/x.h": "struct leader;\n"}],
         good=[{"net/x.c": "/* Redis calls it slave */ char *a = \"slave\"; int leading;\n"}]),
]
