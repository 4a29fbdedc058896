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

"""The page: one file that loads nothing, with figures and frames of disagreement."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
import re
import xml.etree.ElementTree as ElementTree

from evaluated import RULE, run
from tiny_bundle import make_bundle

from dual_cnn_ros.evaluation.page import make_page


class PageReader(HTMLParser):
    """Collects what a page would load, and its tags; those that hold anything must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [v or '' for key, v in attrs if key in ('src', 'href', 'xlink:href')]
        if tag not in ('meta', 'img', 'br'):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_one_file_and_loads_nothing(bundle: Path, images: Path, tmp_path: Path) -> None:
    evil = make_bundle(tmp_path / 'evil', name='<script>&$', rule=RULE, gains=(1.0, 1.0))
    run(images, tmp_path / 'out', f'{evil}@second', bundle, repeat=(0.0, 1.0))
    text = (tmp_path / 'out/evaluate.html').read_text()
    reader = PageReader()
    reader.feed(text)
    assert reader.open == [] and 'script' not in reader.tags
    assert all(load.startswith(('data:image/', '#')) for load in reader.loads)
    assert '@import' not in text and 'url(' not in text.replace('url(#', '')
    assert '&lt;script&gt;&amp;$' in text
    charts = re.findall(r'<svg.*?</svg>', text, re.DOTALL)
    # Two of cost, one of who answered and one of latency a protocol; calibration; confusion.
    assert len(charts) == 2 * 4 + 2
    for chart in charts:
        ElementTree.fromstring(chart)
    words = [''.join(ElementTree.fromstring(chart).itertext()) for chart in charts]
    assert 'accuracy, %' in words[0] and 'MACs per image, millions' in words[0]


def test_page_shows_where_the_systems_disagree(bundle: Path, images: Path, tmp_path: Path) -> None:
    blind = make_bundle(tmp_path / 'blind', name='blind', labels=('green', 'blue', 'red'))
    names = (bundle, f'{blind}@second')
    findings = run(images, tmp_path / 'out', *names, reference='blind@second', memory=False)
    found = findings.disagreement
    assert found is not None and found.frames == 24 == len(found.shown)
    text = (tmp_path / 'out/evaluate.html').read_text()
    assert text.count('<figure>') == text.count('src="data:image/jpeg') == 24
    # Those come first in which only the reference is right: it takes the wrong labels for right.
    right = [
        (frame.reference == frame.label, frame.system == frame.label) for frame in found.shown
    ]
    assert right == [(True, False)] * 4 + [(False, True)] * 20


def test_page_without_labels_times_and_room(bundle: Path, images: Path, tmp_path: Path) -> None:
    findings = run(images, tmp_path, bundle, memory=False, timed=0)
    (result,) = findings.results
    unlabelled = replace(result, accuracy=None, interval=None, reliability=None, confusion={})
    text = make_page(replace(findings, results=(unlabelled,), fronts=()), {}, 'How')
    assert text.count('<svg') == 1 and 'Who answered' in text and 'Confusion' not in text
    many = tuple(f'c{i}' for i in range(31)) + findings.labels
    text = make_page(replace(findings, labels=many), {}, 'How')
    assert '<td>4</td><td>red</td><td>blue</td>' in text
