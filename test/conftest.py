"""What every test gets: a quiet environment, deterministic hypothesis, a ROS domain of its own."""

import fcntl
import importlib.util
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

# Before anything imports numpy, torch or rclpy. Child processes inherit it.
os.environ["OMP_NUM_THREADS"] = "1"  # two threads on two busy cores are slower than one
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = str(Path(__file__).parents[1] / "config/fastdds.xml")

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("dev", deadline=None, max_examples=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

HAS_RCLPY = importlib.util.find_spec("rclpy") is not None
# Domains above 101 use ports from which Linux also takes those of outgoing connections.
DOMAINS = range(1, 102)
_next_domain = os.getpid()
GRAPHS = "test/integration"
LEROBOT = "/test_lerobot_"


@contextmanager
def free_domain():
    """Yield a ROS domain id that no other test process of this machine uses meanwhile.

    A locked file per domain, freed by the kernel when the process dies. Consecutive calls give
    different domains, so that what one test left behind does not reach the next.
    """
    global _next_domain
    for _ in DOMAINS:
        _next_domain += 1
        domain = DOMAINS[_next_domain % len(DOMAINS)]
        path = Path(tempfile.gettempdir()) / f"so101-test-domain-{domain}.lock"
        with suppress(OSError), path.open("w") as lock:  # another user's file, or taken
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield domain
            return
    raise RuntimeError(f"all of the ROS domains {DOMAINS.start} to {DOMAINS.stop - 1} are taken")


def pytest_configure(config):
    """Send ROS's logs to a temporary directory and take a domain for this process."""
    directory = tempfile.mkdtemp(prefix="so101-test-logs-")
    os.environ["ROS_LOG_DIR"] = directory
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
    domain = free_domain()
    os.environ["ROS_DOMAIN_ID"] = str(domain.__enter__())
    config.add_cleanup(lambda: domain.__exit__(None, None, None))


def pytest_collection_modifyitems(items):
    """Mark everything under test/ros and test/integration; skip it where rclpy is missing."""
    for item in items:
        if {"ros", "integration"} & set(item.path.relative_to(Path(__file__).parent).parts):
            item.add_marker(pytest.mark.ros)
        if item.get_closest_marker("ros") and not HAS_RCLPY:
            item.add_marker(pytest.mark.skip(reason="rclpy is not installed"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Side by side (``pytest -n``), every file stays in one process, and so do all graphs.

    A graph keeps both cores of a small machine busy, and its sessions are shared between files.
    So do all tests of LeRobot: importing it takes a process as long as some of these files.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return next((group for group in (GRAPHS, LEROBOT) if group in file), file)

    return ByFile(config, log)


@pytest.fixture
def ros_domain(monkeypatch):
    """A ROS domain of this test alone, also in ROS_DOMAIN_ID for the processes it starts."""
    with free_domain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        yield domain


@pytest.fixture
def ros_context(ros_domain):
    """An rclpy context in the test's own domain, shut down afterwards."""
    context = pytest.importorskip("rclpy.context").Context()
    context.init(args=[], domain_id=ros_domain)
    yield context
    context.try_shutdown()
