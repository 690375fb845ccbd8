"""The report as files: one page, one figure."""

from pathlib import Path

from so101.data.durable import store_error, write_text
from so101_bringup.report.figure import DARK, LIGHT, PICTURES, overview, picture
from so101_bringup.report.numbers import Report
from so101_bringup.report.page import Picture, page

PAGE, FIGURE = "report.html", "report.png"


def publish(report: Report, directory: Path) -> tuple[Path, Path]:
    """Write the page and the figure, replacing older ones; return where they are.

    Raises:
        StoreError: They cannot be written.
    """
    pictures = {
        name: Picture(light=picture(report, name, LIGHT), dark=picture(report, name, DARK))
        for name in PICTURES
    }
    figure = overview(report)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FIGURE).write_bytes(figure)
    except OSError as error:
        raise store_error(directory, error) from error
    write_text(directory / PAGE, page(report, pictures))
    return directory / PAGE, directory / FIGURE
