"""`vecparity mcp`: what is refused before anything is served."""

import socket

import pytest
from conftest import RunCommand

from vecparity.cli.commands import mcp
from vecparity.sandbox import levels


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_machines_are_not_served_unasked(
    host: str, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "find_spec", lambda name: name)
    status, output, errors = run_command("mcp", "--transport", "http", "--host", host)
    assert (status, output) == (2, "")
    assert errors.startswith(
        f"vecparity: error: host must be this machine's own (127.0.0.1, ::1 or localhost), got {host}"
    )


def test_a_missing_sdk_is_named(run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "find_spec", lambda name: None)
    status, _, errors = run_command("mcp")
    assert status == 2 and "pip install 'vecparity[agent]'" in errors


@pytest.mark.parametrize(
    ("flags", "refusal"),
    [
        ("--transport http --port 65536", "port must be from 0 to 65535, got 65536"),
        ("--sessions 0", "the number of sessions must be at least 1, got 0"),
        ("--idle-seconds 0", "the seconds until an idle session ends must be above 0, got 0.0"),
        ("--at-a-time 0", "the number of evaluations at a time must be at least 1, got 0"),
        ("--engine reference", "engine must be one that can be stopped during a run: expected another than reference"),
        ("--budget 0", "budget must be an integer from 1 to 100, got 0"),
        ("--history x.sqlite3", "--no-history cannot be combined with --history x.sqlite3"),
    ],
)
def test_invalid_flags_are_refused(flags: str, refusal: str, run_command: RunCommand) -> None:
    pytest.importorskip("mcp", reason="needs pip install 'vecparity[agent]'")
    status, output, errors = run_command("mcp", "--no-history", "--containment", "none", *flags.split())
    assert (status, output, errors) == (2, "", f"vecparity: error: {refusal}\n")


def test_a_port_that_is_taken_is_named(run_command: RunCommand) -> None:
    pytest.importorskip("mcp", reason="needs pip install 'vecparity[agent]'")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, errors = run_command(
            "mcp", "--transport", "http", "--port", str(port), "--no-history", "--containment", "none"
        )
    assert status == 6 and f"127.0.0.1:{port} cannot be listened on: " in errors


def test_a_machine_that_contains_too_little_serves_nobody(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "find_spec", lambda name: name)
    monkeypatch.setattr(levels, "why_not", lambda level: None if level in ("limits", "none") else "is missing")
    status, _, errors = run_command("mcp", "--no-history")
    assert status == 2 and "containment must be at least landlock, got limits" in errors


def test_standard_output_is_the_protocols(run_command: RunCommand) -> None:
    status, output, _ = run_command("mcp", "--json")
    assert status == 2 and "--json is for commands that end with results: got it with mcp" in output
