"""What befalls the process that reads a file is one line here, and this process goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.converters.sources import child

FAILURES = {
    "crashes": ("os.kill(os.getpid(), 11)", "^reading it crashes, SIGSEGV$"),
    "is ended": ("os.kill(os.getpid(), 9)", "^reading it crashes, SIGKILL$"),
    "raises": ("raise ValueError('not\\nwell')", "^not$"),
    "raises without a word": ("raise KeyError", "^KeyError$"),
    "leaves": ("sys.exit(3)", "^status 3$"),
    "hangs": ("while True: pass", "^reading it does not come to an end within 1 s$"),
    "asks for all memory": ("bytearray(2**40)", "^MemoryError$"),
}


@pytest.mark.parametrize(("code", "says"), FAILURES.values(), ids=FAILURES)
def test_a_child_that_fails_says_why_in_one_line(
    code: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash, an exception, an endless loop, or more memory than such a file can need."""
    path = tmp_path / "file"
    path.write_text("content")
    monkeypatch.setattr(child, "SECONDS", 1 if "end" in says else 60)
    with pytest.raises(child.ChildError, match=says):
        child.run(code, str(path))


def test_only_what_is_written_to_out_comes_back(tmp_path: Path) -> None:
    """Libraries log to stdout."""
    path = tmp_path / "file"
    path.write_text("content")
    code = "print('logged')\nout.write(open(path, 'rb').read() + sys.argv[2].encode())"
    assert child.run(code, str(path), " and more") == b"content and more"
