"""What is taken of an accelerator, by a clock and a memory of ours: no device is needed."""

from sightline.core.device_usage import DeviceUsage


def test_seconds_are_those_since_it_was_given_and_memory_its_largest():
    now, taken = [50.0], [0]
    usage = DeviceUsage(lambda: taken[0], lambda: now[0])
    assert (usage.seconds(), usage.peak_mib()) == (0.0, 0.0)
    now[0], taken[0] = 62.25, 3 * 2**20
    assert (usage.seconds(), usage.peak_mib()) == (12.25, 3.0)
