"""Speech that a machine makes (eSpeak NG, from PyPI's espeakng-loader), with pauses and noise of many kinds."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, resample_poly
from writing import prose

__all__ = ["RATE", "recordings"]

RATE = 16_000
VOICES = ("en", "en-us+f3", "en+m4", "en+f2", "de", "de+f4", "fr+m2", "fr+f1", "es", "es+f3", "ru", "it+m3")
SYNCHRONOUS, CHARACTERS, UTF_8, SPEED, PITCH = 2, 1, 1, 1, 3
"""Constants of speak_lib.h."""

Samples = NDArray[np.float32]
Heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Speaker:
    """eSpeak NG, in this process."""

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
        if self.rate <= 0:
            raise SystemExit("eSpeak NG does not start")
        self.parts: list[NDArray[np.int16]] = []
        self.heard = Heard(self.hear)  # held, since the library calls it
        self.library.espeak_SetSynthCallback(self.heard)

    def hear(self, samples: Any, count: int, events: Any) -> int:
        if count:
            self.parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int) -> Samples:
        """Float32 [samples] at RATE, 1 at most."""
        self.parts.clear()
        self.library.espeak_SetVoiceByName(voice.encode())
        self.library.espeak_SetParameter(SPEED, speed, 0)
        self.library.espeak_SetParameter(PITCH, pitch, 0)
        said = text.encode()
        self.library.espeak_Synth(said, len(said) + 1, 0, CHARACTERS, 0, UTF_8, None, None)
        spoken = np.concatenate(self.parts).astype(np.float32) / 2**15
        return np.asarray(resample_poly(spoken, RATE, self.rate), np.float32)


def recordings(samples: int, seed: int = 0) -> Iterator[Samples]:
    """Recordings, some seconds each, until there are so many ``samples``: somebody says something, pauses, goes on, and
    there is noise; in every eighth nobody speaks."""
    rng, speaker, words = np.random.default_rng(seed), Speaker(), prose()
    made = number = 0
    while made < samples:
        parts = []
        for _ in range(int(rng.integers(2, 5))):
            parts.append(np.zeros(int(rng.integers(RATE // 5, 3 * RATE // 2)), np.float32))
            if number % 8 != 7:
                start = int(rng.integers(len(words) - 20))
                text = " ".join(words[start : start + int(rng.integers(3, 14))])
                voice = VOICES[int(rng.integers(len(VOICES)))]
                parts.append(speaker.say(text, voice, int(rng.integers(110, 240)), int(rng.integers(20, 80))))
        clean = np.concatenate(parts) * np.float32(10 ** rng.uniform(-1.5, 0))
        audio = np.clip(clean + noise(len(clean), rng), -1, 1).astype(np.float32)
        yield audio
        made += len(audio) // 512 * 512
        number += 1


def noise(samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """White, brown, or the hum of mains; from none to nearly as loud as speech."""
    loud = 10 ** rng.uniform(-4.5, -1.3)
    kind = rng.integers(4)
    if kind == 0:
        return np.zeros(samples)
    if kind == 1:
        made = rng.normal(size=samples)
    elif kind == 2:
        made = np.asarray(lfilter([1.0], [1.0, -0.97], rng.normal(size=samples)))
    else:
        time = np.arange(samples) / RATE
        made = sum((np.sin(2 * np.pi * 50 * k * time + k) / k for k in range(1, 8)), np.zeros(samples))
        made = made + 0.1 * rng.normal(size=samples)
    return np.asarray(made / made.std() * loud)
