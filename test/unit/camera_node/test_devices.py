"""Names of cameras that outlive a replug."""

import pytest

from camera_node.devices import check_stable, describe, identity, resolve, stable_names
from so101.errors import ConfigError, HardwareError


@pytest.fixture
def links(tmp_path):
    """Two cameras, each with a second device for metadata, as udev links them."""
    for number in range(4):
        (tmp_path / f"video{number}").touch()
    for folder in ("by-id", "by-path"):
        (tmp_path / "v4l" / folder).mkdir(parents=True)
    for camera in range(2):
        for index in range(2):
            target = tmp_path / f"video{2 * camera + index}"
            tail = f"video-index{index}"
            (tmp_path / f"v4l/by-id/usb-Cam_{camera}-{tail}").symlink_to(target)
            (tmp_path / f"v4l/by-path/pci-usb-0:{camera}-{tail}").symlink_to(target)
    return tmp_path / "v4l"


@pytest.mark.case(29)
def test_the_same_name_finds_a_renumbered_camera(links):
    name = links / "by-id/usb-Cam_1-video-index0"
    assert resolve(str(name)) == str(links.parent / "video2")
    name.unlink()
    with pytest.raises(HardwareError) as caught:
        resolve(str(name), links)
    assert "usb-Cam_0-video-index0" in str(caught.value)
    (links.parent / "video9").touch()
    name.symlink_to(links.parent / "video9")
    assert resolve(str(name)) == str(links.parent / "video9")


def test_what_is_there_is_listed_without_metadata_and_dangling_links(links):
    (links.parent / "video2").unlink()
    text = describe(links)
    assert text.count("index0") == 2 and "index1" not in text and "Cam_1-video-index0" not in text
    assert "usb-Cam_0-video-index0 (video0)" in text
    assert len(stable_names(links)) == 6
    assert describe(links / "absent") == f"no camera at all below {links / 'absent'}"


@pytest.mark.parametrize("device", ["/dev/video0", "/dev/video12", "video0", ""])
def test_numbers_are_refused_with_a_list_of_names(links, device):
    with pytest.raises(ConfigError) as caught:
        check_stable(device, links)
    assert "usb-Cam_0-video-index0" in str(caught.value)


@pytest.mark.parametrize("device", ["/dev/v4l/by-path/pci-usb-0:1", "/dev/cam_wrist"])
def test_other_names_pass(links, device):
    check_stable(device, links)


def test_a_socket_tells_which_camera_is_in_it(links):
    by_path = links / "by-path/pci-usb-0:1-video-index0"
    assert identity(str(by_path), links) == "usb-Cam_1-video-index0"
    assert identity(str(links.parent / "nothing"), links) == ""
