"""Datasets of strangers: every refusal names the file and the reason, and nothing crashes."""

import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from so101.data.exchange import lerobot_format
from so101.data.exchange.lerobot_facts import read_told
from so101.data.exchange.lerobot_images import find_cameras, read_images
from so101.data.exchange.lerobot_import import ImportConfig, import_episodes
from so101.data.exchange.lerobot_source import LeRobotSource, open_source, read_columns
from so101.data.exchange.lerobot_units import find_units, joint_order
from so101.data.exchange.lerobot_values import ACTION, STATE
from so101.errors import BagError
from so101.robot import JOINTS
from so101_bringup.cli import main

needs_parquet = pytest.mark.skipif(
    find_spec("pyarrow") is None,
    reason=f"pyarrow is not installed: {lerobot_format.HOW_TO_INSTALL}",
)
NAMES = [f"{joint}.pos" for joint in JOINTS]
JOINT = {"dtype": "float32", "shape": [6], "names": NAMES}
INFO = {
    "codebase_version": "v3.0",
    "fps": 30,
    "robot_type": "so101_follower",
    "features": {STATE: JOINT, ACTION: JOINT},
    "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}
INDEX = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64"}
INDEX |= {"index": "int64", "task_index": "int64"}


def source_of(features, tmp_path=None, **values):
    fields = {"root": tmp_path, "version": "v3.0", "fps": 30, "robot_type": "", "tasks": {}}
    return LeRobotSource(**{**fields, **values}, features=features, episodes=(), extra={})


def make_dataset(root, *, steps=4, info=None, **columns):
    """Write a dataset of one episode by hand; ``columns`` replace those of the data file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {name: {"dtype": d, "shape": [1], "names": None} for name, d in INDEX.items()}
    told = {**INFO, **(info or {})}
    told["features"] = {**features, **told["features"]}
    for folder in ("meta/episodes/chunk-000", "data/chunk-000"):
        (root / folder).mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(told))
    pq.write_table(pa.table({"task_index": [0], "task": ["a task"]}), root / "meta/tasks.parquet")
    row = {"episode_index": [0], "length": [4], "data/chunk_index": [0], "data/file_index": [0]}
    pq.write_table(pa.table(row), root / "meta/episodes/chunk-000/file-000.parquet")
    data = {
        STATE: [[120.0] * 6] * steps,
        ACTION: [[1.0] * 6] * steps,
        "timestamp": [i / 30 for i in range(steps)],
        "frame_index": list(range(steps)),
        "episode_index": [0] * steps,
        "index": list(range(steps)),
        "task_index": [0] * steps,
        **columns,
    }
    pq.write_table(pa.table(data), root / "data/chunk-000/file-000.parquet")
    stats = {name: {"min": [-120.0] * 6, "max": [120.0] * 6} for name in (STATE, ACTION)}
    (root / "meta/stats.json").write_text(json.dumps(stats))
    return root


def take(root, tmp_path, **values):
    from so101.data.stores.episode_store import EpisodeStore

    store = EpisodeStore(tmp_path / "store", min_free_bytes=0)
    source = open_source(root)
    wall = "20260101-120000"
    try:
        config = ImportConfig(**values)
        return import_episodes(source, source.episodes, store, config, wall_time=wall)
    finally:
        store.close()


@needs_parquet
def test_a_dataset_made_by_hand_is_read(tmp_path):
    root = make_dataset(tmp_path / "ds")
    source = open_source(root)
    assert (source.fps, source.tasks, len(source.episodes)) == (30, {0: "a task"}, 1)
    columns = read_columns(source, source.episodes[0], (STATE, "timestamp", "absent"))
    assert set(columns) == {STATE, "timestamp"}
    assert columns[STATE].shape == (4, 6)
    assert take(root, tmp_path).episodes == ["ds-000000"]


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"codebase_version": "v2.1"}, r"format 'v2.1', expected v3.0; convert it with LeRobot"),
        ({"codebase_version": "v4.0"}, r"format 'v4.0', expected v3.0"),
        ({"codebase_version": None}, "format 'None'"),
        ({"fps": 0}, "0 frames per second"),
        ({"fps": "30"}, "'30' frames per second"),
        ({"features": []}, "describes no features"),
        ({"features": {STATE: {"dtype": "float32"}}}, "'observation.state' has no dtype or no sh"),
        ({"features": {STATE: {"dtype": 3, "shape": [-1]}}}, "no dtype or no shape"),
    ],
)
def test_what_info_json_must_say(tmp_path, info, message):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text(json.dumps({**INFO, **info}))
    with pytest.raises(BagError, match=message):
        open_source(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\xff"])
def test_a_broken_info_json_is_named(tmp_path, text):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text(text, encoding="latin-1")
    with pytest.raises(BagError, match=r"info\.json"):
        open_source(tmp_path)


@needs_parquet
@pytest.mark.parametrize(
    "name",
    [
        "meta/tasks.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet",
    ],
)
@pytest.mark.parametrize("size", [0, 40, -20])
def test_a_file_that_is_cut_short_is_named(tmp_path, name, size):
    root = make_dataset(tmp_path / "ds")
    path = root / name
    path.write_bytes(path.read_bytes()[:size])

    def read():
        source = open_source(root)
        return read_columns(source, source.episodes[0], (STATE,))

    with pytest.raises(BagError, match=r"\.parquet"):
        read()


@needs_parquet
@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "{0}", "{chunk_index.x}"])
def test_a_path_out_of_the_dataset_is_refused(tmp_path, path):
    root = make_dataset(tmp_path / "ds", info={"data_path": path})
    with pytest.raises(BagError, match="meta/episodes"):
        open_source(root)


@needs_parquet
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"steps": 3}, "holds 3 of 4 steps"),
        ({STATE: [[float("nan")] * 6] * 4}, "a value is not finite"),
        ({STATE: [[1.0] * 5] * 4}, "is no table of 6 columns"),
        ({STATE: [[1.0] * 6] * 3 + [[1.0] * 5]}, "observation.state"),
        ({STATE: [["a"] * 6] * 4}, "observation.state"),
        ({"timestamp": [0.0, 0.05, 0.1, 0.2]}, r"step 1 is 16\.7 ms off 30 frames/s"),
    ],
)
def test_an_episode_that_contradicts_itself_is_skipped_by_name(tmp_path, columns, message):
    report = take(make_dataset(tmp_path / "ds", **columns), tmp_path)
    assert report.episodes == []
    assert message.replace("\\", "") in report.skipped[0].reason


@needs_parquet
def test_a_rate_that_no_reader_joins_is_refused(tmp_path):
    root = make_dataset(tmp_path / "ds", info={"fps": 10})
    with pytest.raises(BagError, match="10 frames/s; a bag's reader takes joint states for at mo"):
        take(root, tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        [*NAMES[:5], "wrist.pos"],
        NAMES[:5],
        [f"main_{joint}" for joint in JOINTS],
        [*NAMES, "rail.pos"],
        None,
        {"motors": ["a"]},
        3,
    ],
)
def test_another_robot_is_refused(names):
    source = source_of({STATE: {**JOINT, "names": names}})
    with pytest.raises(BagError, match="expected shoulder_pan, shoulder_lift"):
        joint_order(source, STATE)


def test_joints_are_found_in_any_order_and_in_older_descriptions():
    names = {"motors": list(reversed(JOINTS))}
    assert joint_order(source_of({STATE: {**JOINT, "names": names}}), STATE) == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(("largest", "known"), [(101.0, True), (100.0, False), (30.0, False)])
def test_only_a_joint_beyond_100_proves_degrees(tmp_path, largest, known):
    (tmp_path / "meta").mkdir()
    ends = {"min": [0.0] * 6, "max": [*([largest] * 5), 400.0]}
    (tmp_path / "meta/stats.json").write_text(json.dumps({STATE: ends, ACTION: ends}))
    source = source_of({STATE: JOINT, ACTION: JOINT}, tmp_path)
    if known:
        assert find_units(source).half_range is None
    else:
        with pytest.raises(BagError, match=rf"up to {largest:.1f}: degrees or -100..100\?"):
            find_units(source)
    assert find_units(source, "degrees").half_range is None


def test_degrees_are_not_taken_for_normalized_values(tmp_path):
    (tmp_path / "meta").mkdir()
    ends = {"min": [-165.0] * 6, "max": [0.0] * 6}
    (tmp_path / "meta/stats.json").write_text(json.dumps({STATE: ends, ACTION: ends}))
    source = source_of({STATE: JOINT, ACTION: JOINT}, tmp_path)
    with pytest.raises(BagError, match=r"reaches 165\.0: degrees"):
        find_units(source, "normalized", tmp_path / "arm.json")


def test_two_cameras_never_share_an_id():
    image = {"dtype": "video", "shape": [8, 8, 3]}
    names = ("observation.images.top", "observation.images.front")
    source = source_of(dict.fromkeys(names, image))
    assert find_cameras(source, {}) == {"top": names[0], "front": names[1]}
    assert find_cameras(source, {"wrist": "top"}) == {"wrist": names[0], "front": names[1]}
    with pytest.raises(BagError, match="two cameras 'front'"):
        find_cameras(source, {"front": "top"})


def test_depth_is_no_colour_image():
    depth = {"dtype": "video", "shape": [8, 8, 1], "info": {"is_depth_map": True}}
    assert find_cameras(source_of({"observation.images.depth": depth}), {}) == {}


@needs_parquet
@pytest.mark.parametrize("content", [None, b"", b"no video at all"])
def test_a_missing_or_broken_video_is_named(tmp_path, content):
    from so101.data.exchange.lerobot_source import SourceEpisode

    path = tmp_path / "file-000.mp4"
    if content is not None:
        path.write_bytes(content)
    source = source_of(
        {"observation.images.top": {"dtype": "video", "shape": [8, 8, 3]}}, tmp_path
    )
    videos = {"observation.images.top": (path, 0.0, 1.0)}
    episode = SourceEpisode(index=7, length=1, data=tmp_path, videos=videos)
    with pytest.raises(BagError, match=r"episode 7: observation.images.top: file-000\.mp4"):
        list(read_images(source, episode, "observation.images.top", np.array([0])))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"schema_version": 1}, "so101.json: episode 'a'"),
        ({"schema_version": 1, "episodes": {"a": 3}}, "so101.json: episode 'a'"),
        ({"schema_version": 1, "episodes": {"a": {"facts": {"seed": "x"}}}}, "'a'"),
    ],
)
def test_our_own_file_is_not_believed_either(extra, message):
    with pytest.raises(BagError, match=message):
        read_told(extra, "a", "ds")


@pytest.mark.parametrize(
    "arguments",
    [["export-lerobot", "--to", "ds"], ["import-lerobot", "--from", "ds"]],
)
def test_without_lerobot_one_line_says_how_to_get_it(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lerobot_format, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "episodes").mkdir(parents=True)
    loaded = {name for name in sys.modules if name.partition(".")[0] == "lerobot"}
    assert main([*arguments, "--store", "run"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "not installed; make lerobot" in err
    assert {name for name in sys.modules if name.partition(".")[0] == "lerobot"} == loaded


def test_a_camera_map_that_is_none_is_refused(capsys, monkeypatch):
    name = "so101.data.exchange.lerobot_import.check_installed"
    monkeypatch.setattr(name, lambda packages: None)
    assert main(["import-lerobot", "--from", "x", "--camera-map", "front"]) == 2
    assert "--camera-map 'front': expected ID=COLUMN" in capsys.readouterr().err
