"""Tests that test something: assertions, registered functions, corpora, reasons for skips."""

import os
import re

from tidy_rules.tree import Finding, Rule

SKIPPED = "tests/skipped.txt"


def unit_tests(tree):
    return [f for f in tree.c_files("tests/unit/")
            if os.path.basename(f.path).startswith("test_") and f.path.endswith(".c")]


def check_asserts(tree):
    for file in unit_tests(tree):
        if not re.search(r"(?<![\w])(\w*assert_\w+|fail|fail_msg)\s*\(", file.code):
            yield Finding(file.path, 1, "a unit test that asserts nothing")
        if "cmocka_run_group_tests" not in file.code:
            yield Finding(file.path, 1, "a unit test that runs nothing (cmocka_run_group_tests)")
        if not file.text.startswith("/*"):
            yield Finding(file.path, 1, "wants its goal in a comment on top")


def check_test_names(tree):
    pattern = re.compile(r"^static void (test_\w+)\(void \*\*\w+\)", re.MULTILINE)
    for file in unit_tests(tree):
        for match in pattern.finditer(file.code):
            if match.group(1).count("_") < 3:
                yield Finding(file.path, file.code.count("\n", 0, match.start()) + 1,
                              f"{match.group(1)}: want test_FUNCTION_CONDITION_RESULT")


def check_corpus(tree):
    for file in tree.c_files("tests/fuzz/"):
        name = os.path.basename(file.path)
        if not (name.startswith("fuzz_") and name.endswith(".c")):
            continue
        corpus = os.path.join("tests/fuzz/corpus", name[len("fuzz_"):-len(".c")])
        full = os.path.join(tree.root, corpus)
        if not os.path.isdir(full) or not os.listdir(full):
            yield Finding(file.path, 1, f"no seeds: put at least one file into {corpus}")


def check_skip_reasons(tree):
    file = tree.files.get(SKIPPED)
    for number, line in enumerate(file.lines if file else [], 1):
        if line.strip() and not line.startswith("#") and not re.match(r"[\w./+-]+: \S.{9,}", line):
            yield Finding(SKIPPED, number, "want `TEST-NAME: reason`")


RULES = [
    Rule("test-asserts", "a unit test has a goal, asserts and runs", check_asserts,
         bad=[{"tests/unit/test_x.c": "/* x */\nint main(void) { cmocka_run_group_tests(); }\n"},
              {"tests/unit/test_x.c": "/* x */\nint main(void) { assert_true(1); }\n"},
              {"tests/unit/test_x.c": "int main(void) { assert_true(cmocka_run_group_tests()); "
               "}\n"}],
         good=[{"tests/unit/test_x.c": "/* x */\nint main(void) { assert_true(1); "
                "return cmocka_run_group_tests(t, 0, 0); }\n"}]),
    Rule("test-names", "test_FUNCTION_CONDITION_RESULT", check_test_names,
         bad=[{"tests/unit/test_x.c": "static void test_it(void **state)\n{\n}\n"}],
         good=[{"tests/unit/test_x.c": "static void test_get_empty_fails(void **state)\n{\n}\n"}]),
    Rule("fuzz-corpus", "every fuzz target has seeds", check_corpus,
         bad=[{"tests/fuzz/fuzz_x.c": "int a;\n"}],
         good=[{"tests/fuzz/fuzz_x.c": "int a;\n", "tests/fuzz/corpus/x/seed": "x"}]),
    Rule("skip-reasons", "a test that may be skipped is listed with its reason",
         check_skip_reasons,
         bad=[{SKIPPED: "unit/test_x\n"}, {SKIPPED: "unit/test_x: no\n"}],
         good=[{SKIPPED: "# a comment\nunit/test_x: needs a kernel with netem\n"}]),
]
