"""A change of the builder's state that is cancelled, or that the disk does not take."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest

from contractor.buildd.daemon import states
from contractor.buildd.daemon.diary import Diary
from contractor.buildd.daemon.keeper import Keeper
from contractor.buildd.daemon.saved import Saved

TAKEN = states.begin(states.Current(), "B-1", "snap", ())


def on_disk(folder: Path) -> states.Current:
    return msgspec.json.decode((folder / ".state.json").read_bytes(), type=states.Current)


@pytest.mark.parametrize("works", [True, False])
def test_a_change_that_is_cancelled_is_made_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    """Whoever goes away while it is written: afterwards memory and disk agree, and the next change is not mixed in."""
    begun, go_on = threading.Event(), threading.Event()
    save = Saved.save

    def slowly(saved: Saved, current: states.Current) -> None:
        begun.set()
        assert go_on.wait(20)
        if not works:
            raise OSError(28, "No space left on device")
        save(saved, current)

    async def change() -> states.Current:
        keeper = Keeper(str(tmp_path), Diary(str(tmp_path / "log")))
        await keeper.save(states.Current())
        monkeypatch.setattr(Saved, "save", slowly)
        change = asyncio.create_task(keeper.save(TAKEN))
        await asyncio.to_thread(begun.wait, 20)
        change.cancel()
        await asyncio.sleep(0)
        assert not change.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await change
        await keeper.close()
        return keeper.current

    current = asyncio.run(change())
    assert current == on_disk(tmp_path) == (TAKEN if works else states.Current())


def test_what_has_happened_is_true_though_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_saved: Saved, _current: states.Current) -> None:
        raise OSError(28, "No space left on device")

    async def change() -> None:
        keeper = Keeper(str(tmp_path), Diary(str(tmp_path / "log")))
        monkeypatch.setattr(Saved, "save", full)
        with pytest.raises(OSError, match="No space"):
            await keeper.save(TAKEN)
        assert keeper.current == states.Current()
        await keeper.save(TAKEN, always=True)
        assert keeper.current == TAKEN
        await keeper.close()

    asyncio.run(change())
    assert (tmp_path / "log").read_text().count("the state cannot be saved") == 2
