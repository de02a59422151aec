"""Who may include whom (docs/ARCHITECTURE.md, "Folders")."""

import re

from tidy_rules.tree import Finding, Rule

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')

CORES = ("base", "cluster-cfg", "heartbeat", "replicator", "services", "vsan-witness",
         "tests/lincheck")

# Longest prefix wins. The value: the layers whose headers may be included, besides the own one.
ALLOWED = {
    "base": (),
    "base/io": ("base",),
    "base/netlink": ("base", "base/io"),
    "net": ("base", "base/io"),
    "cluster-cfg": ("base",),
    "cluster-cfg/io": ("base", "base/io", "net", "cluster-cfg"),
    "heartbeat": ("base", "cluster-cfg"),
    "heartbeat/io": ("base", "base/io", "net", "cluster-cfg", "cluster-cfg/io", "heartbeat"),
    "replicator": ("base", "cluster-cfg", "services/svc.h"),
    # Replicas watch each other on their own link with the detector core.
    "replicator/io": ("base", "base/io", "net", "cluster-cfg", "cluster-cfg/io", "heartbeat",
                      "replicator", "services/svc.h"),
    "services": ("base", "cluster-cfg"),
    "services/io": ("base", "base/io", "net", "cluster-cfg", "services", "services/netctl/io"),
    "services/netctl/io": ("base", "base/io", "net", "services"),
    "services/agent/io": ("base", "base/io", "base/netlink", "net", "services"),
    "vsan-witness": ("base", "cluster-cfg", "services/svc.h"),
    "vsan-witness/io": ("base", "base/io", "net", "cluster-cfg", "services/svc.h",
                        "vsan-witness"),
    # Formation gives the folder below the replicator's its one disk format; a restore tries whether
    # the service reads what it gives it.
    "cli": ("base", "base/io", "net", "cluster-cfg", "cluster-cfg/io", "lab",
            "replicator/io/backup_file.h", "replicator/io/journal.h",
            "replicator/io/journal_inspect.h", "replicator/io/replica_record.h",
            "services/kv/sessions.h", "services/netctl/netctl.h", "services/netctl/resource.h"),
    "lab": ("base", "base/io", "net", "cluster-cfg", "cluster-cfg/io"),
    "daemon": ("base", "base/io", "base/netlink", "net", "cluster-cfg", "cluster-cfg/io",
               "heartbeat", "heartbeat/io", "replicator", "replicator/io", "services",
               "services/io", "services/agent/io", "services/netctl/io", "vsan-witness",
               "vsan-witness/io"),
    # The judge of histories knows nothing of what it judges.
    "tests/lincheck": ("base",),
    "tests/lincheck/io": ("base", "base/io", "tests/lincheck"),
    "tests/lincheck/tool": ("base", "tests/lincheck", "tests/lincheck/io"),
}

# A core sees nothing of the system but values, memory and text.
CORE_SYSTEM_HEADERS = {
    "ctype.h", "errno.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h", "stdbool.h",
    "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "strings.h", "xxhash.h",
    "uthash.h", "utlist.h",
    # netctl: JSON is what intent is (adr/0034); an address is text to and from bytes, no socket.
    "jansson.h", "arpa/inet.h",
}

# A library that must not spread: where its headers may appear.
CONFINED = (
    (re.compile(r"^nng/"), ("cluster-cfg/io/", "tests/"),
     "NNG stays behind cluster-cfg/io (13 threads a process, callbacks on all of them)"),
    (re.compile(r"^openssl/"), ("net/", "heartbeat/io/", "tests/"),
     "OpenSSL stays in net (links, certificates) and heartbeat/io (HMAC)"),
    (re.compile(r"^(isa-l|xxhash)"), ("base/", "services/kv/", "tests/"),
     "checksums are base/hash.h's; kv hashes its keys"),
    (re.compile(r"^nghttp2/"), ("services/io/http_v2", "tests/"),
     "nghttp2 stays in the front-end's HTTP/2"),
    (re.compile(r"^http_parser\.h"), ("services/io/http_v1",
                                        "services/io/http_relay_answer", "tests/"),
     "http-parser stays in the front-end's HTTP/1.1"),
    (re.compile(r"^(yaml|jansson)\.h"),
     ("cluster-cfg/io/", "services/netctl/", "services/agent/", "cli/", "lab/", "tests/",
      "daemon/netctl_agent"),
     "text formats stay at the edge"),
)


def layer_of(path):
    """The layer of a file or of an include path; None outside all of them."""
    parts = path.split("/")
    for length in range(len(parts) - 1, 0, -1):
        name = "/".join(parts[:length])
        if name in ALLOWED:
            return name
    return None


def includes(file):
    for number, line in enumerate(file.lines, 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def check_layers(tree):
    for file in tree.c_files():
        own = layer_of(file.path)
        if own is None:
            continue
        for number, target, _ in includes(file):
            if target is None:
                continue
            theirs = layer_of(target)
            if theirs is None:
                yield Finding(file.path, number, f'"{target}" is of no known folder: include '
                              "from the root of the repository")
            elif theirs != own and theirs not in ALLOWED[own] and target not in ALLOWED[own]:
                yield Finding(file.path, number, f'{own} must not include "{target}"; it sees: '
                              + ", ".join(ALLOWED[own] or ("nothing",)))


def check_core_headers(tree):
    for file in tree.c_files():
        if layer_of(file.path) not in CORES:
            continue
        for number, _, target in includes(file):
            known = target in CORE_SYSTEM_HEADERS or (target or "").startswith("isa-l")
            if target is not None and not known:
                yield Finding(file.path, number, f"a core must not include <{target}>: what it "
                              "needs of the system comes in events")


def check_confined(tree):
    for file in tree.c_files():
        for number, _, target in includes(file):
            for pattern, places, why in CONFINED:
                if target and pattern.match(target) and not file.path.startswith(places):
                    yield Finding(file.path, number, f"<{target}> is not for this folder: {why}")


RULES = [
    Rule("layering", "folders include only what stands below them", check_layers,
         bad=[{"replicator/x.c": '#include "net/link.h"\n'},
              {"replicator/x.c": '#include "services/kv/kv.h"\n'},
              {"heartbeat/x.h": '#include "replicator/x.h"\n'},
              {"base/x.c": '#include "base/io/file.h"\n'},
              {"base/x.c": '#include "x.h"\n'},
              {"cli/x.c": '#include "replicator/x.h"\n'},
              {"net/x.c": '#include "tests/x.h"\n'},
              {"tests/lincheck/x.c": '#include "services/kv/kv.h"\n'}],
         good=[{"replicator/x.c": '#include "services/svc.h"\n#include "cluster-cfg/config.h"\n'},
               {"replicator/io/x.c": '#include "net/link.h"\n#include "replicator/x.h"\n'},
               {"tests/unit/x.c": '#include "replicator/x.h"\n'},
               {"cli/x.c": '#include "cluster-cfg/io/admin.h"\n'}]),
    Rule("core-headers", "cores see no system header but for values, memory and text",
         check_core_headers,
         bad=[{"replicator/x.c": "#include <time.h>\n"},
              {"services/kv/x.c": "#include <uv.h>\n"},
              {"base/x.c": "#include <assert.h>\n"}],
         good=[{"replicator/x.c": "#include <string.h>\n"},
               {"replicator/io/x.c": "#include <unistd.h>\n"}]),
    Rule("confined", "a library stays where it belongs", check_confined,
         bad=[{"daemon/x.c": "#include <nng/nng.h>\n"},
              {"services/io/resp_x.c": "#include <nghttp2/nghttp2.h>\n"},
              {"services/io/x.c": "#include <openssl/ssl.h>\n"}],
         good=[{"cluster-cfg/io/admin.c": "#include <nng/nng.h>\n"},
               {"net/tls.c": "#include <openssl/ssl.h>\n"}]),
]
