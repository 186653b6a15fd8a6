"""How large the box is, from made-up machines: every file that a kernel or a platform may show, and junk in each."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import math

import pytest
from fakes import put, view_of_os

from flagon import sizing
from flagon.inside import oom
from flagon.sizing import BOX_MEMORY, WORKERS_MAX, Machine
from flagon.table import SETTINGS

WORKER_MEMORY = int(SETTINGS["WORKER_MEMORY"].default)
MEGABYTE = 1 << 20
CPU_V2, MEMORY_V2 = "sys/fs/cgroup/cpu.max", "sys/fs/cgroup/memory.max"
CPU_V1, PERIOD_V1 = "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "sys/fs/cgroup/cpu/cpu.cfs_period_us"
MEMORY_V1 = "sys/fs/cgroup/memory/memory.limit_in_bytes"
MEMINFO = "proc/meminfo"
V1_GROUPS = "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n"
V1_OWN_CPU = "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us"


@pytest.fixture
def measure(tmp_path):
    def measure(files, affinity=8, fly_memory=""):
        for name, text in {MEMINFO: "MemTotal: 8388608 kB\nMemFree: 1 kB\n", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return sizing.machine(str(tmp_path), affinity, fly_memory)

    return measure


@pytest.mark.parametrize(("files", "cpu", "source"), [
    ({}, 8, "affinity"),
    ({CPU_V2: "max 100000\n"}, 8, "affinity"),
    ({CPU_V2: "200000 100000\n"}, 2, "/" + CPU_V2),
    ({CPU_V2: "10000 100000\n"}, 0.1, "/" + CPU_V2),
    ({CPU_V2: "150000 100000"}, 1.5, "/" + CPU_V2),
    ({CPU_V2: "1600000 100000\n"}, 8, "affinity"),
    ({CPU_V2: "max 100000", "proc/self/cgroup": "0::/my.slice\n", "sys/fs/cgroup/my.slice/cpu.max": "50000 100000"},
     0.5, "/sys/fs/cgroup/my.slice/cpu.max"),
    ({CPU_V2: "100000 100000", "proc/self/cgroup": "0::/my.slice\n", "sys/fs/cgroup/my.slice/cpu.max": "300000 100000"},
     1, "/" + CPU_V2),
    ({CPU_V2: "100000 100000", "proc/self/cgroup": "0::/\n"}, 1, "/" + CPU_V2),
    ({CPU_V1: "-1", PERIOD_V1: "100000"}, 8, "affinity"),
    ({CPU_V1: "250000\n", PERIOD_V1: "100000\n"}, 2.5, "/" + CPU_V1),
    ({CPU_V1: "-1", PERIOD_V1: "100000", "proc/self/cgroup": V1_GROUPS, V1_OWN_CPU: "100000",
      "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "50000"}, 2, "/" + V1_OWN_CPU),
    ({CPU_V1: "250000"}, 8, "affinity"),  # no period
    ({CPU_V1: "250000", PERIOD_V1: "0"}, 8, "affinity"),
    ({CPU_V1: "0", PERIOD_V1: "100000"}, 8, "affinity"),
    ({CPU_V2: ""}, 8, "affinity"),
    ({CPU_V2: "junk"}, 8, "affinity"),
    ({CPU_V2: "200000"}, 8, "affinity"),
    ({CPU_V2: "200000 0"}, 8, "affinity"),
    ({CPU_V2: "0 100000"}, 8, "affinity"),
    ({CPU_V2: b"\xff\xfe"}, 8, "affinity"),
    ({CPU_V2: "1 2 3"}, 8, "affinity"),
    ({"proc/self/cgroup": b"\xff::junk\n:\n0::\n"}, 8, "affinity"),
    ({"proc/self/cgroup": "junk\n0\n::::\n", CPU_V2: "200000 100000"}, 2, "/" + CPU_V2),
])  # fmt: skip
def test_cpu(measure, files, cpu, source):
    found = measure(files)
    assert (found.cpu, found.cpu_source) == (cpu, source)


@pytest.mark.parametrize("affinity", [1, 2, 64])
def test_affinity(measure, affinity):
    assert measure({}, affinity).cpu == affinity
    assert measure({CPU_V2: "400000 100000"}, affinity).cpu == min(4, affinity)


def test_the_real_affinity_counts(tmp_path, monkeypatch):
    view_of_os(monkeypatch, sizing, sched_getaffinity=lambda pid: {3, 5, 7})
    assert sizing.machine(str(tmp_path)).cpu == 3


@pytest.mark.parametrize(("files", "fly", "memory", "source"), [
    ({}, "", 8192, "MemTotal"),
    ({MEMORY_V2: "max\n"}, "", 8192, "MemTotal"),
    ({MEMORY_V2: f"{512 * MEGABYTE}\n"}, "", 512, "/" + MEMORY_V2),
    ({MEMORY_V2: f"{64 << 30}\n"}, "", 8192, "MemTotal"),
    ({MEMORY_V2: "0"}, "", 8192, "MemTotal"),
    ({MEMORY_V2: "-1"}, "", 8192, "MemTotal"),
    ({MEMORY_V2: "junk"}, "", 8192, "MemTotal"),
    ({MEMORY_V2: ""}, "", 8192, "MemTotal"),
    ({MEMORY_V2: "max", "proc/self/cgroup": "0::/pod/x", "sys/fs/cgroup/pod/x/memory.max": f"{300 * MEGABYTE}"},
     "", 300, "/sys/fs/cgroup/pod/x/memory.max"),
    ({MEMORY_V1: f"{256 * MEGABYTE}"}, "", 256, "/" + MEMORY_V1),
    ({MEMORY_V1: "9223372036854771712\n"}, "", 8192, "MemTotal"),
    ({MEMORY_V1: "9223372036854771712", "proc/self/cgroup": V1_GROUPS,
      "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{128 * MEGABYTE}"},
     "", 128, "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes"),
    ({}, "256", 256, "FLY_VM_MEMORY_MB"),
    ({MEMORY_V2: f"{128 * MEGABYTE}"}, "256", 128, "/" + MEMORY_V2),
    ({}, "99999", 8192, "MemTotal"),
    ({}, "0", 8192, "MemTotal"),
    ({}, "512 MB", 8192, "MemTotal"),
    ({}, "-5", 8192, "MemTotal"),
    ({MEMINFO: "MemFree: 5 kB\n", MEMORY_V1: "9223372036854771712"}, "", 512, "a guess: /proc/meminfo is not readable"),
    ({MEMINFO: ""}, "", 512, "a guess: /proc/meminfo is not readable"),
    ({MEMINFO: "MemTotal: junk kB\n"}, "", 512, "a guess: /proc/meminfo is not readable"),
    ({MEMINFO: "MemTotal:\n"}, "", 512, "a guess: /proc/meminfo is not readable"),
])  # fmt: skip
def test_memory(measure, files, fly, memory, source):
    found = measure(files, fly_memory=fly)
    assert (found.memory, found.memory_source) == (memory, source)


def test_without_a_memory_file_a_limit_beyond_the_guess_counts(measure):
    """The guess stands for what is not known; a limit that says more is better than the guess."""
    found = measure({MEMINFO: "", MEMORY_V2: f"{4096 * MEGABYTE}"})
    assert found.memory == 4096


def test_nothing_is_readable(tmp_path):
    found = sizing.machine(str(tmp_path / "nowhere"), 4)
    assert (found.cpu, found.memory) == (4, 512)


# platforms.md section 14: place, cpu, memory
PLACES = [
    ("Render free", 0.1, 512), ("Render standard", 1, 2048), ("Fly shared-1x", 1, 256), ("Cloud Run 1/512", 1, 512),
    ("Heroku Std-1X", 8, 512), ("Heroku Std-2X", 8, 1024), ("Heroku Perf-M", 2, 2560), ("Railway Hobby", 8, 8192),
    ("Railway Pro", 24, 24576), ("VPS 2/4 GB", 2, 4096), ("k8s 250m/256Mi", 0.25, 256), ("64 cores, no limit", 64, 262144),
]  # fmt: skip
# What that section recommends at 160 MB a worker; lighter workers may only be more.
RECOMMENDED = [2, 2, 1, 2, 2, 5, 3, 8, 8, 3, 1, 8]


def formula(cpu, memory, worker_memory):
    """The issue's words: clamp(min(ceil(cpu) + 1, (memory - box) / worker memory), 1, 8)."""
    wanted = min(math.ceil(cpu) + 1, (memory - BOX_MEMORY) // worker_memory)
    return sorted((1, wanted, WORKERS_MAX))[1]


@pytest.mark.parametrize(("place", "cpu", "memory"), PLACES)
@pytest.mark.parametrize("worker_memory", [WORKER_MEMORY, 160])
def test_places(place, cpu, memory, worker_memory):
    size = sizing.size(Machine(cpu, "x", memory, "y"), worker_memory)
    assert size.workers == formula(cpu, memory, worker_memory)


@pytest.mark.parametrize(("row", "recommended"), list(zip(PLACES, RECOMMENDED, strict=True)))
def test_places_against_the_research(row, recommended):
    assert sizing.size(Machine(row[1], "x", row[2], "y"), WORKER_MEMORY).workers >= recommended


@pytest.mark.parametrize(
    ("cpu", "workers"), [(0.1, 2), (1, 2), (1.01, 3), (1.5, 3), (2, 3), (4, 5), (7, 8), (8, 8), (64, 8)]
)
def test_by_cpu(cpu, workers):
    assert sizing.size(Machine(cpu, "x", 1 << 20, "y"), WORKER_MEMORY).workers == workers


@pytest.mark.parametrize(("memory", "workers"), [
    (0, 1), (BOX_MEMORY - 1, 1), (BOX_MEMORY, 1), (BOX_MEMORY + 100, 1), (BOX_MEMORY + 199, 1), (BOX_MEMORY + 200, 2),
    (BOX_MEMORY + 799, 7), (BOX_MEMORY + 800, 8), (BOX_MEMORY + 9000, 8),
])  # fmt: skip
def test_by_memory(memory, workers):
    assert sizing.size(Machine(32, "x", memory, "y"), 100).workers == workers


@pytest.mark.parametrize(("cpu", "nginx"), [(0.1, 1), (1, 1), (1.9, 1), (2, 2), (3.5, 3), (4, 4), (64, 4)])
def test_nginx_workers(cpu, nginx):
    assert sizing.size(Machine(cpu, "x", 4096, "y"), 100).nginx_workers == nginx


@pytest.mark.parametrize(("cpu", "memory", "limit"), [
    (1, 4096, "CPU + 1"), (8, 300, "memory at 100 MB a worker"), (64, 1 << 20, "the cap of 8"),
    (64, BOX_MEMORY + 850, "the cap of 8"), (64, BOX_MEMORY + 750, "memory at 100 MB a worker"),
    (7, 1 << 20, "CPU + 1"),
])  # fmt: skip
def test_the_reason_names_sources_and_the_limit_that_counted(cpu, memory, limit):
    size = sizing.size(Machine(cpu, "/some/file", memory, "MemTotal"), 100)
    assert (
        size.reason
        == f"{cpu} CPU from /some/file, {memory} MB from MemTotal: {size.workers} worker{'s' * (size.workers > 1)} by {limit}"
    )


@pytest.mark.parametrize(
    ("files", "workers", "memory", "connections"),
    [
        (1024, 1, 4096, 480), (4096, 2, 4096, 2016), (1 << 20, 1, 4096, 12288), (1 << 20, 2, 4096, 6144),
        (1 << 20, 4, 4096, 4096), (1 << 20, 1, 512, 2048), (1 << 20, 2, 256, 1024), (1 << 20, 1, 8, 64),
        (64, 1, 4096, 64), (10, 1, 4096, 64),
    ],
)  # fmt: skip
def test_connections(files, workers, memory, connections):
    assert sizing.connections(files, workers, memory) == connections


INFINITY = sizing.resource.RLIM_INFINITY


@pytest.mark.parametrize(("soft", "hard", "refused", "result", "raised"), [
    (1024, 4096, False, 4096, (4096, 4096)),
    (1024, 4096, True, 1024, None),
    (4096, 4096, False, 4096, None),
    (1024, INFINITY, False, 1_000_000, (1_000_000, INFINITY)),
    (INFINITY, INFINITY, False, 1_000_000, None),
    (1024, 1 << 30, False, 1_000_000, (1_000_000, 1 << 30)),
])  # fmt: skip
def test_open_files(monkeypatch, soft, hard, refused, result, raised):
    calls = []

    def setrlimit(kind, limits):
        if refused:
            raise PermissionError
        calls.append(limits)

    monkeypatch.setattr(sizing.resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(sizing.resource, "setrlimit", setrlimit)
    assert sizing.open_files() == result
    assert calls == ([raised] if raised else [])


@pytest.mark.parametrize(("files", "group", "kills"), [
    ({"memory.events": "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"}, "", 2), ({"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"}, "", 4),
    ({"box/a/memory.events": "oom_kill 5\n"}, "0::/box/a\n", 5), ({"memory/box/memory.oom_control": "oom_kill 6\n"}, "4:cpu:/box\n3:cpuset,memory:/box\n", 6),
    ({"memory.events": "oom_kill many\n"}, "", 0), ({}, "nonsense\n", 0), ({}, "0::/gone\n", 0),
])  # fmt: skip
def test_kills_for_want_of_memory_are_counted_in_either_cgroup(tmp_path, monkeypatch, files, group, kills):
    root = put(tmp_path / "cgroup", files)
    (tmp_path / "self").write_text(group)
    monkeypatch.setattr(oom, "FILES", (f"{root}/memory.events", f"{root}/memory/memory.oom_control"))
    monkeypatch.setattr(oom, "OWN_GROUP", str(tmp_path / "self"))
    assert oom.count() == kills


def test_a_program_is_said_to_have_wanted_memory_if_the_kernel_has_killed_one_since(monkeypatch):
    kills = [1]
    monkeypatch.setattr(oom, "count", lambda: kills[0])
    monkeypatch.setattr(oom, "_seen", 1)
    monkeypatch.setattr(sizing, "machine", lambda: Machine(1, "affinity", 40, "/sys/fs/cgroup/memory.max"))
    assert oom.why(-9) == oom.why(137) == ""
    kills[0] = 2
    assert oom.why(1) == ""
    said = oom.why(-9)
    assert said.startswith(
        "the kernel killed it for want of memory (OOM): the container's limit is 40 MB (/sys/fs/cgroup/memory.max). "
    )
    assert "docker run -m" in said
    assert oom.why(-9) == ""
    monkeypatch.setattr(sizing, "machine", lambda: Machine(1, "affinity", 512, "MemTotal"))
    assert oom.advice() == "the machine has 512 MB, and the container no limit of its own. It needs a larger machine"
