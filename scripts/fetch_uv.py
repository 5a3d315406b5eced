"""Download of uv from PyPI with the standard library only: `python3 scripts/fetch_uv.py DESTINATION`.

`make setup` calls it if python3 has no pip and cannot install one, as on a minimal Debian.
"""

import hashlib
import io
import json
import platform
import sys
import urllib.request
import zipfile
from pathlib import Path

VERSION = "0.13.9"
INDEX = "https://pypi.org/simple/uv/"


def fetch(destination: Path) -> None:
    """Write the uv executable to `destination`.

    Raises:
        OSError: the index cannot be reached or the file cannot be written.
        LookupError: the index has no build for this platform.
        ValueError: the checksum of the download is not the one listed by the index.
    """
    request = urllib.request.Request(INDEX, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        files = {file["filename"]: file for file in json.load(reply)["files"]}
    # The musl build is static and runs with every C library.
    suffix = f"musllinux_1_1_{platform.machine()}.whl"
    names = [name for name in files if name.startswith(f"uv-{VERSION}-") and name.endswith(suffix)]
    if not names:
        raise LookupError(f"{INDEX} has no uv {VERSION} for {platform.system()} on {platform.machine()}")
    with urllib.request.urlopen(files[names[0]]["url"], timeout=30) as reply:
        wheel = reply.read()
    if hashlib.sha256(wheel).hexdigest() != files[names[0]]["hashes"]["sha256"]:
        raise ValueError(f"{names[0]}: the sha256 of the download is not the one listed by {INDEX}")
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_bytes(zipfile.ZipFile(io.BytesIO(wheel)).read(f"uv-{VERSION}.data/scripts/uv"))
    destination.chmod(0o755)


if __name__ == "__main__":
    try:
        fetch(Path(sys.argv[1]))
    except (OSError, LookupError, ValueError) as error:
        sys.exit(f"cannot download uv: {error}")
