"""`hyperaware serve`: what its words become, and what it makes for the demo. The server is replaced."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hyperaware.cli.app import app
from hyperaware.errors import ConfigError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.server import run
from hyperaware.server.settings import DEMO_POLICY, Settings

Serve = Callable[..., tuple[Result, Settings | None]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Serve:
    """Runs the command in an empty folder; its result, and the settings that the server got."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[Result, Settings | None]:
        got: list[Settings] = []

        def started(settings: Settings, *, bound: Callable[[str], None]) -> None:
            got.append(settings)
            bound("http://127.0.0.1:1")

        monkeypatch.setattr(run, "serve", started)
        result = CliRunner().invoke(app, ["serve", *words])
        return result, (got or [None])[0]

    return command


def test_flags_and_other_settings_reach_the_server(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server.toml").write_text("batch_size = 7\nport = 9\n")
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path))  # not the server's: others use the same prefix
    words = ("--no-auth", "--port", "0", "--config", "server.toml")
    result, settings = serve(*words, "--set", "fetch_hosts=a.example,b.example", "--set", "decode_workers=2")
    assert result.exit_code == 0, result.output
    assert "Serving at http://127.0.0.1:1" in result.output
    assert settings is not None
    assert (settings.batch_size, settings.port, settings.no_auth, settings.demo) == (7, 0, True, False)
    assert (settings.fetch_hosts, settings.decode_workers) == (("a.example", "b.example"), 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--demo", "--host", "0.0.0.0"), "it runs on 127.0.0.1 only"),
        (("--set", "batch_sise=3"), "Did you mean 'batch_size'"),
        (("--set", "batch_size"), "expected KEY=VALUE"),
        (("--demo", "--index", "nowhere"), "is no index"),
    ],
)
def test_wrong_words_are_wrong_use(serve: Serve, words: tuple[str, ...], message: str) -> None:
    result, settings = serve(*words)
    assert settings is None
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_the_demo_takes_an_index_that_is_there_and_a_policy_with_every_action(
    serve: Serve, tmp_path: Path, shared_index: Path
) -> None:
    result, settings = serve("--demo", "--index", str(shared_index))
    assert result.exit_code == 0, result.output
    assert settings is not None
    assert (settings.index, settings.policy, settings.open) == (shared_index, DEMO_POLICY, True)
    _, settings = serve("--demo", "--index", str(shared_index), "--policy", "mine.toml")
    assert settings is not None
    assert settings.policy == Path("mine.toml")


def test_the_demo_makes_its_index_once(
    serve: Serve, tmp_path: Path, model: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperaware.demo.ROWS", 2)
    result, settings = serve("--demo")
    assert result.exit_code == 0, result.output
    assert settings is not None
    assert settings.index == Path("demo/index")
    assert settings.state_folder == Path("demo/index/server")
    made = (tmp_path / "demo" / "index" / "model.json").stat().st_mtime_ns
    assert serve("--demo")[0].exit_code == 0
    assert (tmp_path / "demo" / "index" / "model.json").stat().st_mtime_ns == made


def test_a_port_that_is_taken_and_a_host_that_is_none_are_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"host 127\.0\.0\.1, port {port}: Address already in use"):
            run._bound("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"host 203\.0\.113\.1, port 0: .* Give another one"):
        run._bound("203.0.113.1", 0)
