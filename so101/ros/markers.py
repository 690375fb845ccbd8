"""Drawings to RViz's markers."""

from typing import Any

from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray


def to_line(name: str, points: Any, colours: Any, width_m: float) -> Marker:
    """Return a line through some points.

    Args:
        name: Namespace of the marker.
        points: [m]. Shape (n, 3).
        colours: Red, green, blue, opacity of each point. Shape (n, 4).
        width_m: [m].
    """
    marker = _marker(name, Marker.LINE_STRIP)
    marker.scale.x = width_m
    marker.points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in points]
    marker.colors = [_colour(colour) for colour in colours]
    return marker


def to_words(name: str, point: Any, colour: Any, height_m: float, text: str) -> Marker:
    """Return words that face the viewer.

    Args:
        name: Namespace of the marker.
        point: Middle of the words [m]. Shape (3,).
        colour: Red, green, blue, opacity.
        height_m: Of a capital letter [m].
        text: The words; RViz breaks them at line ends.
    """
    marker = _marker(name, Marker.TEXT_VIEW_FACING)
    marker.scale.z = height_m
    position = marker.pose.position
    position.x, position.y, position.z = map(float, point)
    marker.color = _colour(colour)
    marker.text = text
    return marker


def to_nothing(name: str) -> Marker:
    """Return what takes a marker away: RViz complains about lines without points."""
    marker = _marker(name, Marker.LINE_STRIP)
    marker.action = Marker.DELETE
    return marker


def to_markers(markers: list[Marker], frame: str) -> MarkerArray:
    """Return markers as one message, all in one frame, by its newest transform (stamp 0)."""
    for marker in markers:
        marker.header.frame_id = frame
    return MarkerArray(markers=markers)


def _marker(name: str, kind: int) -> Marker:
    marker = Marker(ns=name, type=kind, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    return marker


def _colour(colour: Any) -> ColorRGBA:
    red, green, blue, opacity = map(float, colour)
    return ColorRGBA(r=red, g=green, b=blue, a=opacity)
