"""The pictures below folders: links, hidden files and names that say little."""

import os

import pytest
from PIL import Image

from prac.data.sources import load
from prac.data.sources.images_decode import FORMATS
from prac.data.sources.walking import Passed, pictures_below
from prac.errors import PracError
from tests.data.test_folder_layout import classes, pictures


@pytest.fixture
def folder(tmp_path):
    """Two classes of two pictures."""
    return classes(tmp_path / "set" / "train")


def count(folder):
    return len(load(str(folder.parent)).train.labels)


def test_linked_folders_are_walked_into(folder, tmp_path):
    for name in ("ant", "bee"):
        pictures(tmp_path / "store" / name / "deep", 3, seed=5)
        (folder / name / "more").symlink_to(tmp_path / "store" / name)
    pictures(tmp_path / "cow", 3, seed=6)
    (folder / "cow").symlink_to(tmp_path / "cow")
    splits = load(str(folder.parent))
    assert splits.train.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 3
    assert splits.notices == ()


def test_linked_splits_are_splits(folder, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "Train").symlink_to(folder)
    assert count(tmp_path / "other" / "Train") == 4


def test_links_that_lead_back_are_counted_and_end(folder, tmp_path):
    pictures(tmp_path / "store", 3, seed=5)
    for link, target in (
        ("ant/self", "."),
        ("ant/up", ".."),
        ("bee/root", "/"),
        ("all", "."),
        ("ant/l1", tmp_path / "store"),
        ("ant/l2", tmp_path / "store"),
    ):
        (folder / link).symlink_to(target)
    splits = load(str(folder.parent))
    assert splits.train.classes == ("ant", "bee")
    assert splits.train.labels.tolist() == [0] * 5 + [1] * 2
    [told] = splits.notices
    assert told == (
        f"5 links are not followed, such as {folder}/all: each leads to a folder that is already "
        f"read, or lies around it"
    )


def test_folders_that_are_there_come_before_links_to_them(folder):
    pictures(folder / "ant" / "z", 1, seed=7)
    (folder / "ant" / "a").symlink_to("z")
    found = pictures_below(folder / "ant", passed := Passed())
    assert [path.parent.name for path in found] == ["ant", "ant", "z"]
    assert len(list(passed.notices())) == 1


def test_what_is_no_picture_by_its_name_is_counted_once(folder):
    ant = folder / "ant"
    for name in ("notes.txt", ".hidden.png", "IMG.heic", "0.png~"):
        (ant / name).write_bytes(b"text")
    pictures(ant / ".thumbnails")
    os.mkfifo(ant / "pipe.png")
    for name in (".DS_Store", "Thumbs.db", "._0.png", "desktop.ini"):
        (ant / name).write_bytes(b"of the system")
    pictures(ant / "__MACOSX")
    pictures(folder / ".cache" / "empty", 0)
    splits = load(str(folder.parent))
    assert len(splits.train.labels) == 4
    assert splits.notices == (
        f"6 files or folders are not read, such as {ant}/.hidden.png: hidden, no plain file, or of "
        f"no ending that pictures have (.heic 1, .png~ 1, .txt 1)",
    )


@pytest.mark.parametrize("name", ["x.jpe", "x.JFIF", "x.PNG", "x.png ", "scan", "2021.05.03"])
def test_pictures_are_known_by_many_endings_or_by_content_without_one(folder, name):
    Image.new("RGB", (4, 4), (1, 2, 3)).save(folder / "ant" / name, "PNG")
    splits = load(str(folder.parent))
    assert len(splits.train.labels) == 5
    assert splits.notices == ()


def test_a_link_to_nothing_is_a_missing_picture(folder):
    (folder / "ant" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(PracError, match=r"gone\.png: no such image file"):
        load(str(folder.parent))
    assert len(load(str(folder.parent), skip_corrupt=True).train.damaged) == 1


def test_a_class_of_none_but_unknown_files_says_so(folder):
    (folder / "cow").mkdir()
    (folder / "cow" / "a.heic").write_bytes(b"x")
    with pytest.raises(PracError, match=r"cow: no image .*; 1 file or folder is not read, such as"):
        load(str(folder.parent))


@pytest.mark.parametrize("target", ["self", "nowhere"])
@pytest.mark.parametrize("place", ["self", "ant/self", "../self"])
def test_a_link_to_nothing_or_to_itself_is_counted(folder, place, target):
    (folder / place).symlink_to(target)
    splits = load(str(folder.parent))
    assert len(splits.train.labels) == 4
    [told] = splits.notices
    assert told.startswith("1 link is not followed, such as ")
    assert told.endswith(": each leads to nothing, or to itself")


def test_a_picture_that_is_a_link_to_itself_is_a_missing_one(folder):
    (folder / "ant" / "lp.png").symlink_to("lp.png")
    with pytest.raises(PracError, match=r"lp\.png: no such image file"):
        load(str(folder.parent))
    assert len(load(str(folder.parent), skip_corrupt=True).train.damaged) == 1


@pytest.mark.parametrize(
    ("link", "target", "count"),
    [
        ("train/cow", "ant", 2),
        ("train/bee/more", "../ant", 2),
        ("train/bee/more", "../../test/ant", 2),
        ("train/bee/7.png", "../ant/1.png", 1),
        ("val", "test", 4),
    ],
)
def test_pictures_of_two_classes_or_splits_by_links_are_counted(folder, link, target, count):
    classes(folder.parent / "test", seed=1)
    (folder.parent / link).symlink_to(target)
    [told] = [line for line in load(str(folder.parent)).notices if "read twice" in line]
    assert told.startswith(f"{count} picture")
    assert "through links" in told


def test_a_picture_that_is_linked_within_its_class_is_nothing_to_tell_of(folder):
    (folder / "ant" / "7.png").symlink_to("1.png")
    assert load(str(folder.parent)).notices == ()


def test_what_lies_beside_classes_is_counted(folder):
    pictures(folder / ".cow")
    pictures(folder.parent / ".secret" / "z")
    for name in ("train/ants.zip", "train/notes.txt", "README.md", "LICENSE", "all.tar.gz"):
        (folder.parent / name).write_bytes(b"no data")
    assert load(str(folder.parent)).notices == (
        f"2 files or folders are not read, such as {folder.parent}/all.tar.gz: an archive, which "
        f"is not unpacked",
        f"3 files or folders are not read, such as {folder.parent}/.secret: hidden, no plain file, "
        f"or of no ending that pictures have (.txt 1)",
    )
    (folder / "notes.txt").unlink()
    assert load(str(folder)).notices == (
        f"1 file or folder is not read, such as {folder}/ants.zip: an archive, which is not "
        f"unpacked",
        f"1 file or folder is not read, such as {folder}/.cow: hidden, no plain file, or of no "
        f"ending that pictures have",
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF"])
def test_a_file_without_an_ending_is_a_picture_by_its_content(folder, kind):
    if kind not in FORMATS:
        pytest.skip(f"this PIL has no {kind}")
    Image.new("RGB", (4, 4), (1, 2, 3)).save(folder / "ant" / "scan", kind)
    (folder / "ant" / "text").write_text("BMW, P1 and PNG are no pictures\n")
    (folder / "ant" / "list").write_text("P1 is first\n")
    splits = load(str(folder.parent))
    assert len(splits.train.labels) == 5
    assert splits.notices[0].startswith("2 files or folders are not read")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_not_passed_over(folder):
    pictures(folder / "ant" / "closed")
    (folder / "ant" / "closed").chmod(0)
    with pytest.raises(PracError, match="closed: cannot be read"):
        load(str(folder.parent))
