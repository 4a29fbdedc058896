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
Where frames and readings come from: image folders, videos, recordings, power traces.

To evaluate on, `labelled_frames.open_frames` gives the frames of a folder, a tar or a recording
with their true labels; to train on, `dataset.load_dataset` gives images of one size. To play,
`recording.Recording` and `image_stream.ImageStream` give serialized messages. No ROS is needed.
"""


class DataError(ValueError):
    """The data cannot be used as they are; the message names what is wrong and what to do."""
