"""Runs scripts/check-artifact on valid and broken libraries, and packaging/linker on lists of exports."""

import os
import struct
import subprocess
import sys

ROOT, DIRECTORY = sys.argv[2:]
NAMES = open(f"{ROOT}/packaging/exports").read().split()
ELF = "linux-" + {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[os.uname().machine]


def check(platform, content, name):
    path = f"{DIRECTORY}/{name}"
    with open(path, "wb") as file:
        file.write(content)
    return subprocess.run([sys.executable, f"{ROOT}/scripts/check-artifact", platform, path], capture_output=True, text=True)


def fit(platform, content, name="library"):
    found = check(platform, content, name)
    assert found.returncode == 0 and "fit for" in found.stdout, found


def refuses(complaint, platform, content, name="library"):
    found = check(platform, content, name)
    assert found.returncode == 1, f"{complaint}: not refused: {found}"
    assert complaint in found.stderr, f"{found.stderr!r} does not say {complaint!r}"


def compiled(*more, code=""):
    """Compiles a library for this Linux, with the entry points for SQLite. Only `code` calls the C library."""
    source, library = f"{DIRECTORY}/source.c", f"{DIRECTORY}/compiled"
    with open(source, "w") as file:
        file.write("".join(f"int {name}(void) {{ return 0; }}\n" for name in NAMES) + code)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, *more], check=True)
    with open(library, "rb") as file:
        return file.read()


def padded(text):
    return text.encode() + b"\0"


def macho(names=NAMES, machine=0x0100000C, kind=6, minimum=(11, 0), own="@rpath/litestream-vfs.dylib", needs="/usr/lib/libSystem.B.dylib"):
    """Returns the header of a dylib, with a symbol table."""

    def library(command, name):
        body = padded(name) + bytes(-(len(name) + 1) % 8)
        return struct.pack("<6I", command, 24 + len(body), 24, 0, 0, 0) + body

    commands = library(0xD, own) + library(0xC, needs)
    commands += struct.pack("<6I", 0x32, 24, 1, minimum[0] << 16 | minimum[1] << 8, 0, 0)
    strings = b"\0" + b"".join(padded("_" + name) for name in [*names, "hidden"])
    symbols, at = b"", 1
    for name in [*names, "hidden"]:
        # The last symbol is private.
        symbols += struct.pack("<IBBHQ", at, 0x1F if name == "hidden" else 0x0F, 1, 0, 0)
        at += len(name) + 2
    begin = 32 + len(commands) + 24
    table = struct.pack("<6I", 2, 24, begin, len(names) + 1, begin + len(symbols), len(strings))
    return struct.pack("<8I", 0xFEEDFACF, machine, 0, kind, 4, len(commands) + 24, 0, 0) + commands + table + symbols + strings


def dll(names=NAMES, machine=0x8664, traits=0x2022, needs=("KERNEL32.dll",)):
    """Returns a DLL with one section, which contains its exports and imports."""
    start = 0x1000
    body, places = bytearray(40 + 20 * (len(needs) + 1)), {}
    for name in [*names, *needs]:
        places[name] = start + len(body)
        body += padded(name)
    addresses = start + len(body)
    body += b"".join(struct.pack("<I", places[name]) for name in names)
    struct.pack_into("<5I", body, 20, len(names), len(names), 0, addresses, 0)
    for number, name in enumerate(needs):
        struct.pack_into("<I", body, 40 + 20 * number + 12, places[name])
    directories = struct.pack("<4I", start, 40, start + 40, 20) + bytes(14 * 8)
    optional = struct.pack("<H", 0x20B) + bytes(110) + directories
    head = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, len(optional), traits) + optional
    head += b".rdata\0\0" + struct.pack("<IIII", len(body), start, len(body), start) + bytes(16)
    return head + bytes(start - len(head)) + bytes(body)


good = compiled("-nostdlib")
other = "linux-arm64" if ELF == "linux-amd64" else "linux-amd64"
fit(ELF, good)
refuses("exports crc_fast_checksum", ELF, compiled("-nostdlib", code="int crc_fast_checksum(void) { return 0; }"))
refuses(f"does not export {NAMES[0]}", ELF, compiled("-nostdlib", f"-D{NAMES[0]}=another_name"))
refuses("another architecture", other, good)
refuses("is a library of linux", "darwin-arm64", good)
refuses("more than 14680064", ELF, good + bytes(14 << 20))
refuses("looks for libraries in /opt/lib", ELF, compiled("-nostdlib", "-Wl,-rpath,/opt/lib"))
refuses("is named /opt/x.so", ELF, compiled("-nostdlib", "-Wl,-soname,/opt/x.so"))
refuses("a path of the build machine", ELF, compiled("-nostdlib", code='const char *const at = "/home/someone/main.rs";'))
refuses("truncated", ELF, good[: len(good) // 2])
refuses("not a library of Linux, macOS or Windows", ELF, b"#!/bin/sh\n")

# A symbol version of a C library that is newer than the minimum.
newer = compiled(code="#include <string.h>\nvoid *copy(void *to, void *from, long n) { return memmove(to, from, n); }", *["-Wl,--no-as-needed", "-lc"])
old = next(version for version in (b"GLIBC_2.2.5\0", b"GLIBC_2.17\0") if version in newer)
refuses("newer than 2.17", ELF, newer.replace(old, b"GLIBC_2.99".ljust(len(old) - 1, b"9") + b"\0"))
refuses("needs glibc", ELF + "-musl", newer)

fit("darwin-arm64", macho())
fit("darwin-amd64", macho(machine=0x01000007))
refuses("exports crc_fast_checksum", "darwin-arm64", macho(names=[*NAMES, "crc_fast_checksum"]))
refuses("does not export", "darwin-arm64", macho(names=NAMES[1:]))
refuses("another architecture", "darwin-amd64", macho())
refuses("is not a dynamic library", "darwin-arm64", macho(kind=2))
refuses("newer than 11.0", "darwin-arm64", macho(minimum=(14, 2)))
refuses("is named /opt/lib/x.dylib", "darwin-arm64", macho(own="/opt/lib/x.dylib"))
refuses("needs /opt/homebrew/lib/libzstd.dylib", "darwin-arm64", macho(needs="/opt/homebrew/lib/libzstd.dylib"))

fit("windows-amd64", dll())
fit("windows-arm64", dll(machine=0xAA64))
refuses("exports crc_fast_checksum", "windows-amd64", dll(names=[*NAMES, "crc_fast_checksum"]))
refuses("does not export", "windows-amd64", dll(names=NAMES[1:]))
refuses("another architecture", "windows-arm64", dll())
refuses("is not a 64-bit DLL", "windows-amd64", dll(traits=0x22))
for runtime in ("VCRUNTIME140.dll", "MSVCP140.dll", "api-ms-win-crt-heap-l1-1-0.dll", "libgcc_s_seh-1.dll"):
    refuses(f"needs {runtime}", "windows-amd64", dll(needs=("KERNEL32.dll", runtime)))
refuses("a path of the build machine", "windows-amd64", dll() + rb"C:\Users\someone\main.rs")

# The program needs no exports, and has another kind of file on some systems.
program = "litestream-query"
fit(ELF, compiled("-nostdlib", f"-D{NAMES[0]}=another_name"), program)
fit("darwin-arm64", macho(names=[], kind=2), program)
fit("windows-amd64", dll(names=[], traits=0x22), program + ".exe")
refuses("is not a program", "darwin-arm64", macho(), program)
refuses("is not a 64-bit program", "windows-amd64", dll(), program + ".exe")
refuses("another architecture", other, good, program)
refuses("more than 20971520", ELF, good + bytes(20 << 20), program)


def linked(file, text, argument):
    """Returns the list of exports that packaging/linker passes to the linker."""
    path = f"{DIRECTORY}/{file}"
    with open(path, "w") as out:
        out.write(text)
    arguments = ["-shared", argument.format(path), "-o", "library"]
    ran = subprocess.run([f"{ROOT}/packaging/linker", *arguments], env={**os.environ, "REAL_LINKER": "echo"}, capture_output=True, text=True)
    assert ran.stdout == " ".join(arguments) + "\n", ran
    with open(path) as out:
        return out.read()


# The formats of rustc for ELF, Mach-O and PE. The list of a dependency that is linked separately is unchanged.
all_names = [*NAMES, "crc_fast_checksum"]
found = linked("list", "{\n  global:\n" + "".join(f"    {name};\n" for name in all_names) + "\n  local:\n    *;\n};\n", "-Wl,--version-script={}")
assert "crc_fast" not in found and "local" in found and all(f"    {name};\n" in found for name in NAMES), found
found = linked("list", "".join(f"_{name}\n" for name in all_names), "-Wl,-exported_symbols_list,{}")
assert found == "".join(f"_{name}\n" for name in NAMES), found
found = linked("list.def", "EXPORTS\n" + "".join(f"    {name}\n" for name in all_names), "{}")
assert found == "EXPORTS\n" + "".join(f"    {name}\n" for name in NAMES), found
assert linked("list", "_crc_fast_checksum\n", "-Wl,-exported_symbols_list,{}") == "_crc_fast_checksum\n"
with open(f"{ROOT}/packaging/exports.def") as out:
    assert out.read() == found, "packaging/exports.def has other names than packaging/exports"
print("ok")
