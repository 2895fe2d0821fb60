"""Style that a machine can check: banned calls, line and file lengths, files nobody builds.

Needs Python's standard library; with clang-format 14 installed the formatting is checked as well.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(os.environ.get("LONGRUN_SOURCE", pathlib.Path(__file__).parents[2]))
TOPS = ("src", "include", "tests", "bench", "fuzz", "proto", "cmake", "scripts", ".ci", "examples",
        "docs")
TEXT = {".h", ".cc", ".cu", ".py", ".cmake", ".proto", ".md", ".yaml", ".yml", ".txt", ".sh", ""}
CODE = {".h", ".cc", ".cu"}
COLUMNS = 100
LINES = 500

# Files longer than LINES, each with the reason why splitting it would make it worse.
MAY_BE_LONG = {}

# What must not be called: pattern, why, and the files where it may be (edges, by path prefix).
CLOCK_EDGES = ("src/base/time.", "src/training/rendezvous.", "include/longrun/", "bench/", "tests/")
SLEEP_EDGES = ("src/base/process.", "src/agent/", "src/engine/local/", "src/cli/", "src/training/",
               "src/serving/", "include/longrun/", "bench/", "tests/")
BANNED = [
    (r"\bstd::s?rand\b|\b(?<![\w.>:])s?rand\s*\(", "randomness comes from base/random.h", ()),
    (r"\bstd::(random_device|mt19937(_64)?|default_random_engine|\w+_distribution)\b",
     "randomness comes from base/random.h, the same on every machine", ("tests/", "bench/")),
    (r"\b(system_clock|steady_clock|high_resolution_clock)::now\b",
     "clocks are read in base/time.h (WallClock, Stopwatch)", CLOCK_EDGES),
    (r"\b(gettimeofday|clock_gettime|std::time)\s*\(",
     "clocks are read in base/time.h (WallClock, Stopwatch)", CLOCK_EDGES),
    (r"\bsleep_(for|until)\s*\(|\b(?<![\w.>])(u|nano)?sleep\s*\(",
     "only what waits for the outside world sleeps; decisions never do", SLEEP_EDGES),
    (r"\b(strcpy|strcat|sprintf|vsprintf|gets)\s*\(", "writes past its end; use absl::StrCat", ()),
    (r"\b(assert)\s*\(", "gone in release; use LR_CHECK", ()),
    (r"\bFRIEND_TEST\b", "tests drive public interfaces", ()),
    (r"\busing\s+namespace\s+std\b", "name what is used", ()),
]
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
COMMENT_OR_TEXT = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', re.S)


def sources():
    """Every text file of the tree that git would know, relative to the root."""
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*")):
            parts = path.relative_to(ROOT / top).parts
            hidden = any(part.startswith((".", "__")) for part in parts)
            if path.is_file() and path.suffix in TEXT and not hidden:
                yield path.relative_to(ROOT).as_posix()
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and path.suffix in TEXT and path.name not in ("LICENSE",):
            yield path.name


def read(path):
    return (ROOT / path).read_text("utf-8")


def is_test(path):
    """Tests, and what is there for tests alone."""
    return "test" in re.split(r"[_.]", pathlib.PurePosixPath(path).name) or "_for_tests." in path


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def complaints(path, text):
    """What is wrong with the text of the file `path`."""
    found = []
    suffix = pathlib.PurePosixPath(path).suffix
    wrapped = suffix in CODE | {".py", ".proto"}
    if text and not text.endswith("\n"):
        found.append(f"{path}: no newline at the end")
    if text.endswith("\n\n"):
        found.append(f"{path}: empty lines at the end")
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        if "\t" in line:
            found.append(f"{where}: a tab")
        if "\r" in line:
            found.append(f"{where}: a carriage return")
        if line != line.rstrip():
            found.append(f"{where}: space at the end of the line")
        # Elsewhere are tables, addresses and generator expressions, which cannot be broken.
        if len(line) > COLUMNS and wrapped and "http" not in line and 'R"' not in line:
            found.append(f"{where}: {len(line)} columns, at most {COLUMNS} are right")
        if UNFINISHED.search(line):
            found.append(f"{where}: {UNFINISHED.search(line).group()}: finish it or leave it out")
    if suffix in CODE:
        if len(lines) - 1 > LINES and path not in MAY_BE_LONG:
            found.append(f"{path}: {len(lines) - 1} lines, at most {LINES} are right; split it by "
                         "concept")
        if suffix == ".h" and "#pragma once" not in text:
            found.append(f"{path}: no #pragma once")
        code = COMMENT_OR_TEXT.sub(blank, text)
        for pattern, why, edges in BANNED:
            if path.startswith(edges) or (edges and is_test(path)):
                continue
            for match in re.finditer(pattern, code):
                line = code.count("\n", 0, match.start()) + 1
                found.append(f"{path}:{line}: {match.group().strip()}: {why}")
    return found


def unbuilt(paths, cmake_text):
    """Source files that no CMake file names."""
    named = set(re.findall(r"[\w.-]+\.cc(?![\w-])", cmake_text))
    return [p for p in paths if p.startswith(("src/", "include/", "tests/", "bench/")) and
            p.endswith(".cc") and pathlib.PurePosixPath(p).name not in named]


class Tidy(unittest.TestCase):

    def test_every_file_is_tidy(self):
        paths = list(sources())
        self.assertGreater(len(paths), 20, f"no sources under {ROOT}")
        found = []
        for path in paths:
            found += complaints(path, read(path))
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_every_source_is_built(self):
        paths = list(sources())
        cmake = "\n".join(read(p) for p in paths if p.endswith((".cmake", "CMakeLists.txt")))
        self.assertEqual(unbuilt(paths, cmake), [], "no CMake file names these")

    def test_exceptions_are_needed(self):
        for path, reason in MAY_BE_LONG.items():
            self.assertTrue(reason)
            self.assertGreater(read(path).count("\n"), LINES, f"{path} is short enough by now")

    @unittest.skipUnless(shutil.which("clang-format-14"), "clang-format-14 is not installed")
    def test_code_is_formatted(self):
        paths = [p for p in sources() if pathlib.PurePosixPath(p).suffix in CODE]
        result = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *paths], cwd=ROOT,
                                capture_output=True, text=True, check=False)
        wrong = sorted({line.split(":")[0] for line in result.stderr.split("\n")
                        if "clang-formatted" in line})
        self.assertEqual(wrong, [], "run clang-format -i on these")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_violations_are_found(self):
        cases = [
            ("src/fleet/a.cc", "int x = std::rand();\n"),
            ("src/fleet/a.cc", "int x = rand();\n"),
            ("src/fleet/a.cc", "std::mt19937 generator;\n"),
            ("src/control/a.cc", "auto t = std::chrono::steady_clock::now();\n"),
            ("src/control/a.cc", "clock_gettime(CLOCK_REALTIME, &t);\n"),
            ("src/placement/a.cc", "std::this_thread::sleep_for(delay);\n"),
            ("src/placement/a.cc", "usleep(100);\n"),
            ("src/fleet/a.cc", "assert(x);\n"),
            ("src/fleet/a.cc", "// TO" "DO: later\n"),
            ("src/fleet/a.cc", "\tint x;\n"),
            ("src/fleet/a.cc", "int x; \n"),
            ("src/fleet/a.cc", "int x;\r\n"),
            ("src/fleet/a.cc", "int x;"),
            ("src/fleet/a.cc", "int x;\n\n"),
            ("src/fleet/a.cc", "int " + "x" * COLUMNS + ";\n"),
            ("src/fleet/a.cc", "int x;\n" * (LINES + 1)),
            ("src/fleet/a.h", "int x;\n"),
        ]
        for path, text in cases:
            self.assertTrue(complaints(path, text), f"not found: {path}: {text[:60]!r}")
        self.assertEqual(unbuilt(["src/a/gone.cc"], "SOURCES here.cc begone.cc"), ["src/a/gone.cc"])

    def test_what_is_right_passes(self):
        cases = [
            ("src/base/time.h", "#pragma once\nauto t = steady_clock::now();\n"),
            ("src/fleet/a.cc", '// never std::rand(): see "sleep(1)"\nauto s = "rand()";\n'),
            ("src/fleet/a.cc", "Operand(x);\nstatic_assert(true);\nrandom.rand(3);\n"),
            ("src/fleet/a_test.cc", "std::this_thread::sleep_for(delay);\n"),
            ("docs/a.md", "| " + "x" * COLUMNS + " |\n"),
        ]
        for path, text in cases:
            self.assertEqual(complaints(path, text), [])
        self.assertEqual(unbuilt(["src/a/here.cc"], "SOURCES here.cc"), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-q"] + sys.argv[1:])
