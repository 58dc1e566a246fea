"""What the attacks share."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is refused under this fixture is refused before a session exists."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a session was made of something hostile")

    monkeypatch.setattr("onnxruntime.InferenceSession.__init__", refuse)
