"""Fixtures of the server's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyperaware.server.supervisor import Supervisor

HERE = Path(__file__).parent
STARTS_WITHIN = 60.0
"""Seconds: test machines are slow. Nobody waits for so long on a machine that is not."""


@pytest.fixture
def fake_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Supervisor]]:
    """Makes supervisors of `fake_worker` processes, started and waited for, and stops them in the end."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    made = []

    def make(model: str = "fake-1", *, wait: bool = True, **options: object) -> Supervisor:
        supervisor = Supervisor(model, worker="fake_worker", **options)  # type: ignore[arg-type]
        made.append(supervisor)
        supervisor.start()
        assert not wait or supervisor.wait(STARTS_WITHIN)
        return supervisor

    yield make
    for supervisor in made:
        supervisor.stop()
