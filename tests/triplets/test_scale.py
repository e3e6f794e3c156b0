"""Parallel builds: the same bytes from any number of workers, limits that hold, crash safety."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import film_work
import numpy as np
import psutil
import pytest
from media_files import write_film

from omni_lab.config import TripletConfig
from omni_lab.errors import UsageError
from omni_lab.media.probe import content_id
from omni_lab.triplets.building.build import build
from omni_lab.triplets.building.engines import LOOK_AHEAD, in_order
from omni_lab.triplets.building.workers import Built, Job, Worker
from omni_lab.triplets.shards.tars import ShardWriter

ROOT = Path(__file__).resolve().parents[2]
CONFIG = TripletConfig(image_size=48, clips_per_shard=2)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Seven films, of one clip each but for the first; two have the same content."""
    folder = tmp_path_factory.mktemp("films")
    noise = np.random.default_rng(0)
    for number in range(6):
        seconds = 16 if number == 0 else 2
        frames = np.repeat(noise.integers(0, 255, (seconds, 48, 64, 3), dtype=np.uint8), 5, axis=0)
        samples = noise.normal(0, 0.1, seconds * 44_100).astype(np.float32)
        write_film(
            folder / f"film{number}.mp4", seconds=seconds, fps=5, frames=frames, samples=samples
        )
    (folder / "film3_twin.mp4").write_bytes((folder / "film3.mp4").read_bytes())
    return folder


@pytest.fixture(scope="module")
def whole(films, tmp_path_factory):
    """Output of one undisturbed worker: bytes by file name."""
    out = tmp_path_factory.mktemp("whole") / "out"
    report = build([films], out, CONFIG, progress=False)
    assert (report.films, report.clips, len(report.skipped), report.failures) == (6, 7, 1, ())
    return contents(out)


def contents(folder) -> dict[str, bytes]:
    """Every file of a folder of shards, but for the lock."""
    return {
        path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"
    }


def test_the_number_of_workers_does_not_show(films, whole, tmp_path):
    """Two of them are below, where they are killed."""
    build([films], tmp_path / "out", CONFIG, progress=False, workers=4)
    assert contents(tmp_path / "out") == whole


@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
def test_ray_makes_the_same_bytes_under_the_same_limits(films, whole, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])  # what every node finds
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000
    )

    try:
        build([films], tmp_path / "out", CONFIG, progress=False, workers=2, engine="ray")
        assert contents(tmp_path / "out") == whole

        for name in ("a_hangs", "b_package"):
            write_film(tmp_path / f"{name}.mp4", seconds=1, fps=5)
        config = TripletConfig(image_size=48, file_timeout_s=1.0)
        films = [tmp_path / "a_hangs.mp4", tmp_path / "b_package.mp4"]
        out, work = tmp_path / "new", film_work.stumbling
        with pytest.raises(UsageError, match=r"^triplets\.recogniser: no such checkpoint$"):
            build(films, out, config, False, workers=2, engine="ray", work=work)
        assert "TimedOut" in (out / "failures.jsonl").read_text()
    finally:
        ray.shutdown()


def test_ray_that_is_not_there_is_one_line(films, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'omni_lab\[scale\]'"):
        build([films], tmp_path / "out", CONFIG, progress=False, engine="ray")


def test_a_film_that_overruns_is_stopped_and_the_others_go_on(films, tmp_path):
    (tmp_path / "films").mkdir()
    for number, name in enumerate(("bug", "dies", "eats", "fine", "hangs")):
        write_film(tmp_path / "films" / f"{name}.mp4", seconds=1 + number, fps=5)
    config = TripletConfig(image_size=48, file_timeout_s=8.0, file_memory_mb=600)
    report = build(
        [tmp_path / "films"], tmp_path / "out", config, False, workers=2, work=film_work.stumbling
    )
    assert {Path(f.uri).stem: (f.fault, f.reason) for f in report.failures} == {
        "bug": ("ZeroDivisionError", "unexpected error (division by zero)"),
        "dies": ("Crashed", "its process ended with signal SIGSEGV"),
        "eats": ("OutOfMemory", "took more than 600 MB of memory (triplets.file_memory_mb)"),
        "hangs": ("TimedOut", "took longer than 8 s (triplets.file_timeout_s)"),
    }
    assert report.films == 1

    # limits do not decide what clips contain: the folder stays the same
    other = TripletConfig(image_size=48, file_timeout_s=60.0)
    again = build([tmp_path / "films"], tmp_path / "out", other, False, workers=2)
    assert (again.films, len(again.skipped), again.exit_code) == (4, 1, 0)
    assert not (tmp_path / "out" / "failures.jsonl").read_bytes()


def test_what_is_missing_on_this_machine_stops_the_build(tmp_path):
    (tmp_path / "films").mkdir()
    for name in ("a", "b_package", "c"):
        write_film(tmp_path / "films" / f"{name}.mp4", seconds=1, fps=5)
    with pytest.raises(UsageError, match=r"no such checkpoint"):
        build([tmp_path / "films"], tmp_path / "out", CONFIG, False, work=film_work.stumbling)


def test_a_full_disk_stops_the_build_and_is_not_blamed_on_the_film(films, tmp_path):
    (tmp_path / "full.mp4").write_bytes((films / "film1.mp4").read_bytes())
    with pytest.raises(UsageError, match="out/.spool: No space left on device; make room"):
        build(tmp_path / "full.mp4", tmp_path / "out", CONFIG, False, work=film_work.stumbling)
    assert not (tmp_path / "out" / "failures.jsonl").read_bytes()


def test_a_film_is_hashed_once(films, tmp_path):
    """The worker process gets the id from its parent."""
    job = Job("film1.mp4", str(films), CONFIG, film_work.unhashed)
    worker = Worker()
    try:
        outcome = worker.build(job, tmp_path / "film.tar", {})
    finally:
        worker.close()
    assert outcome == Built("film1.mp4", content_id(films / "film1.mp4"))


def test_a_film_is_not_blamed_for_what_films_before_it_left(films, tmp_path):
    """The second film of each process dies there; in a fresh one it is built."""
    pair = [films / "film1.mp4", films / "film2.mp4"]
    report = build(pair, tmp_path / "out", CONFIG, False, work=film_work.once)
    assert (report.films, report.failures) == (2, ())


class Shuffled:
    """Engine that finishes films in random order and counts those ahead of the first pending."""

    def __init__(self, seed: int):
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.asked = self.most = self.given = 0

    def build(self, job: Job, spool: Path) -> Built:
        with self.lock:
            self.asked += 1
            self.most = max(self.most, self.asked - self.given)
            delay = self.random.choice([0, 0, 0.01])
        time.sleep(delay)
        spool.write_bytes(b"")
        return Built(job.path, job.path)

    def close(self) -> None: ...


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_the_spool_is_bounded(tmp_path, workers):
    engine = Shuffled(workers)
    jobs = [Job(str(number), "", CONFIG, film_work.stumbling) for number in range(60)]
    with closing(in_order(engine, jobs, workers, tmp_path)) as outcomes:
        for number, (outcome, spool) in enumerate(outcomes):
            assert (outcome.uri, spool.exists()) == (str(number), True)
            assert len(list(tmp_path.iterdir())) <= LOOK_AHEAD * workers
            engine.given += 1
    assert engine.most <= LOOK_AHEAD * workers
    assert not list(tmp_path.iterdir())


def test_a_folder_takes_one_build_at_a_time(films, tmp_path):
    with ShardWriter(tmp_path / "out", "hash"), pytest.raises(UsageError, match="another build"):
        build([films], tmp_path / "out", CONFIG, progress=False)
    ShardWriter(tmp_path / "out", "hash").__exit__()


def test_a_worker_process_ends_with_its_parent(films, tmp_path):
    """A hanging process ends at once when its parent is killed: no one would watch it any more."""
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "hangs.mp4").write_bytes((films / "film1.mp4").read_bytes())
    call = "import film_work; from omni_lab.triplets.building.build import build; "
    call += "build(['films'], 'out', progress=False, work=film_work.stumbling)"
    process = subprocess.Popen([sys.executable, "-c", call], env=environment())
    wait_for((tmp_path / "hanging").exists)
    children = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    assert len(children) == 1
    assert not psutil.wait_procs(children, timeout=5)[1]


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_and_run_again_equals_never_killed(films, whole, tmp_path, stop):
    """Nothing lost, nothing twice, and at no moment a half file under a final name.

    The first moment lies just after a shard was begun, the others lie anywhere.
    """
    command = [sys.executable, "-m", "omni_lab.cli.main", "triplets", "build", str(films)]
    command += ["--out", "out", "--json", "--workers", "2"]
    command += ["--set", "triplets.image_size=48", "triplets.clips_per_shard=2"]
    moments = random.Random(int(stop))
    out = tmp_path / "out"

    def begun() -> list[Path]:
        return [*out.glob("shard-*")]

    for moment, most in ((begun, 0.02), (out.is_dir, 1.2), (out.is_dir, 1.2), (None, 0)):
        process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if moment:
            wait_for(moment)
            time.sleep(moments.uniform(0, most))
            process.send_signal(stop)
        code = process.wait()
        for path in out.glob("shard-*.tar"):
            assert path.read_bytes() == whole[path.name]
    assert code == 0
    assert contents(out) == whole


def environment() -> dict[str, str]:
    """Environment of a process that finds this package and the tests' own modules."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")]),
    }


def wait_for(condition, seconds: float = 20):
    """First true value of a condition, polled for `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("did not happen")
