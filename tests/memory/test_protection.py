"""No mapping of the image is both writable and executable; see also faults/test_reports.py."""

from __future__ import annotations

from harness.serial import Guest


def test_no_mapping_is_writable_and_executable(guest: Guest) -> None:
    mappings = guest.call("maps.mappings")
    image = [mapping for mapping in mappings if mapping["name"].startswith("[kernel")]
    assert {mapping["permissions"][:3] for mapping in image} == {"r-x", "r--", "rw-"}
    assert [mapping for mapping in mappings if mapping["permissions"][1:3] == "wx"] == []


def test_the_first_page_is_never_mapped(guest: Guest) -> None:
    assert min(mapping["start"] for mapping in guest.call("maps.mappings")) >= 0x1000
