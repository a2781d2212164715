"""Expressions by what they give; `{a}` and `{b}` are put in, `{torch}` and `{F}` are what a file calls them."""

# Of a float tensor, one of the same shape.
UNARY = (
    "{torch}.tanh({a})",
    "{torch}.sigmoid({a})",
    "{a}.abs()",
    "abs({a})",
    "-{a}",
    "{F}.relu({a})",
    "{a}.relu()",
    "{torch}.relu({a})",
    "{F}.leaky_relu({a}, 0.1)",
    "{F}.leaky_relu({a})",
    "{a}.clamp(min=-1, max=1.5)",
    "{torch}.clamp({a}, -2.0, 2.0)",
    "{a}.square()",
    "{a} ** 2",
    "{a}.tanh().exp()",
    "({a}.abs() + 1e-3).sqrt()",
    "{a}.round()",
    "{a}.detach()",
    "{a}.clone()",
    "{torch}.nan_to_num({a})",
    "{F}.dropout({a}, 0.0)",
    "({a})",
    "{F}.dropout({a}, p=0.3, training=False)",
    "{F}.silu({a})",
    "{F}.gelu({a})",
    "{a} * 0.5",
    "1 - {a}",
    "{a} / 3",
    "2 * {a}",
    "{a}.contiguous()",
    "{a}.neg()",
    "{a}.float()",
    "{torch}.log1p({a}.abs())",
    "{a} + 1",
)

# The same, along an axis.
ALONG = (
    "{a}.cumsum(-1)",
    "{a}.flip(0)",
    "{F}.softmax({a}, dim=-1)",
    "{torch}.softmax({a}, -1)",
    "{a}.sort(-1)[0]",
    "{a}.roll(1, -1)",
    "{F}.normalize({a}, dim=-1)",
    "{F}.log_softmax({a}, -1)",
)

# Of two float tensors, one of the same shape.
BINARY = (
    "{a} + {b}",
    "{a} - {b}",
    "{a} * {b}",
    "{a} / ({b}.abs() + 1)",
    "{torch}.maximum({a}, {b})",
    "{torch}.min({a}, {b})",
    "{a}.add({b})",
    "{torch}.mul({a}, {b})",
    "{torch}.stack([{a}, {b}]).mean(0)",
)

# Of one or two float tensors, one without axes.
SCALARS = (
    "{a}.sum()",
    "{a}.mean()",
    "{torch}.mean({a})",
    "{torch}.sum({a} ** 2)",
    "{a}.abs().mean()",
    "{a}.norm()",
    "{torch}.max({a})",
    "{a}.min()",
    "{a}.max()",
    "sum({a}.flatten())",
    "{F}.mse_loss({a}, {b})",
    "{F}.l1_loss({a}, {b})",
    "{a}.std()",
    "{a}.square().sum() / 7",
    "{a}.logsumexp(dim=0).mean()",
)

# Of one or two float tensors, a boolean one of the same shape.
MASKS = (
    "{a} > 0",
    "{a} <= {b}",
    "({a} >= -0.5) & ({a} <= 0.5)",
    "{torch}.isnan({a})",
    "{a} < 0.25",
    "{torch}.isfinite({a})",
    "~({a} > 1)",
    "{a} != 0",
    "{torch}.logical_or({a} > 1, {b} < 0)",
    "{a}.gt(0)",
    "{a} == {b}",
    "{a}.bool()",
)

# Python numbers.
NUMBERS = {"int": "0 1 2 3 7 -1".split(), "float": "0.0 0.5 1.0 2.5 -1.25 1e-3 1e6".split()}

# Questions whose answer is in a tensor.
TRUTHS = (
    "({a} > 0).any()",
    "{torch}.isnan({a}).any()",
    "{a}.max() > 1e3",
    "{torch}.min({a}) < -0.5",
    "({a} == {b}).all()",
    "{torch}.any({a} > 2)",
    "{torch}.all({a} < 3)",
    "{a}.sum() < 0.5",
    "not {torch}.isfinite({a}).all()",
    "{torch}.isnan({a}).any().item()",
    "bool(({a} > 1).any())",
    "float({a}.abs().max()) > 1",
    "{a}.mean().item() > 0",
    "abs({a}.mean()) > 0.5",
    "max({a}.min(), 0.2) > 0.1",
    "{torch}.allclose({a}, {b})",
    "{torch}.equal({a}, {b})",
    "{a}.isinf().sum() > 0",
    "{a}.numel() > 0 and {a}.max() > 1",
    "{torch}.isnan({a}.mean())",
)

# Questions about a tensor whose answer is not in it.
CONDITIONS = (
    "{a}.dim() == 3",
    "{a}.is_cuda",
    "{a}.shape[-1:] != (6,)",
    "{a}.is_sparse",
    "{a}.requires_grad",
    "isinstance({a}, {torch}.Tensor)",
    "{a}.is_leaf",
    "{a}.dtype == {torch}.float32",
    "{a}.is_floating_point()",
    "{a} is None",
    "{a}.numel() > 20",
    "not {a}.is_contiguous()",
    "{a}.is_nested",
    '{a}.device.type == "cpu"',
    "{a}.is_meta",
    "len({a}.shape) in (2, 3)",
    "{a}.is_quantized",
    "{a}.is_cpu",
)
