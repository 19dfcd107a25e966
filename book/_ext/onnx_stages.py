"""A network as a chain of ONNX models, so that a page can leave off between two of them.

ONNX Runtime does not stop inside a model. A reader who moves a slider should not wait for the end
of what nobody will look at, so a large network travels as stages, each a fraction of a second.
"""

from math import ceil, prod

from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, helper

#: Multiplications and additions of one stage, about; a browser's thread does 10 per nanosecond.
LARGEST = 1.3e9


def shapes(graph: GraphProto) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a graph whose sizes are all fixed."""
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for info in [*graph.input, *graph.output, *graph.value_info]:
        found[info.name] = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
    return found


def cost(node: NodeProto, shape: dict[str, tuple[int, ...]]) -> int:
    """Multiplications of a convolution; those of other nodes do not count."""
    if node.op_type not in ("Conv", "ConvTranspose"):
        return 0
    places = node.output[0] if node.op_type == "Conv" else node.input[0]
    return prod(shape[places]) * prod(shape[node.input[1]][1:])


def split(model: ModelProto, largest: float = LARGEST) -> list[ModelProto]:
    """The model in stages of about equal cost, cut before a convolution.

    A stage is given tensors that earlier stages or the page have made, by name; its outputs are
    what later ones need. All together they compute what the model does.
    """
    nodes, shape = list(model.graph.node), shapes(model.graph)
    total = sum(cost(node, shape) for node in nodes)
    share = total / max(1, ceil(total / largest))
    groups: list[list[NodeProto]] = [[]]
    done = 0.0
    for node in nodes:
        here = cost(node, shape)
        if here and done + here / 2 > share * len(groups):
            groups.append([])
        groups[-1].append(node)
        done += here
    return [_stage(model, groups, k) for k in range(len(groups))]


def _stage(model: ModelProto, groups: list[list[NodeProto]], k: int) -> ModelProto:
    """Group ``k`` of a model's nodes as a model of its own."""
    graph = model.graph
    infos: dict[str, ValueInfoProto]
    infos = {v.name: v for v in [*graph.value_info, *graph.input, *graph.output]}
    used = {name for node in groups[k] for name in node.input}
    made = {name for node in groups[k] for name in node.output}
    later = {name for group in groups[k + 1 :] for node in group for name in node.input}
    later |= {output.name for output in graph.output}
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    given = sorted(used - made - {tensor.name for tensor in graph.initializer} - {""})
    part = helper.make_graph(
        groups[k],
        f"{graph.name}, stage {k + 1} of {len(groups)}",
        [infos[name] for name in given],
        [infos[name] for name in sorted(made & later)],
        weights,
    )
    return helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
