"""Coverage-guided search with atheris: `python -m fuzz.guided TARGET SECONDS FOLDER`; the folder is the corpus."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["gatepost"]):
    from fuzz.targets import BY_NAME


def main() -> None:
    """Never returns: libFuzzer ends the process, with status 0 when everything held."""
    target, seconds = BY_NAME[sys.argv[1]], int(sys.argv[2])
    folder = Path(sys.argv[3])
    words = folder.with_suffix(".words")
    words.write_text("".join(map(_word, target.words)))
    options = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=20",
        "-rss_limit_mb=1500",
        f"-dict={words}",
        f"-artifact_prefix={Path('.fuzz').resolve()}/{target.name}-",
        str(folder),
    ]
    Path(".fuzz").mkdir(exist_ok=True)
    atheris.Setup(options, target.run, enable_python_coverage=True)
    atheris.Fuzz()


def _word(word: bytes) -> str:
    """One line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{octet:02x}" for octet in word) + '"\n'


if __name__ == "__main__":
    main()
