"""One variant tried in a process of its own: opened, asked its golden rows, timed block by block when it is told to.

What happens to that process happens to one variant only. Both ends of the pipe are here: a line of JSON is a question,
a line of JSON the answer.

Belongs here: the process and what it is asked. Not here: what follows from the answers (tuning.py).
Imported as edge_runtime.trial; `main` is the child's side.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Self

from .errors import BundleError, EdgeError, InputError, UnsupportedModelError
from .golden import VerificationReport
from .model import load
from .timing import Call, calibrate, rotate, time_block

__all__ = ["LIMIT", "Out", "Worker", "main"]

LIMIT = 60.0  # seconds that one step may take: to open the variant and replay its golden rows, to answer a block
WARM_NS = 20_000_000  # of calls before the first block counts
UNCAUGHT = 1  # what Python exits with after a traceback


class Out(Exception):
    """``variant`` is out, for ``reason``."""

    def __init__(self, variant: str, reason: str) -> None:
        self.variant, self.reason = variant, reason
        super().__init__(f"{variant}: {reason}")


class Worker:
    """The process that tries ``variant``. Each answer may take ``limit`` seconds; whoever makes one ends it."""

    def __init__(self, path: str, digest: str, variant: str, limit: float = LIMIT) -> None:
        self.variant, self.limit, self.blocks = variant, limit, 0
        self.what = {"path": os.path.abspath(path), "digest": digest, "variant": variant}
        self.complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "edge_runtime.trial"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints, text=True, encoding="utf-8",
        )  # fmt: skip
        self.lines: SimpleQueue[str] = SimpleQueue()
        self.reader = Thread(target=self.listen, name="edge-tune", daemon=True)
        self.reader.start()

    def replay(self) -> VerificationReport:
        """How its golden rows were answered. Raises Out if it could not be loaded, or did not come to an end."""
        answer = self.ask(self.what, "opening it and its golden rows")
        if "reason" in answer:
            raise Out(self.variant, answer["reason"])
        return VerificationReport(answer["rows"], answer["largest"], answer["tolerance"], tuple(answer["problems"]))

    def calibrate(self) -> float:
        """ns per call, after calls enough; the next block begins with the first golden row."""
        self.blocks = 0
        return float(self.ask({"start": 0, "calls": 0}, "warming up")["ns"])

    def block(self, calls: int) -> int:
        """The ns that ``calls`` calls in a row take, in the n-th block with the n-th golden row as the first."""
        answer = self.ask({"start": self.blocks, "calls": calls}, f"{calls} calls")
        self.blocks += 1
        return int(answer["ns"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Leave nothing behind, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for file in (self.process.stdin, self.process.stdout, self.complaints):
            with suppress(OSError):  # what it was never asked is flushed into nothing
                assert file is not None
                file.close()

    def ask(self, question: dict[str, Any], what: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: its last answer, or its end, is what comes next
            self.process.stdin.write(f"{json.dumps(question)}\n")
            self.process.stdin.flush()
        try:
            line = self.lines.get(timeout=self.limit)
        except Empty:
            raise Out(self.variant, f"{what} took more than {self.limit:g} s, so its process was ended") from None
        if not line:
            raise self.ended(what)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ended(self, what: str) -> Exception:
        """What it is that the process has ended: the variant's doing, unless Python says what went wrong."""
        status = self.process.wait()
        if status != UNCAUGHT:
            return Out(self.variant, f"{what} ended its process with {status_text(status)}")
        self.complaints.seek(0)
        lines = self.complaints.read().decode("utf-8", "replace").strip().splitlines() or ["nothing was said"]
        return EdgeError(f"the process that tries variant {self.variant!r} failed: {lines[-1]}")

    def listen(self) -> None:
        """Pass lines on; "" is the end. Not every system reads a pipe with a time limit, but a queue is read so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")


def status_text(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"status {status}"


def main() -> None:
    """Answer the questions on standard input until it ends."""
    with suppress(ImportError):  # a crash is an answer, and not worth hundreds of megabytes in this folder
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whatever a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    try:
        model = load(asked["path"], digest=asked["digest"], variant=asked["variant"])
        report = model.verify()
    except (BundleError, InputError, UnsupportedModelError, MemoryError) as error:
        say(answers, reason=str(error).removeprefix(f"{asked['path']}: ") or type(error).__name__)
        return
    say(answers, **asdict(report))
    inputs = [sample.inputs for sample in model.golden_rows()]
    ask = model.predict_one if model.schema.columns else model.run
    for line in sys.stdin:
        block = json.loads(line)
        call = call_from(ask, inputs, block["start"])
        say(answers, ns=time_block(call, block["calls"]) if block["calls"] else calibrate(call, WARM_NS)[1])


def call_from(ask: Callable[[Any], object], inputs: list[Any], start: int) -> Call:
    """The call that asks golden row after golden row, the one numbered ``start`` first; one is asked now, unseen."""
    first = start % len(inputs)
    ask(inputs[first - 1])
    return rotate(ask, inputs[first:] + inputs[:first])


def say(answers: Any, **answer: Any) -> None:
    answers.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
