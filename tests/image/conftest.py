"""Fixtures for the image's tests; the log of every container that runs while a test fails is in its report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import box as boxes
from . import networked, servers
from .box import Box


@pytest.fixture(scope="module")
def starter() -> Iterator[Box]:
    """The starter application, one container for a test file."""
    with Box() as box:
        yield box


@pytest.fixture(scope="module")
def net() -> Iterator[str]:
    """A docker network, one for a test file; its name."""
    with networked.network() as name:
        yield name


@pytest.fixture
def volume() -> Iterator[str]:
    """A named volume of this test's own; its name."""
    with networked.volume() as name:
        yield name


@pytest.fixture
def free_port() -> int:
    return boxes.free_port()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed:
        for running in [*boxes.open_boxes, *servers.open_servers]:
            report.sections.append((f"container {running.name}", running.report()))


def pytest_sessionfinish() -> None:
    for running in [*boxes.open_boxes, *servers.open_servers]:
        running.__exit__(None, None, None)
