"""Long short-term memory whose steps stay on the device: torch's own sends three scalars there for each step."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .forms import wants_device_form
from .stand_in import StandIn

State = tuple[torch.Tensor, torch.Tensor]


class LSTM(nn.LSTM, metaclass=StandIn):
    """`nn.LSTM` with the same parameters and results. Packed sequences and projections take torch's own way."""

    def forward(self, input: Any, hx: State | None = None) -> Any:
        """Outputs, and the last hidden and cell states; shapes and errors are those of `nn.LSTM`."""
        if not self._fits(input, hx) or not wants_device_form(input):
            return super().forward(input, hx)  # type: ignore[has-type]
        batched = input.dim() == 3
        values = input if batched else input.unsqueeze(1)
        if batched and self.batch_first:
            values = values.transpose(0, 1)
        if hx is None:
            zeros = values.new_zeros(self.num_layers * self._ways, values.shape[1], self.hidden_size)
            hx = (zeros, zeros)
        elif not batched:
            hx = (hx[0].unsqueeze(1), hx[1].unsqueeze(1))
        output, hidden, cell = self._layers(values, hx)
        if not batched:
            return output.squeeze(1), (hidden.squeeze(1), cell.squeeze(1))
        return output.transpose(0, 1) if self.batch_first else output, (hidden, cell)

    def _fits(self, input: Any, hx: Any) -> bool:
        """Whether torch would take these; half precision stays torch's too, which rounds elsewhere inside."""
        if not isinstance(input, torch.Tensor) or self.proj_size or input.dim() not in (2, 3) or not input.numel():
            return False
        if hx is not None and not self._are_states(hx, input):
            return False
        tensors = sum(self.all_weights, [input, *(hx or ())])
        return input.shape[-1] == self.input_size and all(tensor.dtype == torch.float32 for tensor in tensors)

    def _are_states(self, hx: Any, input: torch.Tensor) -> bool:
        """Whether these are a hidden and a cell state of the shapes that `input` asks for."""
        shape: list[int] = [self.num_layers * self._ways, self.hidden_size]
        if input.dim() == 3:
            shape.insert(1, input.shape[0 if self.batch_first else 1])
        return isinstance(hx, tuple) and len(hx) == 2 and all(list(state.shape) == shape for state in hx)

    @property
    def _ways(self) -> int:
        return 2 if self.bidirectional else 1

    def _layers(self, values: torch.Tensor, states: State) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`values` are (time, batch, channels); states (layers and directions, batch, hidden)."""
        ways = self._ways
        hiddens, cells = [], []
        for layer in range(self.num_layers):
            if layer and self.training and self.dropout:
                values = F.dropout(values, self.dropout)
            outputs = []
            for way in range(ways):
                state = (states[0][layer * ways + way], states[1][layer * ways + way])
                output, hidden, cell = self._run(values, state, f"l{layer}{'_reverse' if way else ''}", bool(way))
                outputs.append(output)
                hiddens.append(hidden)
                cells.append(cell)
            values = outputs[0] if ways == 1 else torch.cat(outputs, -1)
        return values, torch.stack(hiddens), torch.stack(cells)

    def _run(
        self, values: torch.Tensor, state: State, suffix: str, backward: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One layer in one direction over all steps."""
        given, own = getattr(self, f"weight_ih_{suffix}"), getattr(self, f"weight_hh_{suffix}")
        biases = (getattr(self, f"bias_ih_{suffix}"), getattr(self, f"bias_hh_{suffix}")) if self.bias else (None, None)
        entering = F.linear(values, given, biases[0])
        hidden, cell = state
        steps = range(values.shape[0])
        outputs: list[torch.Tensor] = []
        for step in reversed(steps) if backward else steps:
            gates = entering[step] + F.linear(hidden, own, biases[1])
            enter, forget, new, leave = gates.chunk(4, -1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            outputs.append(hidden)
        return torch.stack(outputs[::-1] if backward else outputs), hidden, cell
