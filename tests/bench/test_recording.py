"""What is read out of Dovecot's rawlogs."""

from __future__ import annotations

from pathlib import Path

from bench.recording import read


def record(directory: Path, name: str, sent: list[str], answered: list[str]) -> None:
    (directory / f"{name}.in").write_text("".join(f"{line}\r\n" for line in sent))
    (directory / f"{name}.out").write_text("".join(f"{line}\r\n" for line in answered))


def test_pipelined_commands_are_one_round_trip(tmp_path: Path) -> None:
    """What is sent while something is still awaited costs no further trip; what waited for an answer does."""
    record(
        tmp_path,
        "a",
        ["1.0 a1 SELECT INBOX (QRESYNC (1 2))", "1.1 a2 UID FETCH 7 (UID FLAGS)", "3.0 a3 NOOP"],
        ["1.2 * 7 EXISTS", "1.3 a1 OK done", "1.4 a2 OK done", "3.1 a3 OK done"],
    )
    recording = read(tmp_path, 0.0)
    assert recording.round_trips() == 2
    assert recording.fetches() == ["UID FETCH 7 (UID FLAGS)"]
    assert read(tmp_path, 2.0).round_trips() == 1


def test_lines_of_a_literal_are_no_commands(tmp_path: Path) -> None:
    """Only what is answered or looks like a command counts; mail text does not."""
    record(tmp_path, "a", ["1.0 a1 APPEND INBOX {9}", "1.1 Subject: x", "1.2 "], ["1.3 + OK", "1.4 a1 OK done"])
    assert [sent.text for sent in read(tmp_path, 0.0).commands] == ["APPEND INBOX {9}"]
