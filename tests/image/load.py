"""Clients that send GET and POST without a pause and count what fails; none of them tries anything twice."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter

import requests

from .apps.wire import BLOCK, Probe

CLIENTS = 4
BODY = BLOCK[:40_000]
DIGEST = hashlib.sha256(BODY).hexdigest()


class Load:
    """Each client on a connection that it keeps, until told to stop."""

    def __init__(self, box: Probe, direct: bool = False) -> None:
        """`direct`: to the container's own address, where a closed port refuses; the engine's proxy takes all."""
        self.url = f"http://{box.ip}:8080" if direct else f"http://127.0.0.1:{box.host_port()}"
        self.stop = threading.Event()
        self.errors: list[str] = []
        self.served: Counter[int] = Counter()  # by worker
        self.slowest = 0.0
        self.threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def until(self, workers: int, seconds: float) -> None:
        """Until so many workers have served."""
        deadline = time.monotonic() + seconds
        while len(self.served) < workers and time.monotonic() < deadline and len(self.errors) < 50:
            time.sleep(0.05)

    def _client(self, number: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not self.stop.is_set():
                begun = time.monotonic()
                try:
                    self.served[self._one(session, number)] += 1
                except Exception as error:
                    self.errors.append(f"{time.strftime('%X')} {type(error).__name__}: {error}")
                    if len(self.errors) > 50 or self.stop.wait(0.05):
                        return
                self.slowest = max(self.slowest, time.monotonic() - begun)
                number += 1

    def _one(self, session: requests.Session, number: int) -> int:
        if number % 3 == 0:
            answer = session.post(f"{self.url}/take", data=BODY, timeout=(2, 15))
            assert answer.status_code == 200, f"POST {answer.status_code} {answer.headers} {answer.text[:100]}"
            assert answer.json()["sha256"] == DIGEST
            return int(answer.json()["pid"])
        path = "/sleep?s=0.02" if number % 7 == 0 else "/memory"
        answer = session.get(self.url + path, timeout=(2, 15))
        assert answer.status_code == 200, f"GET {path} {answer.status_code} {answer.headers} {answer.text[:100]}"
        return int(answer.json()["pid"])


class Drained(Load):
    """Clients of a load balancer: it asks /ready ten times a second, and sends nothing more once that is not 200."""

    def __init__(self, box: Probe) -> None:
        super().__init__(box, direct=True)
        self.threads.append(threading.Thread(target=self._balance))

    def _balance(self) -> None:
        while not self.stop.wait(0.1):
            try:
                ready = requests.get(f"{self.url}/ready", timeout=5).status_code == 200
            except requests.RequestException:
                ready = False
            if not ready:
                self.stop.set()
