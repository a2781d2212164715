"""A value that is only stored or reported can stay where it is."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.logged import is_kept, kept_numbers, only_logged, read_value
from porter.analysis.truths import only_reports, parts, reads_value
from porter.rule import Example, Needed, Rule, Safety
from porter.syntax.calls import has_star, positional, with_keywords
from porter.syntax.predicates import called
from porter.syntax.values import is_tensor


class KeepValuesOnDevice(Rule):
    """Keep scalars that only go into logs on the device.

    `.item()` and `float(tensor)` wait until the device has computed the value. A loss that is printed, or written to
    TensorBoard every so many steps, does not need to be known now. The runtime's `value_for_log` is the number for host
    tensors, and for device tensors a copy that holds it until somebody looks; sums of such are then made in the
    tensor's own precision.

    That a value only goes into logs must be seen: in its function, in functions of the project that it is handed to,
    and in all callers of a function that returns it, which must be in the project, and at least one. A value that is
    compared, rounded, formatted, used as an index, kept in an attribute, given to an unknown call or to nobody that is
    known, stays a Python number, and its read is a hazard that `check` lists.
    """

    code = "SYN001"
    title = "keep values for logs on the device"
    safety = Safety.EXACT
    message = "reading the value waits for the device; its log can wait until the step has run"
    calls: ClassVar = ("float", "item")
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def report(x, y):
                    share = 100 * torch.mean((x == y).float()).detach().cpu().item()
                    print('share', share)
                    return x + y
                """,
            after="""
                import torch
                from . import utils


                def report(x, y):
                    share = 100 * utils.value_for_log(torch.mean((x == y).float()))
                    print('share', share)
                    return x + y
                """,
            call="report(x, y)",
            inputs="""
                x = torch.tensor([1, 2, 3, 4])
                y = torch.tensor([1, 2, 0, 4])
                """,
            on_device=False,  # SYN003 has the print
        ),
        Example(  # what a function returns, its only caller writes to the log
            before="""
                import torch


                def losses(outputs):
                    total = 0
                    parts = []
                    for o in outputs:
                        part = torch.mean(o**2)
                        total += part
                        parts.append(part.item())
                    return total, parts


                def step(outputs, writer=None):
                    total, parts = losses(outputs)
                    if writer:
                        told = {f'loss/{i}': v for i, v in enumerate(parts)}
                        summarize(writer, told)
                    return total


                def summarize(writer, scalars):
                    for k, v in scalars.items():
                        writer.add_scalar(k, v)
                """,
            after="""
                import torch
                from . import utils


                def losses(outputs):
                    total = 0
                    parts = []
                    for o in outputs:
                        part = torch.mean(o**2)
                        total += part
                        parts.append(utils.value_for_log(part))
                    return total, parts


                def step(outputs, writer=None):
                    total, parts = losses(outputs)
                    if writer:
                        told = {f'loss/{i}': v for i, v in enumerate(parts)}
                        summarize(writer, told)
                    return total


                def summarize(writer, scalars):
                    for k, v in scalars.items():
                        writer.add_scalar(k, v)
                """,
            call="step([a, b])",
            inputs="""
                a = torch.linspace(0, 1, 5)
                b = torch.linspace(1, 2, 4)
                """,
            grad=("a", "b"),
        ),
        Example(  # a norm over all parameters, in float64 on the host
            before="""
                import torch


                def norm(tensors, kind=2):
                    total = 0
                    for t in tensors:
                        total += t.norm(kind).item() ** kind
                    return total ** (1.0 / kind)


                def step(tensors, writer=None):
                    told = norm(tensors)
                    if writer:
                        writer.add_scalar('norm', told)
                    return tensors[0] * 2
                """,
            after="""
                import torch
                from . import utils


                def norm(tensors, kind=2):
                    total = 0
                    for t in tensors:
                        total += utils.value_for_log(t.norm(kind)) ** kind
                    return total ** (1.0 / kind)


                def step(tensors, writer=None):
                    told = norm(tensors)
                    if writer:
                        writer.add_scalar('norm', told)
                    return tensors[0] * 2
                """,
            call="step([a, b])",
            inputs="""
                a = torch.linspace(0, 1, 5)
                b = torch.linspace(1, 2, 4)
                """,
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def cut(x):
            n = torch.sum(x).item()
            return x[:n]
        """,
        """
        def read(box):
            return box.item()
        """,
        """
        def power(p, norm_type):
            return p ** float(norm_type)
        """,
        # nobody is known who only logs it
        """
        import torch


        def mean(x):
            return torch.mean(x).item()
        """,
        """
        import torch


        def told(x):
            kept = []
            kept.append(torch.mean(x).item())
            return kept


        def use(x, seen):
            seen.put(told(x))
        """,
        """
        import torch


        class Net:
            def step(self, x):
                self.last = torch.mean(x).item()
        """,
        # it is compared, rounded, formatted, divided by
        """
        import torch


        def best(x, low):
            loss = torch.mean(x).item()
            print(loss)
            return loss < low
        """,
        """
        import torch


        def told(x):
            print(round(torch.mean(x).item(), 3))
        """,
        """
        import torch


        def told(x):
            print(f'{torch.mean(x).item():.3f}')
        """,
        """
        import torch


        def told(x):
            print(1 / torch.mean(x).item())
        """,
        """
        import torch


        def told(x):
            print([torch.mean(x).item()])
        """,
        # a tensor times a number is another thing than a tensor times a tensor
        """
        import torch


        def scale(x):
            return torch.relu(x) * torch.mean(x).item()
        """,
        """
        import torch


        def total(x):
            total = torch.zeros(1)
            total += torch.mean(x).item()
            print(total)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        tensor = read_value(self.file, node)
        if tensor is None or self.host_reason(node) is not None or not only_logged(self.file, node):
            return
        made = "__f(__x, float)" if isinstance(node.func, cst.Name) else "__f(__x)"
        # What is printed would be a tensor's text otherwise.
        needs = [Needed(self.file.function(node) or self.file.module, (PrintAfterStep.code,))]
        self.replace(node, self.fill(made, f="utils.value_for_log", x=tensor), needs=needs)


class PrintAfterStep(Rule):
    """Print tensors after the step.

    `print(loss)` needs the value now and stops the trace. The runtime's `print_values` prints at once for host
    tensors and when the step has run for device tensors. The text is that of the tensor on the host, without what
    autograd has to say of a device tensor; `numbers=True` stands where upstream has numbers that SYN001 kept.
    """

    code = "SYN003"
    title = "print tensors after the step"
    safety = Safety.EXACT
    message = "printing a tensor stops the step to fetch it; the same line is printed when the step has run"
    calls: ClassVar = ("print",)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def report(x):
                    m = torch.mean(x)
                    print('mean', m)
                    return x + m
                """,
            after="""
                import torch
                from . import utils


                def report(x):
                    m = torch.mean(x)
                    utils.print_values('mean', m)
                    return x + m
                """,
            call="report(x)",
            inputs="x = torch.ones(3)",
            grad=("x",),
            on_device=False,  # that it prints after the step is the runtime's test
        ),
        Example(
            before="""
                import torch


                def report(x):
                    share = 0
                    share += 100 * torch.mean(x).item()
                    print('share', share, '%')
                    return x * 2
                """,
            after="""
                import torch
                from . import utils


                def report(x):
                    share = 0
                    share += 100 * torch.mean(x).item()
                    utils.print_values('share', share, '%', numbers=True)
                    return x * 2
                """,
            call="report(x)",
            inputs="x = torch.ones(3)",
            on_device=False,  # SYN001 has the read
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def report(x):
            print('shape', x.shape)
            return torch.relu(x)
        """,
        """
        import torch


        def report(x):
            if torch.min(x) < 0:
                print('low', torch.min(x))
            return x
        """,
        # this print is somebody's own
        """
        import torch


        def report(x, print):
            print(torch.mean(x))
            return x
        """,
        # in a script, and when a module is built, there is no step to hold up
        """
        import torch


        if __name__ == '__main__':
            print(torch.ones(2).mean())
        """,
        # a list of numbers, and a number of a list
        """
        import torch


        def report(x):
            m = [torch.mean(x).item()]
            print(m)
        """,
        """
        import torch


        def report(x):
            a, b = torch.mean(x).item(), 2
            print(a)
        """,
        """
        import torch


        def report(x):
            print(*torch.relu(x))
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        function = self.file.function(node) if self._is_print(node) else None
        if function is None or self.host_reason(node) is not None or self._in_check(node):
            return
        kept = kept_numbers(self.file, function)
        numbers = [v for v in positional(node) if is_kept(self.file, v, kept)]
        others = set(positional(node)).difference(numbers)
        tensors = any(is_tensor(self.file.kind(value)) for value in others)
        if tensors is bool(numbers):
            return  # nothing to wait for, or both kinds, which print differently
        if tensors:
            self.replace(node.func, self.runtime("utils.print_values"))
        else:
            printed = node.with_changes(func=self.runtime("utils.print_values"))
            self.replace(node, with_keywords(printed, numbers=cst.Name("True")))

    def _is_print(self, node: cst.Call) -> bool:
        """Python's own `print`, without stars."""
        own = called(node) == "print" and self.file.index.scope_of(node).lookup("print") is None
        return own and not has_star(node)

    def _in_check(self, node: cst.Call) -> bool:
        """Inside a check of values: SYN002 keeps that on the host altogether."""
        return any(
            isinstance(a, cst.If) and only_reports(a.body) and all(reads_value(self.file, p) for p in parts(a.test))
            for a in self.file.ancestors(node)
        )
