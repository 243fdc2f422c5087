"""Archives that lie, and archives that do not."""

from __future__ import annotations

import io
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Mapping

import pytest

from airflow_provider_mirakl.shops.archive import ArchiveLimits, ArchiveRefusedError, opened

PDF = b"%PDF-1.7 " + bytes(range(256)) * 20


def packed(
    files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED, mode: int | None = None
) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # the constructor would correct some names
            info.compress_type = method
            if mode is not None:
                info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, content)
    return out


def read_all(file: io.BytesIO, limits: ArchiveLimits = ArchiveLimits()) -> dict[str, bytes]:  # noqa: B008
    with opened(file, limits) as archive:
        return {f"{m.folder}|{m.name}": b"".join(archive.read(m)) for m in archive.members}


def refusal(file: io.BytesIO, limits: ArchiveLimits = ArchiveLimits()) -> str:  # noqa: B008
    with pytest.raises(ArchiveRefusedError) as caught:
        read_all(file, limits)
    return str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_honest_archive_is_read(method):
    files = {"2000/kbis.pdf": PDF, "2000/Müller 営業.png": b"", "2001/image(1).png": b"2", "top.txt": b"3"}
    assert read_all(packed(files, method)) == {
        "2000|kbis.pdf": PDF,
        "2000|Müller 営業.png": b"",
        "2001|image(1).png": b"2",
        "|top.txt": b"3",
    }


def test_folders_of_their_own_are_no_files():
    assert read_all(packed({"2000/": b"", "2000/a.pdf": PDF})) == {"2000|a.pdf": PDF}


def test_an_empty_archive_is_an_archive():
    assert read_all(packed({})) == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.sh", "leaves the folder"),
        ("2000/../../evil.sh", "leaves the folder"),
        ("2000/..\\..\\evil.sh", "leaves the folder"),
        ("/etc/passwd", "absolute name"),
        ("\\\\server\\share", "absolute name"),
        ("C:/Windows/x", "drive letter"),
        ("c:x", "drive letter"),
        ("2000/deep/er/x.pdf", "deeper"),
        ("2000//x.pdf", "empty or '.' path segment"),
        ("./x.pdf", "empty or '.' path segment"),
        ("2000/a\nb.pdf", "control character"),
        ("2000/a\x00.pdf", "control character"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name, reason):
    assert reason in refusal(packed({"2000/fine.pdf": PDF, name: b"x"}))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(kind):
    assert "link or a special file" in refusal(packed({"2000/link": b"/etc/passwd"}, mode=kind | 0o777))


def test_permission_bits_alone_are_fine():
    assert read_all(packed({"2000/a": b"1"}, mode=0o4777)) == {"2000|a": b"1"}
    assert read_all(packed({"2000/a": b"1"}, mode=stat.S_IFREG | 0o644)) == {"2000|a": b"1"}


@pytest.mark.parametrize(
    "names",
    [("2000/a.pdf", "2000/a.pdf"), ("2000/a.pdf", "2000/A.PDF"), ("2000/ü", "2000/u\u0308"), ("a", "a")],
)
def test_names_that_are_one_to_a_file_system_are_refused(names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("warnings.warn", lambda *args, **kwargs: None)
                archive.writestr(name, b"x")
    assert "2 times" in refusal(out)


def test_too_many_files():
    many = packed({f"2000/{number}": b"" for number in range(11)})
    assert "11 entries; 10 are allowed" in refusal(many, ArchiveLimits(max_files=10))


def test_a_long_list_of_files_is_not_even_read():
    many = packed({f"2000/{'n' * 200}{number}": b"" for number in range(500)})
    assert "list of files" in refusal(many, ArchiveLimits(max_files=100))


def test_a_long_list_of_files_in_the_large_format_is_not_read_either():
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    large = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**9, 10**9, 46 * 10**9, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    assert "list of files has 46,000,000,000 bytes" in refusal(io.BytesIO(large + locator + end))


def test_a_large_file_is_refused_before_anything_is_unpacked():
    assert "has 5,129 bytes; 5,000 are allowed" in refusal(
        packed({"2000/a": PDF}, zipfile.ZIP_STORED), ArchiveLimits(max_file_bytes=5000)
    )


def test_a_large_sum_is_refused():
    files = {f"2000/{number}": PDF for number in range(3)}
    assert "unpacks to 15,387 bytes; 15,000 are allowed" in refusal(
        packed(files), ArchiveLimits(max_total_bytes=15_000)
    )


def test_a_bomb_by_ratio_is_refused():
    assert "times its size; 200 times are allowed" in refusal(packed({"2000/zeros": bytes(8 << 20)}))
    assert read_all(packed({"2000/zeros": bytes(8 << 20)}), ArchiveLimits(max_ratio=2000))


def test_a_small_file_of_one_letter_is_no_bomb():
    assert read_all(packed({"2000/zeros": bytes(500_000)}))


def test_several_faults_are_all_named():
    said = refusal(packed({"../a": b"x", "/b": b"x"}))
    assert "'../a' leaves the folder" in said
    assert "'/b' is an absolute name" in said


def patched(archive: io.BytesIO, name: bytes, offset: int, value: bytes) -> io.BytesIO:
    """The archive with some bytes of an entry's central record replaced."""
    data = bytearray(archive.getvalue())
    at = data.rindex(name) - 46 + offset
    assert data[at - offset : at - offset + 4] == b"PK\x01\x02"
    data[at : at + len(value)] = value
    return io.BytesIO(bytes(data))


def test_a_file_larger_than_it_says_is_cut_off_and_refused():
    lying = patched(packed({"2000/zeros": bytes(4 << 20)}), b"2000/zeros", 24, struct.pack("<L", 1000))
    assert "cannot be unpacked" in refusal(lying)


def test_a_file_smaller_than_it_says_is_refused():
    lying = patched(packed({"2000/short": b"abc"}), b"2000/short", 24, struct.pack("<L", 1000))
    assert "as declared" in refusal(lying) or "cannot be unpacked" in refusal(lying)


def test_a_wrong_checksum_is_refused():
    lying = patched(packed({"2000/a.pdf": PDF}), b"2000/a.pdf", 16, b"\0\0\0\0")
    assert "cannot be unpacked" in refusal(lying)


def test_encryption_is_refused():
    lying = patched(packed({"2000/a.pdf": PDF}), b"2000/a.pdf", 8, struct.pack("<H", 1))
    assert "encrypted" in refusal(lying)


def test_a_method_that_is_not_the_usual_one_is_refused():
    assert "compressed with method" in refusal(packed({"2000/a.pdf": PDF}, zipfile.ZIP_BZIP2))


def test_entries_that_share_their_bytes_are_refused():
    two = packed({"2000/a.pdf": PDF, "2000/b.pdf": PDF}, zipfile.ZIP_STORED)
    assert "overlaps" in refusal(patched(two, b"2000/b.pdf", 42, struct.pack("<L", 0)))


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"<html>login</html>", b"%PDF-1.7", b"PK\x05\x06" + b"\xff" * 18]
)
def test_what_is_no_archive_is_refused(data):
    assert "rejected" in refusal(io.BytesIO(data))


def test_every_cut_of_an_archive_is_refused():
    whole = packed({"2000/a.pdf": PDF, "2000/b.pdf": PDF}).getvalue()
    for length in range(0, len(whole), 97):
        assert "rejected" in refusal(io.BytesIO(whole[:length]))


def test_damage_never_yields_another_content():
    """Every byte of a small archive is damaged once: it is refused, or what comes out is what went in."""
    files = {"2000/a.pdf": b"first content", "2000/b.pdf": b"second content"}
    whole = packed(files, zipfile.ZIP_STORED).getvalue()
    wanted = set(files.values())
    refused = 0
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 0xFF
        try:
            found = read_all(io.BytesIO(bytes(data)))
        except ArchiveRefusedError:
            refused += 1
        else:
            assert set(found.values()) <= wanted
    assert refused > len(whole) / 3


def test_unpacking_needs_little_memory(tmp_path):
    """A child that may hold 60 MB more than Python itself unpacks 200 MB."""
    file = tmp_path / "big.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        block = bytes(range(256)) * 4096
        with archive.open("2000/big.bin", "w") as member:
            for _ in range(200):
                member.write(block)
    script = """
import resource, sys
from airflow_provider_mirakl.shops.archive import ArchiveLimits, opened
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as file, opened(file, ArchiveLimits(max_ratio=2000)) as archive:
    size = sum(len(piece) for member in archive.members for piece in archive.read(member))
assert size == 200 << 20, size
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 60 * 1024, grown
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_name_before_the_content_that_is_no_utf8_is_refused():
    file = packed({"2000/pièce.pdf": PDF})
    data = bytearray(file.getvalue())
    data[data.index("è".encode())] = 0xFF  # the list of files, behind the content, stays as it is
    assert "cannot be unpacked" in refusal(io.BytesIO(bytes(data)))


def test_an_empty_name_is_refused():
    file = packed({"x": PDF})
    data = bytearray(file.getvalue())
    at = data.index(b"PK\x01\x02")
    data[at + 28] = 0  # the length of the name, which becomes part of the comment
    data[at + 32] = 1
    assert "contains an empty or" in refusal(io.BytesIO(bytes(data)))
