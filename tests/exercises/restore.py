"""Puts the published files of chapters/ and common/ back, after an experiment: make restore."""

import io
import subprocess
import tarfile
import time

from course import PUBLISHED, Problem


def published(root):
    """An archive of the published files: a hand-out carries one, a repository has its last commit."""
    archive = root / PUBLISHED
    if archive.exists():
        return archive.read_bytes()
    git = subprocess.run(["git", "-C", str(root), "archive", "HEAD", "chapters", "common"],
                         capture_output=True, check=False)
    if git.returncode != 0:
        raise Problem("there is no published copy to restore from: this is neither a hand-out nor a "
                      "git repository of the course")
    return git.stdout


def restore(root):
    aside = root / "work" / "old" / time.strftime("restore-%Y%m%d-%H%M%S")
    while aside.exists():
        aside = aside.with_name(aside.name + "+")
    count = 0
    with tarfile.open(fileobj=io.BytesIO(published(root))) as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            place, text = root / member.name, archive.extractfile(member).read()
            if place.is_file() and place.read_bytes() == text:
                continue
            count += 1
            what = "was gone, and is back"
            if place.exists():
                old = aside / member.name
                old.parent.mkdir(parents=True, exist_ok=True)
                place.rename(old)
                what = f"yours is now in {old.relative_to(root)}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text)
            place.chmod(member.mode & 0o777)
            print(f"{member.name}\n    {what}")
    print(f"{count} of the published files {'is' if count == 1 else 'are'} back." if count else
          "Nothing to restore: chapters/ and common/ are as they were published.")
    return 0
