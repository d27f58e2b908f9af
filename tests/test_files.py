"""Output files: refused before the work starts, whole or absent when it ends."""

import os
from pathlib import Path

import pytest

from nst_jax.system import files

PNG = (".png", ".jpg")


def test_path_in_an_existing_folder_is_accepted(tmp_path):
    files.check_output(tmp_path / "out.png", suffixes=PNG)
    assert os.listdir(tmp_path) == []


def test_ending_is_compared_without_case(tmp_path):
    files.check_output(tmp_path / "out.PNG", suffixes=PNG)


def test_any_ending_is_accepted_without_a_list(tmp_path):
    files.check_output(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "found"), [("out.tiff", ".tiff"), ("out", "none"), (".png", "none")]
)
def test_unknown_ending_is_refused(tmp_path, name, found):
    with pytest.raises(ValueError, match=rf"one of \.png, \.jpg, got {found}"):
        files.check_output(tmp_path / name, suffixes=PNG)


def test_unknown_ending_makes_no_folder(tmp_path):
    with pytest.raises(ValueError, match="ending"):
        files.check_output(tmp_path / "new" / "out.tiff", suffixes=PNG)
    assert os.listdir(tmp_path) == []


def test_missing_folders_are_made(tmp_path):
    files.check_output(tmp_path / "one" / "two" / "out.png")
    assert (tmp_path / "one" / "two").is_dir()


def test_existing_file_is_refused(tmp_path):
    path = tmp_path / "out.png"
    path.write_text("old")
    with pytest.raises(FileExistsError, match="--force") as caught:
        files.check_output(path)
    assert str(path) in str(caught.value)


def test_force_accepts_an_existing_file_and_leaves_it_alone(tmp_path):
    path = tmp_path / "out.png"
    path.write_text("old")
    files.check_output(path, force=True)
    assert path.read_text() == "old"


def test_folder_in_place_of_a_file_is_refused_even_by_force(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        files.check_output(tmp_path, force=True)


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_file_in_place_of_the_folder_is_refused(tmp_path, folder):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="cannot write into the folder") as caught:
        files.check_output(tmp_path / folder / "out.png")
    assert str(tmp_path / folder) in str(caught.value)
    assert f"{tmp_path / 'file'} is a file; give another folder" in str(caught.value)


@pytest.mark.parametrize("address", ["https://a.org/b.jpg", "http:/a.org/b.jpg", "s3://a/b"])
def test_an_address_of_the_web_is_told_as_one(address):
    assert "download the file" in files.absence(Path(address))
    assert files.absence(Path("b.jpg")) == "no such file"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc on this system")
@pytest.mark.parametrize("folder", ["/proc", "/proc/new"])
def test_folder_that_cannot_be_written_is_refused(folder):
    with pytest.raises(OSError, match=f"cannot write into the folder {folder}: "):
        files.check_folder(Path(folder))


def test_folder_that_can_be_written_stays_empty(tmp_path):
    files.check_folder(tmp_path)
    assert os.listdir(tmp_path) == []


def test_new_content_replaces_the_old(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with files.replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_old_content_is_there_until_the_new_is_complete(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with files.replacing(path) as temporary:
        temporary.write_text("ne")
        assert path.read_text() == "old"
        temporary.write_text("new")


def test_reader_of_the_old_file_is_not_disturbed(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with path.open() as reader:
        with files.replacing(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"


def test_temporary_file_keeps_the_ending_beside_the_name(tmp_path):
    with files.replacing(tmp_path / "out.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.touch()


def failing_write(path, error):
    with files.replacing(path) as temporary:
        temporary.write_text("ne")
        raise error


@pytest.mark.parametrize(
    "error", [OSError("disk full"), KeyboardInterrupt()], ids=["OSError", "^C"]
)
def test_exception_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        failing_write(path, error)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_exception_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(OSError, match="disk full"):
        failing_write(tmp_path / "out.txt", OSError("disk full"))
    assert os.listdir(tmp_path) == []
