"""A checkpoint is there whole or not at all, whatever fails and whenever."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from composer.training import TrainingError, checkpoint

OPERATIONS = ("mkdir", "rename", "fsync", "open", "unlink", "rmdir")


def write(folder: Path, step: int, keep: int = 2) -> Path:
    tensors = {
        "model": {"weight": torch.full((50,), float(step))},
        "optimizer": {"exp_avg:weight": torch.full((50,), float(-step))},
    }
    return checkpoint.save(folder, step, tensors, {"step": step}, keep)


def held(folder: Path) -> int | None:
    """The step of the newest whole checkpoint, whose tensors all belong to it."""
    found, _ = checkpoint.newest(folder)
    if found is None:
        return None
    assert found.state["step"] == found.step
    assert found.tensors("model")["weight"].unique().tolist() == [found.step]
    assert found.tensors("optimizer")["exp_avg:weight"].unique().tolist() == [-found.step]
    return found.step


def test_the_newest_are_kept(tmp_path):
    for step in (10, 20, 30):
        write(tmp_path, step)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000020", "step-00000030"]
    assert held(tmp_path) == 30


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_when_any_operation_fails_the_checkpoint_before_loads(tmp_path, monkeypatch, code):
    for count in range(1, 200):
        folder = tmp_path / str(count)
        write(folder, 10, keep=1)
        with monkeypatch.context() as patch:
            left = failing(patch, count, code)
            try:
                write(folder, 20, keep=1)
            except TrainingError as error:
                assert error.problems[0].code == "T504"
                assert os.strerror(code) in str(error)
        if left[0] > 0:
            break
        assert held(folder) in {10, 20}
        checkpoint.sweep(folder)
        write(folder, 30, keep=1)  # nothing that was left is in the way

        assert held(folder) == 30
        assert [path.name for path in folder.iterdir()] == ["step-00000030"]
    assert count > 15, "writing a checkpoint takes more operations than this"


def failing(patch: pytest.MonkeyPatch, count: int, code: int) -> list[int]:
    """The operation on files of that number fails; how many are left until then."""
    left = [count]

    def guard(operation):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                raise OSError(code, os.strerror(code))
            return operation(*arguments, **options)

        return call

    for name in OPERATIONS:
        patch.setattr(os, name, guard(getattr(os, name)))
    patch.setattr(checkpoint, "save_file", guard(checkpoint.save_file))
    patch.setattr(Path, "write_text", short(Path.write_text, left, code))
    return left


def short(write_text, left: list[int], code: int):
    """A write that fails when half of the text is there."""

    def call(path, text, **options):
        left[0] -= 1
        if left[0] == 0:
            write_text(path, text[: len(text) // 2], **options)
            raise OSError(code, os.strerror(code))
        return write_text(path, text, **options)

    return call


class PowerLoss(BaseException):
    """The machine stops."""


def lose_power(patch: pytest.MonkeyPatch, root: Path, count: int) -> None:
    """Stops at an operation of that number; files that were not brought to the disk are torn."""
    left, safe = [count], set()
    fsync, chance = os.fsync, random.Random(count)

    def stop():
        for file in root.rglob("*"):
            if file.is_file() and file.stat().st_ino not in safe:
                os.truncate(file, chance.randrange(file.stat().st_size))
        raise PowerLoss

    def guard(operation):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                stop()
            return operation(*arguments, **options)

        return call

    def synced(handle):
        safe.add(os.fstat(handle).st_ino)
        return fsync(handle)

    for file in root.rglob("*"):
        safe.add(file.stat().st_ino)
    for name in ("mkdir", "rename", "unlink", "rmdir"):
        patch.setattr(os, name, guard(getattr(os, name)))
    patch.setattr(os, "fsync", guard(synced))
    patch.setattr(checkpoint, "save_file", guard(checkpoint.save_file))


def steps_after_power_losses(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The step that is held after a power loss at each operation, until none is met."""
    found = []
    for count in range(1, 200):
        folder = root / str(count)
        write(folder, 10, keep=1)
        with monkeypatch.context() as patch:
            lose_power(patch, folder, count)
            try:
                write(folder, 20, keep=1)
            except PowerLoss:
                found.append(held(folder))
            else:
                return found
        shutil.rmtree(folder)
    raise AssertionError("writing a checkpoint has no end")


def test_a_power_loss_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    found = steps_after_power_losses(tmp_path, monkeypatch)

    assert set(found) == {10, 20}
    assert found == sorted(found)


def test_the_power_losses_find_what_is_not_synced(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "sync", lambda path: None)

    assert None in steps_after_power_losses(tmp_path, monkeypatch)


def test_the_power_losses_find_old_ones_that_go_too_early(tmp_path, monkeypatch):
    real = checkpoint.save_file

    def early(tensors, path):
        for old in path.parents[1].glob("step-*10"):
            shutil.rmtree(old)
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", early)

    assert None in steps_after_power_losses(tmp_path, monkeypatch)


def test_the_power_losses_find_hashes_that_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "sync", lambda path: None)
    monkeypatch.setattr(checkpoint, "is_whole", lambda path: True)

    with pytest.raises((SafetensorError, ValueError, AssertionError)):
        steps_after_power_losses(tmp_path, monkeypatch)


def test_any_damage_is_refused_and_the_one_before_is_used(tmp_path):
    chance = random.Random(0)
    write(tmp_path, 10)
    newest = write(tmp_path, 20)
    copy = shutil.copytree(newest, tmp_path / "copy")
    for _ in range(300):
        damage(newest, tmp_path / "step-00000010", chance)

        found, damaged = checkpoint.newest(tmp_path)
        assert (found.step, damaged) == (10, [newest])
        shutil.rmtree(newest)
        shutil.copytree(copy, newest)
    assert held(tmp_path) == 20


def damage(folder: Path, other: Path, chance: random.Random) -> None:
    """Cuts a file, flips a bit of it, removes it, adds one, or takes that of another checkpoint."""
    file = chance.choice(sorted(folder.iterdir()))
    data = bytearray(file.read_bytes())
    how = chance.choice(["cut", "flip", "remove", "add", "swap"])
    if how == "cut":
        file.write_bytes(data[: chance.randrange(len(data))])
    elif how == "flip":
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
    elif how == "remove":
        file.unlink()
    elif how == "add":
        (folder / "more.safetensors").write_bytes(data)
    else:
        shutil.copy(other / file.name, file)


def test_a_renamed_checkpoint_is_refused(tmp_path):
    write(tmp_path, 10).rename(tmp_path / "step-00000099")

    assert held(tmp_path) is None


def test_two_runs_cannot_write_to_one_folder(tmp_path):
    with (
        checkpoint.locked(tmp_path),
        pytest.raises(TrainingError, match="another run"),
        checkpoint.locked(tmp_path),
    ):
        pass
    with checkpoint.locked(tmp_path):
        pass
