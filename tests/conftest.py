"""For every test: shapes and types are checked at run time, torch keeps to one thread, the network is never asked."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ["PYTHONPATH"] = os.path.join(
    os.path.dirname(__file__), "support"
)  # for processes that tests start
os.environ["COLUMNS"] = "100"  # tables are as wide as the terminal

import type_checks

type_checks.install()

import pytest
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)  # no test decides by the clock
settings.load_profile("shared machine")


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    """Timing and results of tests do not depend on how many cores there are."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Each test runs in an empty folder of its own, so that nothing is written into the repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
