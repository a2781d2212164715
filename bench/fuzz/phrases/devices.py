"""What asks for devices, scripts, process groups and modes."""

from __future__ import annotations

from ..kinds import Other, Tensor
from ..writer import Writer


def device_guard(w: Writer) -> None:
    """Code for CUDA, which does not run here."""
    signal, shape = w.signal()
    name = w.let(f"{signal} * 1", Tensor("float32", shape), "placed", "held")
    form = w.rng.randrange(5)
    if form == 0:
        with w.block(f"if {signal}.is_cuda:"):
            w.line(f"{name} = {name}.{w.one_of('cuda()', 'half()', 'cuda(non_blocking=True)')}")
    elif form == 1:
        device = w.let(
            w.one_of(
                f"'cuda' if {w.torch}.cuda.is_available() else 'cpu'",
                f"{w.torch}.device('cuda' if {w.torch}.cuda.is_available() else 'cpu')",
                f"'cpu' if not {w.torch}.cuda.is_available() else 'cuda:0'",
                f"{w.torch}.device('cpu')",
            ),
            Other(),
            "device",
        )
        w.line(
            w.one_of(
                f"{name} = {name}.to({device})",
                f"{name} = {name}.to(device={device})",
                f"{name} = {name} + {w.torch}.ones(1, device={device})",
            )
        )
        w.env.pop(device, None)
    elif form == 2:
        with w.block(f"if {w.torch}.cuda.is_available():"):
            w.line(w.one_of(f"{w.torch}.cuda.empty_cache()", f"{w.torch}.cuda.synchronize()"))
    elif form == 3:
        w.line(
            w.one_of(
                f"{w.torch}.backends.cudnn.benchmark = False",
                f"{w.torch}.cuda.empty_cache()",
                f"{w.torch}.backends.cudnn.deterministic = False",
                f"{w.torch}.cuda.manual_seed_all(3)",
            )
        )
    else:
        w.let(
            w.one_of(
                f"{name} if {name}.device.type == 'cpu' else {name}.cpu()",
                f"str({name}.device)",
                f"{name}.cpu()",
                f"{name}.detach().to('cpu')",
                f"{name}.get_device()",
            ),
            Other(),
        )


def autocast(w: Writer) -> None:
    """Autocast that is off, or has no effect here."""
    signal, shape = w.signal()
    name = w.let(f"{signal} * 1", Tensor("float32", shape), "exact", "cast")
    head = w.one_of(
        f"with {w.torch}.autocast('cuda', enabled=False):",
        f"with {w.torch}.amp.autocast(device_type='cuda', enabled=False):",
        f"with {w.lib('torch.cuda.amp.autocast')}(enabled=False):",
        f"with {w.torch}.autocast(device_type='cuda', enabled=False), {w.torch}.no_grad():",
        f"with {w.torch}.autocast('cpu', enabled=False):",
        f"with {w.lib('torch.cuda.amp.autocast')}({w.one_of('False', 'enabled=True', '')}):",
    )
    with w.block(head):
        w.line(f"{name} = {w.floats(shape, 2)}")


def no_gradients(w: Writer) -> None:
    """Code without gradients."""
    signal, shape = w.signal()
    name = w.let(f"{signal} * 1", Tensor("float32", shape), "fixed", "frozen")
    modes = ["no_grad()", "no_grad()"]
    if w.chance(0.3) and w.may_infer():
        modes = ["inference_mode()", "inference_mode(True)"]
    elif not w.inference:
        modes += ["enable_grad()", f"set_grad_enabled({w.condition(0)})"]
    with w.block(f"with {w.torch}.{w.rng.choice(modes)}:"):
        w.line(f"{name} = {w.floats(shape, 2)}")
        if w.chance(0.3):
            w.line(f"{name} = {name}.clone() if {w.condition()} else {name}")


def checkpoint(w: Writer) -> None:
    """Activations that are computed again."""
    signal, shape = w.signal()
    function = w.lib("torch.utils.checkpoint.checkpoint")
    w.let(
        w.one_of(
            f"{function}({w.torch}.tanh, {signal}, use_reentrant=False)",
            f"{function}(lambda v: v * 2, {signal}, use_reentrant=False)",
            f"{function}({w.torch}.add, {signal}, {signal}, use_reentrant=False)",
            f"{function}({w.torch}.sigmoid, {signal}, use_reentrant=False, preserve_rng_state=False)",
        ),
        Tensor("float32", shape),
    )


def scripted(w: Writer) -> None:
    """A function that TorchScript compiles."""
    name = w.top_name("fused")
    body = w.one_of("torch.tanh(a) * torch.sigmoid(b)", "a + b * 2", "(a - b).abs()", "a * 0.5 + torch.tanh(b)")
    body = body.replace("torch", w.style.modules[-1][1])
    signal, shape = w.signal()
    if w.chance(0.5):
        w.before += [f"@{w.torch}.jit.script", f"def {name}(a, b):", f"    return {body}", "", ""]
        called = name
    else:
        called = w.top_name("fast")
        w.before += [
            f"def {name}(a, b):",
            f"    c = {body}",
            "    return c",
            "",
            "",
            f"{called} = {w.torch}.jit.script({name})",
            "",
            "",
        ]
    w.let(w.call(called, ("a", signal), ("b", w.floats(shape, 1))), Tensor("float32", shape))


def scripted_count(w: Writer) -> None:
    """A count that goes to a script as a tensor."""
    name = w.top_name("split_gate")
    torch = w.style.modules[-1][1]
    body = ["    n = count[0]", f"    return {torch}.tanh(a[:, :n]) * {torch}.sigmoid(a[:, n : 2 * n])"]
    if w.chance(0.3):
        body = [
            "    n_int = count[0]",
            f"    t_act = {torch}.tanh(a[:, :n_int, :])",
            f"    return t_act * {torch}.sigmoid(a[:, n_int : n_int * 2, :])",
        ]
    if w.chance(0.15):
        body = ["    n = (count * 2)[0] // 2", "    return a[:, :n]"]
    if w.chance(0.5):
        w.before.append(f"@{torch}.jit.script")
    w.before += [f"def {name}(a, count):", *body, "", ""]
    signal, shape = w.signal(("B", "C", "T"))
    if len(shape) != 3:
        return
    counts = w.one_of(
        f"{w.torch}.IntTensor([2])",
        f"{w.torch}.LongTensor([2])",
        f"{w.torch}.IntTensor([{signal}.size(1) // 2])",
        f"{w.torch}.tensor([2])",
    )
    if w.chance(0.5):
        counts = w.let(counts, Other(), "n_channels_tensor", "count")
        w.env.pop(counts, None)
    w.let(w.call(name, ("a", signal), ("count", counts)), Other())


def process_group(w: Writer) -> None:
    """What asks torch.distributed."""
    signal, _ = w.signal()
    dist = w.lib("torch.distributed")
    form = w.rng.randrange(4)
    if form == 0:
        w.let(
            w.one_of(
                f"{dist}.get_rank() if {dist}.is_initialized() else 0",
                f"{dist}.is_available() and {dist}.is_initialized()",
                f"{dist}.get_world_size() if {dist}.is_initialized() else 1",
            ),
            Other(),
            "rank",
        )
    elif form == 1:
        rank = w.let("0", Other(), "rank")
        with w.block("try:"):
            w.line(f"{rank} = {dist}.get_rank()")
        with w.block(w.one_of("except (RuntimeError, ValueError):", "except Exception:")):
            w.line(f"{rank} = 0")
    elif form == 2:
        with w.block(f"if {dist}.is_initialized():"):
            w.line(
                w.one_of(
                    f"{dist}.all_reduce({signal})",
                    f"{dist}.broadcast({signal}, src=0)",
                    f"{dist}.broadcast({signal}, 0)",
                )
            )
    else:
        with w.block(f"if {dist}.is_available() and {dist}.is_initialized() and {dist}.get_rank() > 0:"):
            w.line("print('other')")


def beside(w: Writer) -> None:
    """A helper of another file of the package."""
    name = w.top_name("helper")
    form = w.one_of(
        "x * 2",
        "torch.tanh(x) + 1",
        "x.sum()",
        "x - x.mean()",
        "float(x.sum())",
        "(x > 0).any()",
        "x[x > 0].sum()",
        "torch.zeros(x.size(0)).to(x.device)",
    )
    w.shared += [f"def {name}(x):", f"    return {form}", "", ""]
    signal, _ = w.signal()
    how = w.rng.randrange(4)
    if how == 0:
        w.before += [f"from module.COMMONS import {name}", ""]
        called = name
    elif how == 1:
        w.before += ["from module import COMMONS", ""]
        called = f"COMMONS.{name}"
    elif how == 2:
        w.before += [f"import module.COMMONS as {w.prefix}_c", ""]
        called = f"{w.prefix}_c.{name}"
    else:
        w.before += [f"from .COMMONS import {name} as {w.prefix}_h", ""]
        called = f"{w.prefix}_h"
    w.let(f"{called}({signal})", Other())


def nested(w: Writer) -> None:
    """A function inside the function, or a lambda."""
    signal, _shape = w.signal()
    name = w.fresh("inner_fn", "step_fn", "apply_fn")
    if w.chance(0.4):
        w.line(
            f"{name} = lambda v, k=2: "
            + w.one_of(
                "v * k", f"{w.torch}.tanh(v) + k", "v.sum().item() * k", f"v + {signal}", f"{w.torch}.zeros_like(v) + k"
            )
        )
    else:
        with w.block(f"def {name}(v, k={w.one_of('2', '0.5')}):"):
            if w.chance(0.4):
                w.line(
                    w.one_of(
                        "if v.max() > 3: raise ValueError('large')",
                        "assert not v.isnan().any()",
                        "v = v * k",
                        "k = float(v.sum())",
                        f"if k > 1: return {signal}",
                    )
                )
            w.line(
                "return "
                + w.one_of(
                    "v * k", f"{w.torch}.tanh(v)", "v.mean().item()", f"v + {signal}", f"v + {w.torch}.zeros(1)", "v, k"
                )
            )
    w.let(
        w.one_of(
            f"{name}({signal})",
            f"{name}({signal}, 3)",
            f"{name}(v={signal}, k=1)",
            f"[{name}(p) for p in ({signal}, {signal} * 2)]",
        ),
        Other(),
    )


def in_place(w: Writer) -> None:
    """A tensor, perhaps the caller's own, is changed in place."""
    signal, shape = w.signal()
    name = (
        signal
        if w.chance(0.3)
        else w.let(w.one_of(f"{signal}.clone()", f"{signal}.detach()", f"{signal} * 1"), Tensor("float32", shape))
    )
    w.line(
        w.one_of(
            f"{name} += 1",
            f"{name} *= {w.number('float', 0)}",
            f"{name}.mul_(2)",
            f"{name}.clamp_(-1, 1)",
            f"{name} -= {name}.mean()",
            f"{name}.zero_()",
            f"{name}[:1] = 0" if shape else f"{name} /= 2",
            f"{name} /= 2",
            f"{name}.add_({name})",
            f"{name}[..., 0] = {w.number('float', 0)}" if shape else f"{name} += 2",
            f"{name}.data.mul_(0.5)",
            f"{name}[0] += 1" if shape else f"{name} -= 1",
            f"{name} **= 2",
        )
    )


PHRASES = (
    device_guard,
    autocast,
    no_gradients,
    checkpoint,
    scripted,
    scripted_count,
    process_group,
    beside,
    nested,
    in_place,
)
