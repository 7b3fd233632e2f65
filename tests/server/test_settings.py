"""Settings: flags before the environment before the file, under the same names; wrong ones are refused."""

from pathlib import Path

import pytest

from hyperaware.errors import ConfigError
from hyperaware.server.settings import Settings, is_loopback, read_settings


def test_flags_go_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "server.toml"
    file.write_text('batch_size = 1\nqueue_size = 1001\nport = 1\nfetch_hosts = ["a.example"]\n')
    monkeypatch.setenv("HYPERAWARE_BATCH_SIZE", "2")
    monkeypatch.setenv("HYPERAWARE_PORT", "2")
    monkeypatch.setenv("HYPERAWARE_CORS_ORIGINS", '["https://b.example"]')
    found = read_settings({"port": 3, "host": None}, file=file)
    assert (found.batch_size, found.queue_size, found.port, found.host) == (2, 1001, 3, "127.0.0.1")
    assert (found.fetch_hosts, found.cors_origins) == (("a.example",), ("https://b.example",))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"batch_sise": 3}, "no setting of the server is called 'batch_sise'. Did you mean 'batch_size'"),
        ({"port": 70000}, "port is 70000"),
        ({"demo": True, "host": "0.0.0.0"}, "it runs on 127.0.0.1 only"),
        ({"no_auth": True, "host": "192.168.1.5"}, "allowed on 127.0.0.1 only"),
        ({"cors_origins": ["*"]}, "name the origins"),
        ({"queue_size": 5}, "queue_size 5 is less than max_inputs 256"),
    ],
)
def test_wrong_settings_are_refused_by_name(flags: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("*", r"\*")):
        read_settings(flags)


def test_a_misspelled_variable_is_refused_and_that_of_the_whole_package_is_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HYPERAWARE_CACHE", "/tmp")
    monkeypatch.setenv("NOT_HYPERAWARE_PORT", "1")
    assert read_settings({}).port == 8000
    monkeypatch.setenv("HYPERAWARE_BATCH_SIZ", "3")
    with pytest.raises(ConfigError, match="Did you mean 'batch_size'"):
        read_settings({})


def test_a_wrong_line_of_the_file_and_no_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("prot = 3\n")
    with pytest.raises(ConfigError, match="Did you mean 'port'"):
        read_settings({}, file=file)
    file.write_text("port = \n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings({}, file=file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings({}, file=tmp_path / "none.toml")


def test_every_setting_can_be_set_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        default = getattr(Settings(), name)
        if isinstance(default, bool) or not isinstance(default, int | float):
            continue
        monkeypatch.setenv(f"HYPERAWARE_{name.upper()}", str(default + 1))
        assert getattr(read_settings({}), name) == default + 1
        monkeypatch.delenv(f"HYPERAWARE_{name.upper()}")


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))
