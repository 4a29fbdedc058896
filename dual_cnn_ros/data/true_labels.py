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

"""The true labels of recorded frames: from a topic of the recording, or from a CSV file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
import csv
from decimal import Decimal, InvalidOperation
import io
from pathlib import Path

from dual_cnn_ros.data import DataError
from dual_cnn_ros.data.cameras import camera_of
from dual_cnn_ros.data.recording import CLASSIFICATION, NANOSECONDS, Recording
from dual_cnn_ros.files import composed, EncodingError, read_text


def read_labels(path: Path, problems: list[str]) -> dict[tuple[str, str], str]:
    """
    Return the labels of a CSV file by topic ('' for any) and frame number or '@<nanoseconds>'.

    Its first line names the columns: `label`, and `frame` (counted from 0, over all images or,
    with a topic, over its own), or `stamp` (of the header: seconds with a decimal point, or
    nanoseconds); `topic` may be left out.

    Parameters
    ----------
    path
        The CSV file.
    problems
        A text is appended for each line that cannot be used.

    Raises
    ------
    DataError
        The columns are not there, or it is no CSV file in UTF-8.

    """
    try:
        return _read_labels(path, problems)
    except EncodingError as error:
        raise DataError(str(error)) from error
    except csv.Error as error:
        raise DataError(f'{path} is no CSV file: {error}') from error


def _read_labels(path: Path, problems: list[str]) -> dict[tuple[str, str], str]:
    found = {}
    rows = csv.DictReader(io.StringIO(read_text(path), newline=''), skipinitialspace=True)
    columns = set(rows.fieldnames or ())
    if 'label' not in columns or not columns & {'frame', 'stamp'}:
        raise DataError(
            f'{path}: the first line must name the columns label and frame or '
            f'stamp, and topic if there are several; it has '
            f'{", ".join(sorted(columns)) or "none"}'
        )
    for row in rows:
        try:
            key = _frame_of(row)
            if not row['label']:
                raise ValueError('no label')
            found[row.get('topic') or '', key] = composed(row['label'].strip())
        except ValueError as error:
            problems.append(f'{path}, line {rows.line_num}: {error}')
    return found


def recorded_labels(
    recording: Recording, topics: Collection[str], problems: list[str]
) -> dict[tuple[str, int], str]:
    """
    Return the labels on <camera>/ground_truth by image topic and stamp of the header in ns.

    A Classification without a result labels nothing, nor does a topic of another type: simulators
    publish poses as ground_truth. For each Classification that cannot be read, a text is appended
    to `problems`.
    """
    labelled: dict[str, list[str]] = {}
    for topic in topics:
        labelled.setdefault(f'/{camera_of(topic)}/ground_truth', []).append(topic)
    found = {}
    there = [t.name for t in recording.topics.values() if t.type == CLASSIFICATION]
    for message in recording.messages(labelled.keys() & there):
        where = f'{message.topic} at {message.time / NANOSECONDS:.3f}'
        try:
            truth = message.decode()
        except ValueError as error:
            problems.append(f'{where}: {error}')
            continue
        stamp = truth.header.stamp.sec * NANOSECONDS + truth.header.stamp.nanosec
        if not stamp:
            problems.append(f'{where}: no time stamp')
        elif truth.results:
            label = composed(str(truth.results[0].class_id))
            found.update({(topic, stamp): label for topic in labelled[message.topic]})
    return found


def _frame_of(row: Mapping[str, str | None]) -> str:
    """Return the number of the frame, or its stamp as @<nanoseconds>; ValueError if neither."""
    if number := row.get('frame'):
        try:
            return str(int(number))
        except ValueError as error:
            raise ValueError(f'{number!r} is no number of a frame') from error
    if not (stamp := row.get('stamp')):
        raise ValueError('neither frame nor stamp')
    try:
        return f'@{int(Decimal(stamp) * NANOSECONDS) if "." in stamp else int(stamp)}'
    except (ValueError, InvalidOperation) as error:
        raise ValueError(f'{stamp!r} is no time stamp') from error
