"""Many recordings at once: what is there stays, what was planned otherwise is made again."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av

from pipeline.demo.compose import Section
from pipeline.demo.recording import Recording, record_all
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from pathlib import Path
from pipeline.demo.recording import record_all
from tests.demo.test_recording import recordings

if __name__ == "__main__":
    record_all(recordings(Path(sys.argv[1])), workers=2, title="test")
"""


def recordings(folder: Path, *, n: int = 6, seconds: float = 20.0) -> list[Recording]:
    return [
        Recording(folder / f"{k}.webm", str(k), (Section(0.0, seconds, ("flu",)),), (0.0, seconds))
        for k in range(n)
    ]


def duration_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0)) / 48_000


def test_another_plan_is_made_again_and_the_same_is_not(tmp_path):
    first, second = recordings(tmp_path, n=2, seconds=1.0)
    assert record_all([first, second], workers=1, title="test") == [first.path, second.path]
    changed = replace(second, seed="another")
    old = second.path.read_bytes()
    assert record_all([first, changed], workers=1, title="test") == [second.path]
    assert second.path.read_bytes() != old


def test_a_folder_may_move(tmp_path):
    (recording,) = recordings(tmp_path / "here", n=1, seconds=1.0)
    record_all([recording], workers=1, title="test")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = replace(recording, path=tmp_path / "there" / recording.path.name)
    assert record_all([moved], workers=1, title="test") == []


def test_a_killed_run_leaves_whole_files_and_no_process_and_is_resumed(tmp_path):
    (tmp_path / "run.py").write_text(RUN)
    folder = tmp_path / "videos"
    paths = [recording.path for recording in recordings(folder)]
    run = subprocess.Popen(
        [sys.executable, tmp_path / "run.py", folder], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    wait_for(lambda: any(path.exists() for path in paths), run)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert len(children) >= 2
    wait_for(lambda: not any(map(is_running, children)))
    made = [path for path in paths if path.exists()]
    assert 0 < len(made) < len(paths)
    assert all(abs(duration_s(path) - 20.0) < 0.05 for path in made)
    stamps = [path.stat().st_mtime_ns for path in made]
    left = [path for path in paths if path not in made]
    assert record_all(recordings(folder), workers=1, title="test") == left
    assert [path.stat().st_mtime_ns for path in made] == stamps
    assert sorted(folder.iterdir()) == sorted(paths)


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""  # empty: dead, but not yet buried
    except FileNotFoundError:
        return False
