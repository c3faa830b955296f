"""Faults in words, and what is none: the cancellation of the task that runs."""

from __future__ import annotations

import asyncio

import pytest

from proxy.faults import described, is_own_cancellation, place_of


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("no\nsuch  thing"), "OSError: no such thing"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_a_fault_on_one_line(error: BaseException, told: str) -> None:
    assert (described(error), place_of(error)) == (told, "")


def test_its_place_is_where_it_was_raised() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    assert place_of(caught.value) == f"test_faults.py:{caught.tb.tb_lineno}"


async def test_only_who_is_cancelled_is_cancelled() -> None:
    async def waits(future: asyncio.Future[None]) -> bool:
        try:
            await future
        except asyncio.CancelledError as error:
            return is_own_cancellation(error)
        return False

    futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
    theirs, ours = (asyncio.ensure_future(waits(future)) for future in futures)
    await asyncio.sleep(0)
    futures[0].cancel()
    ours.cancel()
    assert (await theirs, await ours) == (False, True)
    assert not is_own_cancellation(SystemExit())
