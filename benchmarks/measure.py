"""What the benchmarks share: CPU time, extra memory, the machine's name, and a result on disk."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

__all__ = ["cpu_seconds", "extra_memory", "in_new_process", "machine", "peak_memory", "write_result"]

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Processor, number of cores, operating system."""
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process for one call; on one thread, other programs do not disturb them much."""
    start = time.process_time()
    work()
    return time.process_time() - start


def peak_memory() -> int:
    """The most bytes of memory that this process has held since it began, or since `extra_memory` began."""
    return _status("VmHWM")


def extra_memory(work: Callable[[], Any]) -> int:
    """Bytes that one call needs beyond what the process holds already (Linux only)."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
    before = _status("VmRSS")
    work()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {key}: memory cannot be measured on this system.")


def in_new_process(module: str, *words: str) -> Any:
    """The JSON document that `python -m MODULE WORDS` prints: a process has a memory of its own."""
    done = subprocess.run(
        [sys.executable, "-m", module, *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def write_result(name: str, document: dict[str, Any]) -> Path:
    """The path of results/NAME.json, with the machine, the versions and the time beside the figures."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    about = {
        "command": f"python -m benchmarks.{name}",
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    path.write_text(json.dumps({**about, **document}, indent=1) + "\n", encoding="utf-8")
    return path
