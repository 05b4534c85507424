"""What the operating system says is left, read from files as it writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.adapters.resources import SystemResources
from gatepost.ports.resources import Resource

MIB = 1 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Machine:
    """A /proc and a /sys/fs/cgroup of its own."""

    def __init__(self, place: Path) -> None:
        self.proc, self.cgroups = place / "proc", place / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.cgroups.mkdir()
        self.says(own=100, total=1000, available=600)

    def says(self, *, own: int, total: int, available: int) -> None:
        """All in MiB."""
        (self.proc / "self/statm").write_text(f"9999 {own * MIB // PAGE_BYTES} 1 1 0 1 0\n")
        (self.proc / "meminfo").write_text(
            f"MemTotal: {total * 1024} kB\nMemFree: 5 kB\nMemAvailable: {available * 1024} kB\n"
        )

    def group(self, name: str, *, limit: str, current: int = 0, cache: int = 0) -> None:
        (self.proc / "self/cgroup").write_text(f"0::/{name}\n")
        place = self.cgroups / name
        place.mkdir(exist_ok=True)
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text(f"{current * MIB}\n")
        (place / "memory.stat").write_text(f"anon 1\ninactive_file {cache * MIB}\n")

    def read(self, *, workers: int = 1) -> dict[Resource, float]:
        seen = SystemResources(self.proc, workers=workers, proc=self.proc, cgroups=self.cgroups).read()
        return {resource: round(value, 1) for resource, value in seen.items()}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_memory_in_percent(machine: Machine) -> None:
    seen = machine.read()
    assert seen[Resource.MEMORY] == 10.0
    assert seen[Resource.SYSTEM_MEMORY] == 40.0


def test_each_worker_has_its_share(machine: Machine) -> None:
    assert machine.read(workers=4)[Resource.MEMORY] == 40.0


@pytest.mark.threat("G18")
def test_a_control_group_that_is_nearly_full_counts_without_its_cache(machine: Machine) -> None:
    machine.group("mail", limit=str(200 * MIB), current=190, cache=30)
    seen = machine.read()
    assert seen[Resource.MEMORY] == 50.0
    assert seen[Resource.SYSTEM_MEMORY] == 80.0


def test_a_control_group_without_a_limit_is_the_machine(machine: Machine) -> None:
    machine.group("mail", limit="max", current=190)
    assert machine.read()[Resource.SYSTEM_MEMORY] == 40.0


def test_inside_a_container_the_group_is_the_root(machine: Machine) -> None:
    machine.group(".", limit=str(200 * MIB), current=100)
    (machine.proc / "self/cgroup").write_text("0::/somewhere/on/the/host\n")
    assert machine.read()[Resource.SYSTEM_MEMORY] == 50.0


@pytest.mark.parametrize("said", ["", "nonsense\n", "MemTotal: x kB\nMemAvailable: 1 kB\n"])
def test_what_cannot_be_read_is_left_out(machine: Machine, said: str) -> None:
    (machine.proc / "meminfo").write_text(said)
    (machine.proc / "self/statm").write_text(said)
    assert Resource.MEMORY not in machine.read()
    assert Resource.SYSTEM_MEMORY not in machine.read()


def test_a_directory_that_is_gone_is_left_out(machine: Machine, tmp_path: Path) -> None:
    seen = SystemResources(tmp_path / "gone", workers=1, proc=machine.proc).read()
    assert Resource.DISK not in seen
    assert Resource.INODES not in seen


@pytest.mark.threat("O05", "O07")
def test_the_real_machine_has_everything(tmp_path: Path) -> None:
    seen = SystemResources(tmp_path, workers=1).read()
    assert seen[Resource.DISK] > 0
    assert 0 < seen[Resource.MEMORY] < 100
    assert 0 < seen[Resource.SYSTEM_MEMORY] <= 100
