"""Writers trained on a Ray cluster of two nodes on this machine, one of which is killed at work: the same bytes."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from command import ROOT
from many_writers import answer, contents, prepare
from tiny_run import one_thread

from xpert_cli.corpus.writers import find_writers
from xpert_cli.gguf import BaseModel
from xpert_cli.training.many import Settings, train_cache
from xpert_cli.training.writer import How

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'xpert-cli[cluster]'")
pytest.importorskip("torch")
single = pytest.fixture(scope="module", autouse=True)(one_thread)

SETTINGS = Settings(How(base="", rank=2, steps=40, max_tokens=64), jobs=1, least=4)


@pytest.mark.slow
def test_a_node_that_is_killed_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    prepared = prepare(tmp_path, 8)
    base = BaseModel.open(prepared.base)
    for out in ("alone", "cluster"):
        answer(prepared, f"{out}.work")
    writers = find_writers(prepared.writers, tmp_path / "texts")
    train_cache(writers, tmp_path / "alone", tmp_path / "alone.work", base, SETTINGS)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 << 20})
    try:
        other = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        killed = threading.Event()

        def kill_one_at_work() -> None:
            until = time.monotonic() + 60
            while time.monotonic() < until and not list(tmp_path.glob("cluster.work/w*/run.json")):
                time.sleep(0.05)
            cluster.remove_node(other, allow_graceful=False)
            killed.set()

        thread = threading.Thread(target=kill_one_at_work)
        thread.start()
        settings = replace(SETTINGS, engine="ray", jobs=2)
        told = train_cache(writers, tmp_path / "cluster", tmp_path / "cluster.work", base, settings)
        thread.join()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed.is_set()
    assert (told.writers, told.left_out) == (8, {})
    assert contents(tmp_path / "cluster") == contents(tmp_path / "alone")
