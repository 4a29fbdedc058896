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

"""External weights of an ONNX model are found wherever they stand, without the package onnx."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper, TensorProto
import pytest
from tiny_bundle import save_model

from dual_cnn_ros.inference.onnx_file import external_files


@pytest.fixture
def model(tmp_path: Path) -> onnx.ModelProto:
    save_model(tmp_path / 'net.onnx', classes=3, size=16, gain=1.0)
    return onnx.load(tmp_path / 'net.onnx')


def external(location: str) -> TensorProto:
    tensor = helper.make_tensor('w', TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (('offset', '0'), ('location', location), ('length', '4')):
        tensor.external_data.add(key=key, value=value)
    return tensor


def in_graph(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.initializer.append(tensor)


def in_sparse(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(tensor)


def in_constant(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.node.append(helper.make_node('Constant', [], ['c'], value=tensor))


def in_branch(model: onnx.ModelProto, tensor: TensorProto) -> None:
    branch = helper.make_graph([], 'branch', [], [], [tensor])
    model.graph.node.append(helper.make_node('If', ['x'], ['y'], then_branch=branch))


def in_function(model: onnx.ModelProto, tensor: TensorProto) -> None:
    node = helper.make_node('Constant', [], ['c'], value=tensor)
    model.functions.add(name='f', domain='d').node.append(node)


def in_training(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.training_info.add().algorithm.initializer.append(tensor)


PLACES = [in_graph, in_sparse, in_constant, in_branch, in_function, in_training]


@pytest.mark.parametrize('place', PLACES)
def test_external_weights_are_found(model: onnx.ModelProto, place) -> None:
    assert external_files(model.SerializeToString()) == set()
    locations = {'weights.bin', 'deep/er/weights', '/abs', '../x'}
    for location in locations:
        place(model, external(location))
    assert external_files(model.SerializeToString()) == locations


def test_a_number_is_read_as_every_protobuf_library_reads_it(model: onnx.ModelProto) -> None:
    in_graph(model, external('w.bin'))
    content = model.SerializeToString()
    plain, wide = b'\x70\x01', b'\x70\x81\x80\x80\x80\x10'  # the upper half is dropped
    assert content.count(plain) == 1
    tensor = external('w.bin').SerializeToString().replace(plain, wide)
    assert TensorProto.FromString(tensor).data_location == TensorProto.EXTERNAL
    graph = b'\x2a' + bytes([len(tensor)]) + tensor
    assert external_files(b'\x3a' + bytes([len(graph)]) + graph) == {'w.bin'}


def test_what_is_cut_or_no_protobuf_is_refused(model: onnx.ModelProto) -> None:
    content = model.SerializeToString()
    for damaged in (content[:-1], b'no model', bytes(100), content + b'\x3a\xff', b'\x3a' * 5000):
        with pytest.raises(ValueError, match='no ONNX model, or damaged'):
            external_files(damaged)
