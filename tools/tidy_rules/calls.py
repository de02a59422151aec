"""Calls and constructions that have no place here, or not in this folder."""

import re

from tidy_rules.layers import CORES, layer_of
from tidy_rules.sizes import functions
from tidy_rules.tree import Finding, Rule

BANNED = {
    "system": "spawn the program with uv_spawn or execve",
    "popen": "spawn the program with uv_spawn or execve",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "strcpy": "snprintf or memcpy with a checked length",
    "strcat": "snprintf",
    "strncpy": "snprintf or memcpy with a checked length",
    "strncat": "snprintf",
    "gets": "fgets",
    "strtok": "it writes to its input and keeps a hidden state",
    "atoi": "strtol with its end and range checked",
    "atol": "strtol with its end and range checked",
    "atoll": "strtoll with its end and range checked",
    "atof": "no floating point from text",
    "rand": "base/prng.h, or getrandom for ids",
    "srand": "base/prng.h",
    "random": "base/prng.h, or getrandom for ids",
    "alloca": "a fixed buffer or an allocation at init",
    "tmpnam": "mkstemp or mkdtemp",
    "mktemp": "mkstemp or mkdtemp",
    "assert": "ts_assert of base/assert.h",
    "setlocale": "cores count on the C locale",
}
CLOCKS = ("time", "gettimeofday", "clock_gettime", "clock", "uv_now", "uv_hrtime")
ALLOCATORS = ("malloc", "calloc", "realloc", "reallocarray", "strdup", "strndup", "asprintf")
SLEEPS = ("sleep", "usleep", "nanosleep", "clock_nanosleep", "uv_sleep")


def call_pattern(names):
    # Not a member (x.time, x->time), not a part of a longer name.
    return re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\(")


def find_calls(file, pattern):
    for number, line in file.code_lines():
        for match in pattern.finditer(line):
            yield number, match.group(1)


def in_core(file):
    return layer_of(file.path) in CORES


def check_banned(tree):
    pattern = call_pattern(BANNED)
    for file in tree.c_files():
        for number, name in find_calls(file, pattern):
            yield Finding(file.path, number, f"{name}() is banned; use {BANNED[name]}")
        for number, line in enumerate(file.lines, 1):
            if re.match(r"\s*#\s*include\s*<assert\.h>", line):
                yield Finding(file.path, number, "<assert.h> vanishes with NDEBUG: base/assert.h")


def check_clock(tree):
    pattern = call_pattern(CLOCKS)
    for file in tree.c_files():
        if in_core(file):
            for number, name in find_calls(file, pattern):
                yield Finding(file.path, number, f"{name}() in a core: time comes in events")


def check_core_alloc(tree):
    pattern = call_pattern(ALLOCATORS)
    init_lines = set()
    for file, name, first, last in functions(tree):
        if name.endswith(("_init", "_new", "_create")):
            init_lines |= {(file.path, number) for number in range(first, last + 1)}
    for file in tree.c_files():
        if in_core(file):
            for number, name in find_calls(file, pattern):
                if (file.path, number) in init_lines:
                    continue
                yield Finding(file.path, number, f"{name}() in a core: allocate in x_init() or "
                              "x_new() from fixed limits (or list the file in "
                              "tools/tidy-exceptions.txt with the bound of what it allocates)")


def check_sleep(tree):
    pattern = call_pattern(SLEEPS)
    script = re.compile(r"(?:\bsleep\s*\(?\s*)(\d+(?:\.\d+)?)")
    for file in tree.files.values():
        if not file.path.startswith("tests/"):
            continue
        if file.is_c:
            for number, name in find_calls(file, pattern):
                yield Finding(file.path, number, f"{name}(): a test waits for an event, not for "
                              "time")
        elif file.is_script:
            for number, line in enumerate(file.lines, 1):
                match = script.search(line.split("#", 1)[0])
                if match and float(match.group(1)) >= 0.5:
                    yield Finding(file.path, number, "a test waits for an event (look again every "
                                  "few milliseconds), not for time")


def check_kill_by_name(tree):
    pattern = re.compile(r"\b(p" r"kill|kill" r"all)\b")
    for file in tree.code_files():
        for number, line in enumerate(file.lines, 1):
            match = pattern.search(line)
            if match:
                yield Finding(file.path, number, f"{match.group(1)} ends other people's "
                              "processes: kill by the id of what was started")


def check_float(tree):
    pattern = re.compile(r"\b(float|double)\b")
    for file in tree.c_files():
        if in_core(file):
            for number, line in file.code_lines():
                if pattern.search(line):
                    yield Finding(file.path, number, "floating point in a core: it differs "
                                  "between machines")


def check_typedef_struct(tree):
    pattern = re.compile(r"\btypedef\s+(struct|union|enum)\b\s*\w*\s*(\{|\w+\s*;|$)")
    for file in tree.c_files():
        for number, line in file.code_lines():
            if pattern.search(line):
                yield Finding(file.path, number, "structs, unions and enums are not typedef'd")


def check_function_static(tree):
    pattern = re.compile(r"^\s+static\s+(?!const\b|inline\b|_Noreturn\b|_Thread_local\s+const\b)")
    for file in tree.c_files():
        if file.path.startswith("tests/"):
            continue
        for number, line in file.code_lines():
            # `static struct x *const names[]` and `static const` alike are constant.
            if pattern.match(line) and not re.search(r"\bconst\b[^(]*[;=]", line):
                yield Finding(file.path, number, "a function's static variable is hidden state: "
                              "put it into a struct that the caller owns")


RULES = [
    Rule("banned-calls", "calls that are wrong everywhere", check_banned,
         bad=[{"net/x.c": "int f(void)\n{\n    return system(\"ls\");\n}\n"},
              {"net/x.c": "void f(char *a) { sprintf(a, \"x\"); }\n"},
              {"cli/x.c": "int f(char *a) { return atoi(a); }\n"},
              {"tests/unit/x.c": "#include <assert.h>\n"}],
         good=[{"net/x.c": "/* never system() */\nint f(void) { return g_system(\"strcpy(\"); }\n"},
               {"net/x.c": "void f(void) { ts_assert(x); _Static_assert(1, \"\"); }\n"}]),
    Rule("clock", "cores read no clock", check_clock,
         bad=[{"replicator/x.c": "long f(void) { return time(0); }\n"},
              {"heartbeat/x.c": "void f(void) { clock_gettime(0, 0); }\n"}],
         good=[{"heartbeat/io/x.c": "void f(void) { clock_gettime(0, 0); }\n"},
               {"heartbeat/x.c": "int f(struct a *a) { return a->time(1) + a_time(2); }\n"}]),
    Rule("core-alloc", "cores allocate at init only", check_core_alloc,
         bad=[{"replicator/x.c": "void *f(void) { return malloc(3); }\n"}],
         good=[{"replicator/io/x.c": "void *f(void) { return malloc(3); }\n"},
               {"replicator/x.c": "void *a_init(void)\n{\n    return malloc(3);\n}\n"},
               {"replicator/x.c": "/* malloc( */ int x_malloc(int a);\n"}]),
    Rule("sleep", "tests wait for events, not for time", check_sleep,
         bad=[{"tests/unit/x.c": "void f(void) { usleep(10); }\n"},
              {"tests/integration/x.py": "import time\ntime.sleep(2)\n"},
              {"tests/integration/x.sh": "sleep 1\n"}],
         good=[{"tests/integration/x.py": "import time\ntime.sleep(0.01)\n"},
               {"lab/x.c": "void f(void) { usleep(10); }\n"}]),
    Rule("kill-by-name", "processes are ended by id", check_kill_by_name,
         bad=[{"tests/x.sh": "p" "kill nicd\n"}, {"lab/x.c": "char *a = \"kill" "all x\";\n"}],
         good=[{"tests/x.sh": "kill \"$pid\"\n"}]),
    Rule("float", "cores use integers only", check_float,
         bad=[{"services/kv/x.c": "double f(void);\n"}],
         good=[{"services/kv/x.c": "/* no double here */ int double_it(int a);\n"},
               {"lab/x.c": "double f(void);\n"}]),
    Rule("typedef-struct", "structs keep their tag", check_typedef_struct,
         bad=[{"net/x.h": "typedef struct x { int a; } x;\n"}],
         good=[{"net/x.h": "struct x { int a; };\ntypedef void (*x_fn)(void);\n"},
               {"net/x.h": "typedef enum e x_fn(int a);\n"}]),
    Rule("function-static", "no hidden state in functions", check_function_static,
         bad=[{"net/x.c": "int f(void)\n{\n    static int n;\n    return n++;\n}\n"}],
         good=[{"net/x.c": "int f(void)\n{\n    static const int n = 3;\n    return n;\n}\n"},
               {"net/x.c": "static int f(void)\n{\n    return 1;\n}\n"}]),
]
