"""The files a rule looks at, and the shapes of a rule and of a finding."""

import os
import re
import subprocess
from collections import namedtuple

Finding = namedtuple("Finding", "path line message")

# check(tree) yields findings. `bad` and `good` are lists of {path: text}: fixtures that the rule
# must flag and must leave alone.
Rule = namedtuple("Rule", "name why check bad good")

C_TOKEN = re.compile(
    r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


def blank(match):
    """Spaces instead of a comment or a literal; the lines stay where they are."""
    token = match.group()
    if token[0] in "\"'":
        return token[0] + re.sub(r"[^\n]", " ", token[1:-1]) + token[-1]
    return re.sub(r"[^\n]", " ", token)


class File:
    """One text file. `lines` are without their ends."""

    def __init__(self, path, content):
        self.path = path
        self.text = content
        self.lines = content.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        self._code = None

    @property
    def is_c(self):
        return self.path.endswith((".c", ".h"))

    @property
    def is_python(self):
        return self.path.endswith(".py") or self.first_line.endswith("python3")

    @property
    def is_shell(self):
        return self.path.endswith(".sh") or bool(re.search(r"/(ba|da|)sh\b", self.first_line))

    @property
    def is_script(self):
        return self.is_python or self.is_shell

    @property
    def first_line(self):
        return self.lines[0] if self.lines and self.lines[0].startswith("#!") else ""

    @property
    def code(self):
        """A C file's text without comments and without what stands in literals."""
        if self._code is None:
            self._code = C_TOKEN.sub(blank, self.text)
        return self._code

    def code_lines(self):
        return enumerate(self.code.split("\n"), 1)


class Tree:
    """All text files under a root, by relative path; `paths` are those of the others too."""

    def __init__(self, root, paths):
        self.root = root
        self.paths = sorted(paths)
        self.files = {}
        for path in sorted(paths):
            full = os.path.join(root, path)
            if not os.path.isfile(full) or os.path.islink(full):
                continue
            with open(full, "rb") as source:
                data = source.read()
            try:
                self.files[path] = File(path, data.decode("utf-8"))
            except UnicodeDecodeError:
                continue  # binary: a fuzz seed, a picture

    @classmethod
    def from_repository(cls, root):
        """What git tracks or would track; without git, everything but the build."""
        git = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others",
                              "--exclude-standard"], capture_output=True, check=False)
        if git.returncode == 0:
            return cls(root, [p for p in git.stdout.decode().split("\0") if p])
        return cls.from_folder(root)

    @classmethod
    def from_folder(cls, root):
        paths = []
        for folder, subfolders, names in os.walk(root):
            if folder == root:
                subfolders[:] = [s for s in subfolders if s not in (".git", "build", "run")]
            paths += [os.path.relpath(os.path.join(folder, name), root) for name in names]
        return cls(root, paths)

    def c_files(self, prefix=""):
        return [f for p, f in self.files.items() if f.is_c and p.startswith(prefix)]

    def code_files(self):
        return [f for f in self.files.values() if f.is_c or f.is_script]
