"""Upstream's whole stack for speaking, around the port: from small random checkpoints to a wave file.

    python bench/speak_whole.py CHECKOUT [DIR] [--version v2] [--device xla] [--text TEXT --lang LANGUAGE]

CHECKOUT is a checkout of upstream, with what its requirements.txt names installed; a copy of it is used. GPT,
synthesizer, BERT and HuBERT are small, random and made here, the detector of languages is the small one of its package;
the text front end is upstream's, and in copies of both, the flow of v3 and v4 and the vocoder of v4 are narrow. First
`python -m module.tpu.speak` writes a file; then upstream's TTS and the port's speak two sentences each, greedily, and
codes and sound are compared. Exit status 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent / "speaking"
# Sizes of v3 and v4 that stand in upstream's code: of the flow's transformer and of the vocoder.
_NARROW = {
    "dim=1024, depth=22, heads=16": "dim=64, depth=2, heads=2",
    "upsample_initial_channel=512": "upsample_initial_channel=64",
}
_LEAST = 80.0  # dB of sound in 16 bits


def main() -> int:
    """Make models, speak, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("directory", nargs="?", default="generated", type=Path)
    parser.add_argument("--version", default="v2", choices=("v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "xla"))
    parser.add_argument("--text", default="今日天氣好好，我哋去行山。")  # Cantonese needs no model for its front end
    parser.add_argument("--lang", default="all_yue")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        checkout, models = Path(place, "checkout"), Path(place, "models")
        shutil.copytree(asked.checkout, checkout, ignore=shutil.ignore_patterns(".git"))
        package = Path(place, "package")
        shutil.copytree(asked.directory, package)
        upstream = checkout / "GPT_SoVITS"
        sources = upstream / "module/models.py", upstream / "TTS_infer_pack/TTS.py", package / "module/tpu/models.py"
        for source in sources:
            text = source.read_text("utf-8")
            for wide, narrow in _NARROW.items():
                text = text.replace(wide, narrow)
            source.write_text(text, "utf-8")
        search = os.pathsep.join([str(package), "GPT_SoVITS", ".", *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": search, "version": asked.version}
        environment.setdefault("PJRT_DEVICE", "CPU")

        def run(*words: str, **more: str) -> str:
            command = [sys.executable, *words]
            done = subprocess.run(
                command, cwd=checkout, env={**environment, **more}, stdout=subprocess.PIPE, text=True, check=True
            )
            return done.stdout

        run(str(_HERE / "standins.py"), str(models), asked.version)
        sound = models / "x.wav"
        files = ["--gpt", "s1.ckpt", "--sovits", "s2.pth", "--ref", "ref.wav", "--bert", "bert", "--hubert", "hubert"]
        files = [word if word.startswith("--") else str(models / word) for word in files]
        said = ["--ref-text", asked.text, "--ref-lang", asked.lang, "--text", asked.text, "--lang", asked.lang]
        run("-m", "module.tpu.speak", *files, *said, "--out", str(sound), "--device", asked.device, "--warm")
        print(f"{sound.name}: {sound.stat().st_size} bytes")
        device = {"SOVITS_PORT_DEVICE": asked.device}
        told = run(str(_HERE / "compare.py"), str(models), asked.version, asked.text, asked.lang, **device)
    found = json.loads(told.splitlines()[-1])["sentences"]
    for sentence in found:
        print(json.dumps(sentence))
    return 0 if all(one["equal"] and (one["dB"] or 0) > _LEAST for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
