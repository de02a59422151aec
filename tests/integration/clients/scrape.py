"""Scrapes each URL of the arguments and reads it as strictly as promtool's checks: format 0.0.4.

usage: scrape.py URL...   prints "NODE NAME VALUE" for the samples with at most a group label
Exit status: 0 all hold, 1 something is wrong (one line a find on standard error).
"""

import re
import sys
import urllib.error
import urllib.request

NAME = r"[a-z][a-z0-9_]*"
HELP = re.compile(rf"# HELP ({NAME}) (\S.*)")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge|histogram)")
SAMPLE = re.compile(rf"({NAME})(?:{{([^{{}}]*)}})? (\S+)")
LABEL = re.compile(r'([a-z_]+)="([^"\\\n]*)"')
FORBIDDEN_UNITS = ("_ms", "_ns", "_milliseconds", "_minutes", "_kilobytes", "_percent")
finds = []


def find(url, number, text):
    finds.append(f"{url}:{number}: {text}")


def parse_labels(text):
    labels = dict(LABEL.findall(text or ""))
    again = ",".join(f'{k}="{v}"' for k, v in LABEL.findall(text or ""))
    return labels if again == (text or "") else None


def check_name(url, number, name, kind):
    if not name.startswith("twinstep_"):
        find(url, number, f"{name}: no prefix")
    if (kind == "counter") != name.endswith("_total"):
        find(url, number, f"{name}: counters, and only they, end in _total")
    if name.endswith(("_count", "_sum", "_bucket", "_info_total")):
        find(url, number, f"{name}: this suffix is of histograms")
    if any(u + "_" in name + "_" for u in FORBIDDEN_UNITS):
        find(url, number, f"{name}: not a base unit")


def check_histogram(url, series):
    for key, parts in series.items():
        bounds = [(float(le), v) for le, v in parts["bucket"]]
        if bounds != sorted(bounds) or len({b for b, _ in bounds}) != len(bounds):
            find(url, key, "bounds do not rise")
        if [v for _, v in bounds] != sorted(v for _, v in bounds):
            find(url, key, "buckets are not cumulative")
        if not bounds or bounds[-1][0] != float("inf") or bounds[-1][1] != parts["count"]:
            find(url, key, "the last bucket is not +Inf with all of them")
        if parts["sum"] < 0 or (parts["count"] == 0) != (parts["sum"] == 0):
            find(url, key, "sum and count do not fit")


def scrape(url):
    with urllib.request.urlopen(url, timeout=20) as reply:
        if reply.status != 200:
            find(url, 0, f"status {reply.status}")
        if reply.headers["Content-Type"] != "text/plain; version=0.0.4; charset=utf-8":
            find(url, 0, f"content type {reply.headers['Content-Type']}")
        return reply.read().decode("utf-8")


def check(url):
    text = scrape(url)
    if not text.endswith("\n"):
        find(url, 0, "the last line has no end")
    kinds, helped, seen, values = {}, set(), set(), {}
    current, histograms = None, {}
    for number, line in enumerate(text.splitlines(), 1):
        if m := HELP.fullmatch(line):
            current = m[1]
            if current in helped:
                find(url, number, f"{current}: a second HELP, or its samples lie apart")
            helped.add(current)
        elif m := TYPE.fullmatch(line):
            if m[1] != current or m[1] in kinds:
                find(url, number, f"{m[1]}: TYPE does not follow HELP")
            kinds[m[1]] = m[2]
            check_name(url, number, m[1], m[2])
        elif m := SAMPLE.fullmatch(line):
            check_sample(url, number, m, current, kinds, seen, values, histograms)
        else:
            find(url, number, f"neither comment nor sample: {line}")
    check_histogram(url, histograms)
    if helped != set(kinds):
        find(url, 0, "HELP without TYPE")
    return values


def check_sample(url, number, m, current, kinds, seen, values, histograms):
    name, value = m[1], float(m[3])
    labels = parse_labels(m[2])
    kind = kinds.get(current)
    if labels is None or kind is None:
        find(url, number, f"labels or family are wrong: {m[0]}")
        return
    if (name, m[2]) in seen:
        find(url, number, f"twice: {m[0]}")
    seen.add((name, m[2]))
    if kind == "histogram":
        part = name[len(current) + 1 :] if name.startswith(current + "_") else ""
        le = labels.pop("le", None)
        series = histograms.setdefault(tuple(sorted(labels.items())), {"bucket": []})
        if part == "bucket" and le is not None:
            series["bucket"].append((le, value))
        elif part in ("sum", "count") and le is None:
            series[part] = value
        else:
            find(url, number, f"no part of a histogram: {m[0]}")
    elif name != current:
        find(url, number, f"{name} stands in the family {current}")
    elif kind == "counter" and (value < 0 or value != int(value)):
        find(url, number, f"a counter that is not whole: {m[0]}")
    if kind != "histogram" and set(labels) <= {"group"}:
        values[name] = value
    if name == "twinstep_build_info":
        values["node"] = labels["node"]


def check_refusals(url):
    for method, path, wanted in (
        ("POST", "/metrics", 405),
        ("GET", "/", 404),
        ("GET", "/metricsx", 404),
    ):
        request = urllib.request.Request(url.replace("/metrics", path), method=method)
        try:
            status = urllib.request.urlopen(request, timeout=20).status
        except urllib.error.HTTPError as error:
            status = error.code
        if status != wanted:
            find(url, 0, f"{method} {path} gives {status}")


def main():
    for url in sys.argv[1:]:
        values = check(url)
        check_refusals(url)
        node = values.pop("node", "?")
        for name in sorted(values):
            print(node, name, f"{values[name]:.0f}")
    for line in finds:
        print(line, file=sys.stderr)
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
