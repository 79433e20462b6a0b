"""The wheel of this machine, and those of the releases as far as they can be checked here."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import litestream_vfs_rs
import pytest
from testing import SAMPLE, Document

ROOT = SAMPLE.parents[1]
WHEEL = next(Path(os.environ["WHEELS"]).glob("litestream_vfs_rs-*.whl"))
VERSION = litestream_vfs_rs.__version__
# The tags of a wheel, and a platform for which pip must choose it.
PLATFORMS = {
    "linux-amd64": ("manylinux_2_17_x86_64", "manylinux_2_17_x86_64"),
    "linux-arm64": ("manylinux_2_17_aarch64", "manylinux_2_17_aarch64"),
    "linux-amd64-musl": ("musllinux_1_2_x86_64", "musllinux_1_2_x86_64"),
    "linux-arm64-musl": ("musllinux_1_2_aarch64", "musllinux_1_2_aarch64"),
    "darwin-amd64": ("macosx_11_0_x86_64", "macosx_14_0_x86_64"),
    "darwin-arm64": ("macosx_11_0_arm64", "macosx_15_0_arm64"),
    "windows-amd64": ("win_amd64", "win_amd64"),
    "windows-arm64": ("win_arm64", "win_arm64"),
}


def run(*command: object, **options: object) -> str:
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload]
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return str(ended.stdout)


def test_the_guides_install_it_in_a_fresh_environment_without_a_compiler(shop: str, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    for compiler in ("cc", "gcc", "clang", "cargo", "rustc"):
        (python.parent / compiler).write_text("#!/bin/sh\nexit 1\n")
        (python.parent / compiler).chmod(0o755)
    # There is no package index but the directory of the wheel.
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEEL.parent), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for name in ("python.md", "from-the-go-extension.md"):
        guide = Document(ROOT / "docs" / name, tmp_path, index, python=python)
        guide.run(guide.blocks("sh")[0])
        run(python, "-m", "pip", "check")
    guide = Document(ROOT / "docs/python.md", tmp_path, python=python)
    assert guide.run(guide.blocks("python")[0]) == "632\n"
    run(python, "-m", "pip", "uninstall", "--yes", "litestream-vfs-rs")
    assert not list(tmp_path.glob("venv/lib/*/site-packages/litestream_vfs_rs*"))


def test_the_version_is_that_of_the_library() -> None:
    assert f'\nversion = "{VERSION}"\n' in (ROOT / "Cargo.toml").read_text()


def test_the_same_library_gives_the_same_bytes(tmp_path: Path) -> None:
    library = tmp_path / Path(os.environ["LIBRARY"]).name
    library.write_bytes(Path(litestream_vfs_rs.loadable_path()).read_bytes())
    os.utime(library, (2e9, 2e9))
    again = run(sys.executable, ROOT / "packaging/wheel", "--library", library, tmp_path / "again").strip()
    assert Path(again).name == WHEEL.name
    assert hashlib.sha256(Path(again).read_bytes()).digest() == hashlib.sha256(WHEEL.read_bytes()).digest()


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of archives with the names and the files of a release, with a text instead of each library."""
    directory = tmp_path_factory.mktemp("dist")
    archives = [release(directory, platform) for platform in PLATFORMS]
    printed = run(sys.executable, ROOT / "packaging/wheel", *archives).split()
    assert sorted(printed) == sorted(map(str, directory.glob("*.whl")))
    return directory


def release(directory: Path, platform: str) -> Path:
    name = f"litestream-vfs-v{VERSION}-{platform}"
    suffix = {"linux": "so", "darwin": "dylib", "windows": "dll"}[platform.split("-")[0]]
    files = {
        f"{name}/litestream-vfs.{suffix}": f"the library for {platform}",
        f"{name}/THIRD-PARTY-LICENSES.txt": "licences",
        f"{name}/README.md": "-",
    }
    if suffix == "dll":
        with zipfile.ZipFile(directory / f"{name}.zip", "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)
        return directory / f"{name}.zip"
    with tarfile.open(directory / f"{name}.tar.gz", "w:gz") as tar:
        for file, content in files.items():
            entry = tarfile.TarInfo(file)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))
    return directory / f"{name}.tar.gz"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_pip_chooses_the_wheel_of_each_platform(releases: Path, platform: str, tmp_path: Path) -> None:
    tag, system = PLATFORMS[platform]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-index", "--find-links", releases, "--only-binary", ":all:"]
    run(*command, "--platform", system, "--python-version", "3.9", "--dest", tmp_path, "litestream-vfs-rs")
    (path,) = tmp_path.glob("*.whl")
    assert path.name == f"litestream_vfs_rs-{VERSION}-py3-none-{tag}.whl"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        (library,) = (name for name in names if re.search(r"\.(so|dylib|dll)$", name))
        assert archive.read(library).decode() == f"the library for {platform}"
        assert "litestream_vfs_rs/py.typed" in names
        licences = f"litestream_vfs_rs-{VERSION}.dist-info/licenses/"
        assert {name.removeprefix(licences) for name in names if name.startswith(licences)} == {
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "LICENSE-THIRD-PARTY.txt",
        }


def test_the_checkers_of_wheels_find_nothing(releases: Path) -> None:
    wheels = [WHEEL, *sorted(releases.glob("*.whl"))]
    printed = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *wheels)
    assert printed.count("PASSED") == len(wheels)
    # W004: the library looks like a Python module with a name that cannot be imported.
    run(sys.executable, "-m", "check_wheel_contents", "--ignore", "W004", *wheels)


def test_an_archive_of_another_system_is_refused(tmp_path: Path) -> None:
    unknown = tmp_path / f"litestream-vfs-v{VERSION}-plan9-amd64.tar.gz"
    ended = subprocess.run([sys.executable, ROOT / "packaging/wheel", unknown], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "is for none of linux-amd64, " in ended.stderr
