# Copyright 2026 The dual_cnn_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""
Count the raw frames that an idle subscriber receives, with and without the Fast DDS profile.

A camera that publishes reliably and a subscriber, in two processes on this machine, for each size
and each reliability of the subscriber. Run it with the root of the checkout in PYTHONPATH.
"""

from __future__ import annotations

from array import array
import os
import subprocess
import sys
import time

import rclpy
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image

from dual_cnn_ros.playback.large_images import make_room_for_large_images, VARIABLES

FRAMES, RATE = 150, 30.0
SIZES = ((640, 480), (1280, 720), (1920, 1080))
TOPIC = 'receive_benchmark'


def publish(width: int, height: int) -> None:
    """Publish frames on time, once there is a subscriber."""
    rclpy.init()
    node = rclpy.create_node('receive_camera')
    publisher = node.create_publisher(Image, TOPIC, QoSProfile(depth=1))
    data = array('B', bytes(3 * width * height))
    message = Image(height=height, width=width, encoding='bgr8', step=3 * width, data=data)
    while not publisher.get_subscription_count():
        time.sleep(0.1)
    time.sleep(1.0)
    begin = time.monotonic()
    for number in range(FRAMES):
        time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
        publisher.publish(message)
    time.sleep(1.0)
    rclpy.shutdown()


def receive(width: int, height: int, reliability: QoSReliabilityPolicy) -> int:
    """Return the number of frames that arrive until the camera has gone."""
    size = [str(width), str(height)]
    with subprocess.Popen([sys.executable, __file__, 'publish', *size]) as camera:
        rclpy.init()
        node = rclpy.create_node('receive_subscriber')
        stamps: list[float] = []
        node.create_subscription(
            Image,
            TOPIC,
            lambda _: stamps.append(time.monotonic()),
            QoSProfile(depth=1, reliability=reliability),
        )
        while camera.poll() is None:
            rclpy.spin_once(node, timeout_sec=0.1)
        rclpy.shutdown()
    return len(stamps)


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ['publish']:
        return publish(int(sys.argv[2]), int(sys.argv[3]))
    if sys.argv[1:2] == ['receive']:
        width, height, name = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
        return print(receive(width, height, QoSReliabilityPolicy[name]))
    os.environ.update(ROS_DOMAIN_ID='88', ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
    print(f'| {FRAMES} frames, {RATE:.0f} Hz |', *(f'{w} x {h} |' for w, h in SIZES))
    print('|---' * (1 + len(SIZES)) + '|')
    for profile in ('default', 'fastdds_large_images.xml'):
        for name in VARIABLES:
            os.environ.pop(name, None)
        if profile != 'default':
            make_room_for_large_images()
        for reliability in ('BEST_EFFORT', 'RELIABLE'):
            counts = [
                subprocess.check_output(
                    [sys.executable, __file__, 'receive', str(w), str(h), reliability], text=True
                ).strip()
                for w, h in SIZES
            ]
            words = reliability.lower().replace('_', ' ')
            print(f'| {profile}, {words} |', *(f'{count} |' for count in counts), flush=True)
    return None


if __name__ == '__main__':
    main()
