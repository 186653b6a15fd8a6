"""A private certificate authority, made in a test."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=20)


class Authority:
    """`with Authority() as authority:` then `authority.certificate` is what a client has to trust.

    The folder it lies in can be mounted: `Box(mounts={authority.public: "/ca"})`, `sslrootcert=/ca/ca.crt`.
    """

    def __enter__(self) -> Authority:
        self._folder = Path(tempfile.mkdtemp(prefix="flagon-test-"))
        self._folder.chmod(0o755)
        self.public = self._folder / "public"
        self.public.mkdir()
        self.certificate = self.public / "ca.crt"
        self._key = self._folder / "ca.key"
        openssl(*"req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj".split(), "/CN=test CA",
                "-keyout", self._key, "-out", self.certificate)  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def issue(self, host: str) -> Path:
        """A folder with server.crt and server.key for this host name."""
        folder = self._folder / host
        folder.mkdir()
        request, extensions = folder / "request", folder / "extensions"
        extensions.write_text(f"subjectAltName=DNS:{host}\n", encoding="utf-8")
        openssl(*"req -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj".split(), f"/CN={host[:64]}",
                "-keyout", folder / "server.key", "-out", request)  # fmt: skip
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                "-days", "2", "-extfile", extensions, "-out", folder / "server.crt")  # fmt: skip
        return folder
