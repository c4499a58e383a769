"""Makes a stand-in for Apple's macOS SDK: ``sdk.py SDK WHEEL SITE LLVM_BIN``.

Headers and the list of libSystem's symbols come out of the ziglang wheel, which carries Apple's open-source headers and
LLVM's libc++. What the other system libraries export is not public as a file, so it is taken to be what real macOS
binaries in SITE import from them: programs that run on users' machines name no symbol that is not there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

_VERSION = "26.5"  # of the headers: newer than the deployment target, as Apple's are

# Every release of macOS since 10.13 has them (libcxx/lib/abi in LLVM's sources), but no wheel here imports them.
_ALSO = {
    "libc++": {"__ZdlPvmSt11align_val_t"},  # sized and aligned delete, which Apple's clang does not call
    "libobjc": {"_objc_getClass", "_objc_msgSend", "_sel_registerName"},
}

# What libc++'s own build would have written into __config_site.
_CONFIG_SITE = """#pragma once
#define _LIBCPP_ABI_VERSION 1
#define _LIBCPP_ABI_NAMESPACE __1
#define _LIBCPP_HAS_THREADS 1
#define _LIBCPP_HAS_MONOTONIC_CLOCK 1
#define _LIBCPP_HAS_TERMINAL 1
#define _LIBCPP_HAS_MUSL_LIBC 0
#define _LIBCPP_HAS_THREAD_API_PTHREAD 1
#define _LIBCPP_HAS_THREAD_API_EXTERNAL 0
#define _LIBCPP_HAS_THREAD_API_WIN32 0
#define _LIBCPP_HAS_THREAD_API_C11 0
#define _LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS 1
#define _LIBCPP_HAS_FILESYSTEM 1
#define _LIBCPP_HAS_RANDOM_DEVICE 1
#define _LIBCPP_HAS_LOCALIZATION 1
#define _LIBCPP_HAS_UNICODE 1
#define _LIBCPP_HAS_WIDE_CHARACTERS 1
#define _LIBCPP_HAS_TIME_ZONE_DATABASE 0
#define _LIBCPP_PSTL_BACKEND_STD_THREAD 1
#define _LIBCPP_HARDENING_MODE_DEFAULT 2
#define _LIBCPP_ASSERTION_SEMANTIC_DEFAULT _LIBCPP_ASSERTION_SEMANTIC_HARDENING_DEPENDENT
#define _LIBCPP_LIBC_PICOLIBC 0
#define _LIBCPP_LIBC_NEWLIB 0
"""


def unpack_headers(sdk: Path, wheel: Path) -> None:
    """Darwin's C headers, libc++'s headers, and libSystem's list of symbols."""
    folders = {
        "ziglang/lib/libc/include/any-darwin-any": sdk / "usr/include",
        "ziglang/lib/libcxx/include": sdk / "usr/include/c++/v1",
        "ziglang/lib/libcxxabi/include": sdk / "usr/include/c++/v1",
        "ziglang/lib/libc/darwin": sdk / "usr/lib",
    }
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            path = PurePosixPath(member)
            for source, target in folders.items():
                if path.is_relative_to(source) and not member.endswith("/"):
                    file = target / path.relative_to(source)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(archive.read(member))
    cxx = sdk / "usr/include/c++/v1"
    (cxx / "__config_site").write_text(_CONFIG_SITE)
    config = (cxx / "__config").read_text()
    if "<__config_site>" not in config:  # zig gives these macros on the command line instead
        first = "#include <__configuration/abi.h>"
        (cxx / "__config").write_text(config.replace(first, f"#include <__config_site>\n{first}", 1))
    # The list names Apple's own programs' architecture only (arm64e); other programs find the same symbols.
    system = sdk / "usr/lib/libSystem.tbd"
    system.write_text(re.sub(r"arm64e\.x1-(macos|maccatalyst)", r"arm64-\1", system.read_text()))
    shutil.copy(system, sdk / "usr/lib/libSystem.B.tbd")
    accelerate = sdk / "System/Library/Frameworks/Accelerate.framework/Headers/Accelerate.h"
    accelerate.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("Accelerate.h"), accelerate)


def imports(site: Path, llvm: Path) -> tuple[dict[str, set[str]], dict[str, str]]:
    """What the binaries in ``site`` import from each library, and the path by which they load it."""
    symbols: dict[str, set[str]] = {}
    paths: dict[str, str] = {}
    binaries = [str(file) for file in sorted(site.rglob("*")) if file.suffix in {".so", ".dylib"}]
    named = subprocess.run([llvm / "llvm-nm", "-m", "-u", *binaries], capture_output=True, text=True, check=True)
    for name, library in re.findall(r"external (\S+) \(from ([^)]+)\)", named.stdout):
        symbols.setdefault(library, set()).add(name)
    loaded = subprocess.run([llvm / "llvm-otool", "-L", *binaries], capture_output=True, text=True, check=True)
    for path in re.findall(r"^\s+(/\S+) \(compat", loaded.stdout, re.MULTILINE):
        paths[PurePosixPath(path).name.split(".")[0]] = path
    return symbols, paths


def write_library(file: Path, install_name: str, symbols: set[str]) -> None:
    """A text-based stub, as Apple's SDK has them: https://github.com/apple-oss-distributions/tapi."""
    file.parent.mkdir(parents=True, exist_ok=True)
    quoted = ", ".join(f"'{symbol}'" for symbol in sorted(symbols))
    exports = f"exports:\n  - targets: [ arm64-macos ]\n    symbols: [ {quoted} ]\n" if symbols else ""
    head = f"--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\ninstall-name: '{install_name}'\n"
    file.write_text(f"{head}{exports}...\n")


def main(sdk: Path, wheel: Path, site: Path, llvm: Path) -> None:
    """Writes the SDK, and ``symbols.json`` with what each of its libraries is known to export."""
    unpack_headers(sdk, wheel)
    settings = {
        "Version": _VERSION,
        "CanonicalName": f"macosx{_VERSION}",
        "DisplayName": "stand-in",
        "MaximumDeploymentTarget": f"{_VERSION}.99",
        "DefaultDeploymentTarget": _VERSION,
        "SupportedTargets": {"macosx": {"Archs": ["arm64"]}},
    }
    (sdk / "SDKSettings.json").write_text(json.dumps(settings))
    symbols, paths = imports(site, llvm)
    for library, more in _ALSO.items():
        symbols.setdefault(library, set()).update(more)
    for name in ("Accelerate", "Metal", "Foundation", "QuartzCore"):  # the last three are in the flags of MLX's target
        folder = f"System/Library/Frameworks/{name}.framework"
        path = paths.get(name, f"/{folder}/Versions/A/{name}")
        write_library(sdk / folder / f"{name}.tbd", path, symbols.get(name, set()))
    for name in ("libc++", "libobjc"):
        write_library(sdk / f"usr/lib/{name}.tbd", paths[name], symbols[name])
    # Its list is Apple's own, so it is not narrowed to what the wheels import.
    symbols["libSystem"] = set(re.findall(r"[\s'\[,](_[\w$]+)", (sdk / "usr/lib/libSystem.tbd").read_text()))
    (sdk / "symbols.json").write_text(json.dumps({name: sorted(known) for name, known in sorted(symbols.items())}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
