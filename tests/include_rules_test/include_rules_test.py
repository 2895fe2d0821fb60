"""Which folder may include which: the picture of ARCHITECTURE.md, enforced.

Reads every C++ file of src/, include/, tests/ and bench/. Needs Python's standard library alone.
"""

import os
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(os.environ.get("LONGRUN_SOURCE", pathlib.Path(__file__).parents[2]))

POLICIES = {"placement", "capacity", "recovery", "power"}

# Folder of src/ (or "include", "proto") -> the folders that it may include besides itself.
MAY_INCLUDE = {
    "base": set(),
    "fleet": {"base"},
    "scaling": {"base"},
    **{policy: {"base", "fleet"} for policy in POLICIES},
    "control": POLICIES | {"engine", "fleet", "base"},  # the seam alone: engine/*.h, no engine
    "engine": {"fleet", "base"},
    "engine/local": {"engine", "fleet", "base", "proto"},
    "engine/kubernetes": {"engine", "fleet", "base", "net"},
    "engine/simulated": {"engine", "fleet", "base"},
    "agent": {"fleet", "base", "proto", "include"},
    "net": {"base"},
    "model": {"base", "include"},
    "training": {"model", "base", "include"},
    "serving": {"model", "base", "net"},
    "worker": {"serving", "training", "model", "base", "include", "net"},
    "api": {"control", "fleet", "net", "base", "proto"},
    "cli": POLICIES | {"api", "agent", "engine", "engine/local", "engine/kubernetes", "control",
                       "fleet", "net", "scaling", "base", "proto", "include"},
    "include": set(),
}

# What a test beside its code may use on top, to drive the code from outside.
TEST_MAY_INCLUDE = {
    "agent": {"engine", "engine/local"},
    "control": {"engine"},
    "engine": {"control", "engine/local", "engine/simulated", "agent"} | POLICIES,
    "engine/local": {"agent", "control"} | POLICIES,
    "engine/simulated": {"control"} | POLICIES,
    "api": {"engine", "engine/simulated", "agent"} | POLICIES,
}

# Libraries that live in some folders and nowhere else: how their headers begin -> folders.
LIBRARIES = {
    "libtorch": (("torch/", "ATen/", "c10/", "gloo/"), {"model", "training", "serving", "worker"}),
    "gRPC": (("grpc/", "grpcpp/"), {"engine/local", "agent", "api", "cli", "proto"}),
    "protobuf": (("google/protobuf/",), {"engine/local", "agent", "api", "cli", "proto"}),
    "SQLite": (("sqlite3.h",), {"control"}),
    "yaml-cpp": (("yaml-cpp/",), {"base"}),
    "Eigen": (("Eigen/",), {"scaling"}),
    "CLI11": (("CLI/",), {"cli", "agent", "worker"}),
    "Boost.Asio, Boost.Beast": (("boost/asio", "boost/beast"), {"net"}),
    "Boost.Math": (("boost/math/",), {"scaling"}),
    "OpenSSL": (("openssl/",), {"net", "serving"}),
}

# include/longrun is for any program: the C++ standard library and POSIX.
STANDARD = re.compile(
    r"^([a-z_0-9]+|(sys|netinet|arpa|net)/[a-z_]+\.h|"
    r"(unistd|fcntl|poll|signal|errno|string|stdlib|stdio|stdint|pthread|netdb|time|limits)\.h)$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
# The simulator: by its folder, its namespace, its classes.
SIMULATOR = re.compile(
    r"engine/simulated|\bsimulated::|\bSimulated[A-Z]\w*|\b[Ii]s_?[Ss]imulated\b")


def folder_of(path):
    """The row of MAY_INCLUDE that a path relative to the root belongs to; None outside them all."""
    parts = pathlib.PurePosixPath(path).parts
    if parts[0] == "include":
        return "include"
    if parts[0] != "src":
        return None
    if parts[1] == "engine" and len(parts) > 3:
        return "engine/" + parts[2]
    return parts[1]


def target_of(header):
    """The row that an #include names; None when it is no header of ours."""
    if header.startswith("longrun/"):
        return "include"
    if header.startswith("proto/"):
        return "proto"
    return folder_of("src/" + header) if "/" in header else None


def complaints(path, text):
    """What is wrong with the includes of the file `path` (relative to the root)."""
    folder = folder_of(path)
    is_test = path.endswith("_test.cc")
    found = []
    if folder is None:  # tests/ and bench/ may include all
        return found
    if folder not in MAY_INCLUDE:
        return [f"{path}: the folder {folder} is not in the table of {__file__}"]
    allowed = MAY_INCLUDE[folder] | {folder}
    if is_test:
        allowed |= TEST_MAY_INCLUDE.get(folder, set())
    for bracket, header in INCLUDE.findall(text):
        target = target_of(header)
        if target in MAY_INCLUDE or target == "proto":
            if target not in allowed:
                found.append(f'{path}: "{header}": {folder} may not include {target}')
        elif bracket == '"' and not (ROOT / "src" / header).exists() and "/" not in header:
            found.append(f'{path}: "{header}": includes are relative to src/ or include/')
        for library, (prefixes, folders) in LIBRARIES.items():
            if header.startswith(prefixes) and folder not in folders:
                found.append(f"{path}: <{header}>: {library} does not belong in {folder}")
        ours = target in MAY_INCLUDE or target == "proto"
        if folder == "include" and not is_test and not ours and not STANDARD.match(header):
            found.append(f"{path}: <{header}>: include/ uses the standard library alone")
    if folder != "engine/simulated" and not is_test:
        for match in SIMULATOR.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path}:{line}: {match.group()}: only engine/simulated and tests know "
                         "that there is a simulator")
    return found


class IncludeRules(unittest.TestCase):

    def test_every_file_keeps_to_its_folder(self):
        files = [p for top in ("src", "include") for p in (ROOT / top).rglob("*")
                 if p.suffix in (".h", ".cc")]
        self.assertGreater(len(files), 20, f"no sources under {ROOT}")
        found = []
        for path in sorted(files):
            found += complaints(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_folders_include_each_other_in_one_direction(self):
        def reach(folder, seen):
            for other in MAY_INCLUDE.get(folder, ()):
                if other not in seen:
                    seen.add(other)
                    reach(other, seen)
            return seen
        for folder in MAY_INCLUDE:
            self.assertNotIn(folder, reach(folder, set()), f"{folder} includes itself in a circle")

    def test_violations_are_found(self):
        cases = [
            ("src/base/a.cc", '#include "fleet/state.h"'),
            ("src/placement/a.h", '#include "recovery/recovery.h"'),
            ("src/placement/a_test.cc", '#include "recovery/recovery.h"'),
            ("src/control/a.cc", '#include "engine/local/local.h"'),
            ("src/engine/engine.h", '#include "control/control.h"'),
            ("src/control/a.cc", "#include <torch/torch.h>"),
            ("src/control/a.cc", "// as SimulatedEngine does"),
            ("src/cli/a.cc", '#include "training/trainer.h"'),
            ("src/cli/a.cc", '#include "engine/simulated/world.h"'),
            ("src/model/a.cc", "#include <grpcpp/grpcpp.h>"),
            ("src/model/a.cc", '#include "training/trainer.h"'),
            ("src/fleet/a.cc", "  #  include <sqlite3.h>"),
            ("src/api/a.cc", '#include "cli/main.h"'),
            ("src/engine/local/a.cc", '#include "engine/simulated/world.h"'),
            ("src/engine/engine.cc", '#include "proto/agent.pb.h"'),
            ("src/unheard_of/a.cc", ""),
            ("src/base/a.cc", '#include "file.h"'),
            ("include/longrun/a.h", "#include <absl/status/status.h>"),
            ("include/longrun/a.h", '#include "base/status.h"'),
        ]
        for path, text in cases:
            self.assertTrue(complaints(path, text), f"not found: {path}: {text}")

    def test_what_is_right_passes(self):
        cases = [
            ("src/base/a.cc", "#include <yaml-cpp/yaml.h>\n#include <string>\n"),
            ("src/control/a.cc", '#include "placement/placement.h"\n#include <sqlite3.h>\n'),
            ("src/agent/a.cc", '#include "proto/agent.grpc.pb.h"\n#include "longrun/rank.h"\n'),
            ("src/engine/simulated/a_test.cc", '#include "control/control.h"\n'),
            ("src/training/a.cc", '#include "model/gpt.h"\n#include "absl/strings/str_cat.h"\n'),
            ("include/longrun/a.h", "#include <sys/socket.h>\n#include <string>\n"),
        ]
        for path, text in cases:
            self.assertEqual(complaints(path, text), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-q"] + sys.argv[1:])
