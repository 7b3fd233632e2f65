"""The server under load: 64 clients at once, the model killed in the middle, the audit log counted.

    python -m benchmarks.serve_load --seconds 60

A server of the shipped model runs in a process of its own, its model in another one with one thread; the
clients run here, on the same cores. Before and after, a process with nothing else to do encodes the same
captions by `encode_text` in full batches: that is the throughput of the model itself.

**What is asked for** is that the texts that the server judges in a second are at least 70 % of those that the
model encodes by itself, with `--texts` captions in each request (`lists`): who has much to judge asks so.

Requests of a single text (`single_texts`) are measured too, for at most 15 seconds, and told beside it with
their own share. Their number is bounded by what one request costs, most of it in HTTP and the framework, and
not by the model; nothing is asked of it.

Halfway the model's process is killed. From then until it answers again 503 is the right answer, and counted
apart; throughput and latency are those of the rest of the time. Every answer must hold one decision for each
text, the first one of each client the scores that the model itself gives; and at the end the log must hold a
record of every decision that was told, and of no other.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import in_new_process, machine, write_result
from hyperaware.records.chain import examine, records
from hyperaware.world.rows import World

CLIENTS = 64
BATCH = 64
CAPTIONS = 2048
SHARE, RECOVERY = 0.7, 5.0
"""What is asked for: at least this share of the model's own throughput; at most so many seconds of 503."""
STARTS_WITHIN = 300.0


def captions() -> list[str]:
    """Captions of the world, safe and unsafe ones in turn."""
    world = World("test")
    found = [world[index] for index in range(CAPTIONS // 2)]
    return [text for row in found for text in (row.safe_text, row.unsafe_text)]


def own_throughput(seconds: float, threads: int) -> list[float]:
    """Texts per second, and per processor second, that the model encodes in full batches in this process."""
    import torch

    from hyperaware.models.pretrained import DEFAULT, load

    torch.set_num_threads(threads)
    model, texts = load(DEFAULT), captions()
    model.encode_text(texts[:BATCH])
    done, start, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        place = done % CAPTIONS
        done += len(model.encode_text(texts[place : place + BATCH]))
    return [done / (time.perf_counter() - start), done / (time.process_time() - used)]


def own_scores() -> list[float]:
    """The root distance that the model itself gives each caption."""
    from hyperaware.models.pretrained import DEFAULT, load

    model = load(DEFAULT)
    return model.space.root_distance(model.encode_text(captions())).tolist()


# -- the server ------------------------------------------------------------------------------------------


class Server:
    """A server in a process of its own, over an empty state folder."""

    CODE = """
import sys
from pathlib import Path
from hyperaware.server.run import serve
from hyperaware.server.settings import Settings
serve(
    Settings(
        state=Path(sys.argv[1]), no_auth=True, port=0, requests_per_minute=0, batch_size=int(sys.argv[2])
    ),
    bound=lambda url: print(url, flush=True),
)
"""

    def __init__(self, state: Path) -> None:
        self.audit = state / "audit.jsonl"
        command = [sys.executable, "-c", self.CODE, str(state), str(BATCH)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def workers(self) -> list[int]:
        """Processes of a model: the one that answers, and its spare, in the order of their memory."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = [
            int(pid)
            for task in children.parent.parent.iterdir()
            for pid in (task / "children").read_text().split()
        ]
        models = [pid for pid in found if b"model_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return sorted(models, key=lambda pid: -status_of(pid, "VmRSS"))

    def stop(self) -> float:
        """Seconds until a server that was asked to stop is gone."""
        start = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return time.perf_counter() - start


def status_of(pid: int, key: str) -> int:
    """A figure of /proc/PID/status, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0


def cpu_of(pid: int) -> float:
    """Processor seconds of a process so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- the clients -----------------------------------------------------------------------------------------


@dataclass
class Answers:
    """What the clients got."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    """(when it was answered, after how many seconds), of every 200."""
    statuses: Counter[str] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)
    """When a 503 came."""
    killed: float | None = None
    cpu: dict[str, float] = field(default_factory=dict)
    """Processor seconds of each process, from the beginning to the middle, where the model is killed."""
    answered_then: int = 0
    """Requests that were answered by then."""
    back: float | None = None
    """When the first request was answered that was sent after the kill."""
    told: list[bytes] = field(default_factory=list)
    """The request id of every 200."""
    wrong: int = 0
    """Answers of 200 that do not hold a decision for each text."""
    first: list[tuple[int, bytes]] = field(default_factory=list)
    """The first answer of each client, and the place of its request."""


async def client(
    port: int, bodies: list[bytes], each: int, answers: Answers, end: float, number: int
) -> None:
    """Ask one request after the other over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    place, is_first = number, True
    try:
        while time.perf_counter() < end:
            chosen = place % len(bodies)
            place += CLIENTS
            sent = time.perf_counter()
            status, head, body = await ask(reader, writer, "POST", "/v1/moderations", bodies[chosen])
            now = time.perf_counter()
            answers.statuses[str(status)] += 1
            if status == 200:
                answers.latencies.append((now, now - sent))
                answers.told.append(head.partition(b"x-request-id: req-")[2][:24])
                answers.wrong += body.count(b'"decision_id":') != each
                if is_first:
                    answers.first.append((chosen, body))
                    is_first = False
                if answers.killed is not None and answers.back is None and sent > answers.killed:
                    answers.back = now
            elif status == 503:
                answers.refused.append(now)
                await asyncio.sleep(0.1)  # a client that is told to come again in a second comes far too soon
    except (OSError, asyncio.IncompleteReadError) as error:
        answers.statuses[type(error).__name__] += 1
    finally:
        writer.close()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, body: bytes = b""
) -> tuple[int, bytes, bytes]:
    """Status, head and body of an answer."""
    kind = "Content-Type: application/json"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(answer.split(b"content-length:")[1].split(b"\r\n")[0])
    return int(answer.split(b" ", 2)[1]), answer, await reader.readexactly(length)


async def until_ready(port: int) -> float:
    """Seconds until the server is ready."""
    start = time.perf_counter()
    while time.perf_counter() - start < STARTS_WITHIN:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        status, _, _ = await ask(reader, writer, "GET", "/health/ready")
        writer.close()
        if status == 200:
            return time.perf_counter() - start
        await asyncio.sleep(0.2)
    raise RuntimeError("the server did not become ready")


async def load(
    server: Server, texts: list[str], each: int, seconds: float, *, kill: bool
) -> tuple[Answers, float]:
    """What the clients got within so many seconds for `each` captions a request, and when they began."""
    bodies, answers, start = bodies_of(texts, each), Answers(), time.perf_counter()
    clients = [
        asyncio.create_task(client(server.port, bodies, each, answers, start + seconds, number))
        for number in range(CLIENTS)
    ]
    victim = server.workers()[0]
    processes = {"server": server.process.pid, "model": victim, "clients": os.getpid()}
    before = {name: cpu_of(pid) for name, pid in processes.items()}
    await asyncio.sleep(seconds / 2)
    answers.cpu = {name: cpu_of(pid) - before[name] for name, pid in processes.items()}
    answers.answered_then = len(answers.latencies)
    if kill:
        answers.killed = time.perf_counter()
        os.kill(victim, signal.SIGKILL)
    await asyncio.gather(*clients)
    return answers, start


def bodies_of(texts: list[str], each: int) -> list[bytes]:
    """Requests of so many captions."""
    parts = [texts[place : place + each] for place in range(0, len(texts) - each + 1, each)]
    return [json.dumps({"input": part}).encode() for part in parts]


# -- the figures -----------------------------------------------------------------------------------------


def figures(answers: Answers, start: float, seconds: float, each: int) -> dict[str, Any]:
    """Throughput and latency outside of the recovery, and the recovery itself."""
    killed, back = answers.killed, answers.back
    gap = (killed, back) if killed is not None and back is not None else (0.0, 0.0)
    kept = [
        (at, taken) for at, taken in answers.latencies if not gap[0] <= at <= gap[1] and at <= start + seconds
    ]
    taken = sorted(taken for at, taken in kept)
    errors = {status: count for status, count in answers.statuses.items() if status not in ("200", "503")}
    stray = [at for at in answers.refused if killed is None or not killed <= at <= (back or start + seconds)]
    return {
        "texts_per_request": each,
        "requests": len(answers.latencies),
        "texts_per_second": each * len(kept) / (seconds - (gap[1] - gap[0])),
        "latency_median": statistics.median(taken),
        "latency_p99": taken[int(0.99 * (len(taken) - 1))],
        "errors": errors,
        "answers_that_lack_a_decision": answers.wrong,
        "refused_outside_of_the_recovery": len(stray),
        "refused_during_the_recovery": len(answers.refused) - len(stray),
        "cpu_microseconds_per_text": {
            name: 1e6 * used / (each * answers.answered_then) for name, used in answers.cpu.items()
        },
        "recovery_seconds": None if killed is None or back is None else back - killed,
    }


def audited(server: Server, told: Iterable[tuple[Answers, int]]) -> dict[str, Any]:
    """What the log holds, compared with the decisions that were told."""
    found = examine(server.audit)
    logged = Counter(
        record.fields["request_id"] for record in records(server.audit) if record.event == "decision"
    )
    answered = Counter(
        f"modr-{id.decode()}-{index}"
        for answers, each in told
        for id in answers.told
        for index in range(each)
    )
    return {
        "problems": found.problems,
        "decisions": logged.total(),
        "answered": answered.total(),
        "missing": (answered - logged).total(),
        "not_told": (logged - answered).total(),
    }


def largest_error(answers: Answers, each: int, scores: list[float]) -> float:
    """How far a score in the first answers is from the one that the model itself gives."""
    errors = []
    for place, body in answers.first:
        parts = [part for result in json.loads(body)["results"] for part in result["safety"]["parts"]]
        expected = scores[place * each : (place + 1) * each]
        errors += [abs(part["score"] - own) for part, own in zip(parts, expected, strict=True)]
    return max(errors)


def measured(seconds: float, each: int, threads: int) -> dict[str, Any]:
    """The whole run."""
    texts, short = captions(), min(seconds, 15.0)
    probe = ("benchmarks.serve_load", "--own", str(min(seconds, 10.0)), "--threads", str(threads))
    before, scores = in_new_process(*probe), in_new_process("benchmarks.serve_load", "--scores")
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            ready = asyncio.run(until_ready(server.port))
            time.sleep(min(seconds, 20.0))  # until the spare has loaded its libraries
            lists, start = asyncio.run(load(server, texts, each, seconds, kill=True))
            listed = figures(lists, start, seconds, each)
            single, start = asyncio.run(load(server, texts, 1, short, kill=False))
            singles = figures(single, start, short, 1)
        finally:
            stopped = server.stop()
        log = audited(server, [(lists, each), (single, 1)])
    own, per_cpu = (statistics.mean(pair) for pair in zip(before, in_new_process(*probe), strict=True))
    for found, answers, size in ((listed, lists, each), (singles, single, 1)):
        found["share_of_own"] = found["texts_per_second"] / own
        found["largest_error_of_a_score"] = largest_error(answers, size, scores)
    return {
        "clients": CLIENTS,
        "seconds": seconds,
        "own_texts_per_second": own,
        "own_cpu_microseconds_per_text": 1e6 / per_cpu,
        "lists": listed,
        "single_texts": singles,
        "audit": log,
        "ready_seconds": ready,
        "drain_seconds": stopped,
        "asked_for": {"lists.share_of_own": SHARE, "lists.recovery_seconds": RECOVERY},
        "passed": passed(listed, singles, log),
    }


def passed(listed: dict[str, Any], singles: dict[str, Any], log: dict[str, Any]) -> bool:
    """Whether everything that is asked for holds."""
    recovery = listed["recovery_seconds"]
    right = all(
        not found["errors"]
        and not found["refused_outside_of_the_recovery"]
        and not found["answers_that_lack_a_decision"]
        and found["largest_error_of_a_score"] < 1e-4
        for found in (listed, singles)
    )
    whole = not log["problems"] and log["missing"] == log["not_told"] == 0
    return (
        listed["share_of_own"] >= SHARE and recovery is not None and recovery <= RECOVERY and right and whole
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--texts", type=int, default=16, help="captions in one request")
    parser.add_argument("--threads", type=int, default=1, help="of the model, for its own throughput")
    parser.add_argument("--own", type=float, help="only the model's own throughput, for so many seconds")
    parser.add_argument("--scores", action="store_true", help="only the model's own scores of the captions")
    parser.add_argument("--write", action="store_true", help="keep the figures in benchmarks/results")
    chosen = parser.parse_args()
    if chosen.own is not None:
        print(own_throughput(chosen.own, chosen.threads))
        return
    if chosen.scores:
        print(own_scores())
        return
    document = measured(chosen.seconds, chosen.texts, chosen.threads)
    print(json.dumps({"machine": machine(), **document}, indent=1))
    if chosen.write:
        print(write_result("serve_load", document))
    sys.exit(0 if document["passed"] else 1)


if __name__ == "__main__":
    main()
