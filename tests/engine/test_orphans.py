"""What is left on the machine and on the terminal when a program with processes has ended."""

import signal
import subprocess
import sys
import time

import pytest
from conftest import alive

SCRIPT = """
import os, time
from lrcourse import sweep_function
def train(x):
    with open(f"worker{x}.part", "w") as file:
        file.write(str(os.getpid()))
    os.replace(f"worker{x}.part", f"worker{x}")
    time.sleep(SECONDS)
    return x
if __name__ == "__main__":
    sweep_function(train, x=[0, 1], executor=2)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
def test_workers_end_when_their_program_is_killed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT.replace("SECONDS", "600"))
    child = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path)
    files = [tmp_path / f"worker{x}" for x in (0, 1)]
    while not all(file.exists() for file in files):
        assert child.poll() is None
        time.sleep(0.1)
    workers = [int(file.read_text()) for file in files]
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    for _ in range(300):
        if not any(map(alive, workers)):
            break
        time.sleep(0.1)
    assert not any(map(alive, workers))


def test_a_program_with_processes_ends_without_a_word(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT.replace("SECONDS", "0"))
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
