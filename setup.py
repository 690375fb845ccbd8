"""The ament_python package so101_bringup, which also installs the package so101_description.

colcon does not look for packages inside a package, so the second ament index marker is what makes
``$(find so101_description)`` and ``package://so101_description/...`` resolve.
"""

from glob import glob
from os.path import dirname, isfile

from setuptools import find_packages, setup

PACKAGE = "so101_bringup"
DESCRIPTION = "so101_description"
MARKERS = "share/ament_index/resource_index/packages"
DESCRIPTION_FILES = ("urdf", "mjcf", "srdf", "rviz", "meshes")


def share(package, pattern):
    """Return data_files entries: the pattern's files below the package's share directory."""
    root = dirname(__file__) or "."
    files = [path for path in glob(pattern, root_dir=root, recursive=True) if isfile(path)]
    return [(f"share/{package}/{dirname(path)}".rstrip("/"), [path]) for path in sorted(files)]


def description_share():
    """Return data_files entries of so101_description, without its outer directory."""
    patterns = [f"{DESCRIPTION}/*.yaml"]
    patterns += [f"{DESCRIPTION}/{folder}/**" for folder in DESCRIPTION_FILES]
    entries = [entry for pattern in patterns for entry in share("", pattern)]
    return [(target.replace("share//", "share/"), files) for target, files in entries]


setup(
    name=PACKAGE,
    version="0.1.0",
    description="A ROS 2 stack for the SO-101 arm that learns on the desk.",
    license="Apache-2.0",
    maintainer="SO-101 maintainers",
    maintainer_email="so101-maintainers@users.noreply.github.com",
    python_requires=">=3.11",
    packages=find_packages(include=["so101*", "*_node*"]),
    package_data={
        f"{PACKAGE}.doctor": ["*.rules"],
        DESCRIPTION: ["*.yaml", *(f"{folder}/**/*" for folder in DESCRIPTION_FILES)],
    },
    data_files=[
        (MARKERS, [f"resource/{PACKAGE}", f"resource/{DESCRIPTION}"]),
        (f"share/{PACKAGE}", ["package.xml", ".setup_assistant"]),
        *share(PACKAGE, "launch/*.launch.py"),
        *share(PACKAGE, "config/**"),
        *share(PACKAGE, "rviz/*.rviz"),
        *description_share(),
    ],
    extras_require={
        "s3": ["s3fs"],  # remote stores; file and memory need nothing more
        "sftp": ["paramiko"],
        "test": ["pytest"],  # by which colcon test knows how these tests are run
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "so101 = so101_bringup.cli:main",
            "simulation_node = simulation_node.node:main",
            "hardware_node = hardware_node.node:main",
            "camera_node = camera_node.node:main",
            "teleop_node = teleop_node.node:main",
            "intervention_node = intervention_node.node:main",
            "motion_node = motion_node.node:main",
            "policy_node = policy_node.node:main",
            "reward_node = reward_node.node:main",
            "recorder_node = recorder_node.node:main",
            "learner_node = learner_node.node:main",
            "marker_node = marker_node.node:main",
            "joy_keyboard = so101.ros.joy_keyboard:main",
        ],
    },
)
