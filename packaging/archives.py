"""What the packages for other languages take from the release archives of packaging/package."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LICENSES = ("LICENSE-APACHE", "LICENSE-MIT")


def version():
    return subprocess.run([ROOT / "packaging/version"], check=True, capture_output=True, text=True).stdout.strip()


def licenses():
    return {name: (ROOT / name).read_bytes() for name in LICENSES}


def from_archive(archives, release, library):
    """Returns the library and the licences of what it contains, from the archive for a platform, as a dictionary from names to bytes."""
    name = f"litestream-vfs-v{version()}-{release}"
    wanted = (library, "THIRD-PARTY-LICENSES.txt")
    path = archives / f"{name}.zip"
    if path.exists():
        with zipfile.ZipFile(path) as archive:
            return {file: archive.read(f"{name}/{file}") for file in wanted}
    with tarfile.open(archives / f"{name}.tar.gz") as archive:
        return {file: archive.extractfile(f"{name}/{file}").read() for file in wanted}


def platform_files(source, release, library):
    """As `from_archive`, if `source` is a directory of archives. From PLATFORM=LIBRARY, only that library."""
    _, given, path = source.partition("=")
    return {library: Path(path).read_bytes()} if given else from_archive(Path(source), release, library)
