import pytest
import torch
import torch.nn.functional as F

from porter.runtime import ops, utils

from .graphs import assert_stays_on_device, check_operation, device


@pytest.mark.xla
@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_glu_gates_one_half_by_the_other(dim: int) -> None:
    x = torch.randn(4, 6, 8)
    check_operation(lambda x: ops.glu(x, dim), lambda x: F.glu(x, dim), x, least=120)
    assert torch.equal(ops.GLU(dim)(x), torch.nn.GLU(dim)(x))
    with ops.device_forms(), pytest.raises(RuntimeError, match="must be even"):
        ops.glu(torch.randn(3, 3), 1)


@pytest.mark.xla
@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("shapes", [((9, 4), (7, 4)), ((2, 30, 8), (1, 27, 8))], ids=str)
def test_distances_and_gradients_are_those_of_torch(p: float, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    left, right = torch.randn(shapes[0]), torch.randn(shapes[1])
    check_operation(lambda x, y: ops.cdist(x, y, p), lambda x, y: torch.cdist(x, y, p), left, right, least=115)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_equal_points_have_a_finite_gradient(p: float) -> None:
    points = torch.randn(5, 3)
    with ops.device_forms():
        x, y = points.clone().requires_grad_(), points.clone().requires_grad_()
        torch.autograd.backward(ops.cdist(x, y, p).sum())
    a, b = points.clone().requires_grad_(), points.clone().requires_grad_()
    torch.autograd.backward(torch.cdist(a, b, p).sum())
    torch.testing.assert_close(x.grad, a.grad)
    torch.testing.assert_close(y.grad, b.grad)


def test_distances_have_right_gradients_by_finite_differences() -> None:
    x, y = torch.randn(4, 3).double().requires_grad_(), torch.randn(5, 3).double().requires_grad_()
    with ops.device_forms():
        assert torch.autograd.gradcheck(ops.cdist, (x, y))
        assert torch.autograd.gradcheck(ops.inverse, (torch.randn(2, 3, 3).double().requires_grad_(),))
        for p in (1.5, 3.0):
            assert torch.autograd.gradcheck(lambda a, b: ops.cdist(a, b, p), (x, y))  # noqa: B023


@pytest.mark.xla
def test_log_determinants_and_gradients_are_those_of_torch() -> None:
    torch.manual_seed(0)
    matrices = 2 * torch.eye(4) + 0.3 * torch.randn(3, 4, 4)
    matrices[1, 0] *= -1
    assert torch.logdet(matrices).isnan().tolist() == [False, True, False]
    check_operation(ops.logdet, torch.logdet, matrices, least=115)
    check_operation(ops.logdet, torch.logdet, matrices[0], least=115)


@pytest.mark.xla
def test_inverses_and_gradients_are_those_of_torch() -> None:
    torch.manual_seed(0)
    matrices = 2 * torch.eye(4) + 0.3 * torch.randn(3, 4, 4)
    check_operation(ops.inverse, torch.inverse, matrices, least=110)


@pytest.mark.xla
def test_counts_are_those_of_torch() -> None:
    values = torch.randint(0, 9, (200,))
    check_operation(lambda x: ops.bincount(x, minlength=12), lambda x: torch.bincount(x, minlength=12), values)
    for weights in (torch.rand(200), torch.rand(200).double()):
        check_operation(
            lambda x, w: ops.bincount(x, w.detach(), minlength=9),
            lambda x, w: torch.bincount(x, w.detach(), minlength=9),
            values,
            weights,
            least=115,
        )


@pytest.mark.parametrize(("samples", "masked"), [(12, 3), (8, 8), (4, 3), (4, 7), (8, 0), (2, 0)])
def test_sampled_rows_are_the_draw_that_torch_would_make(samples: int, masked: int) -> None:
    table = torch.arange(samples * 2.0).reshape(samples, 2)
    mask = torch.zeros(8, dtype=torch.bool)
    mask[torch.randperm(8)[:masked]] = True
    torch.manual_seed(5)
    if samples >= masked:
        wanted = table[torch.randperm(samples)[:masked]]
    else:
        wanted = table[torch.randint(0, samples, (masked,))]
    torch.manual_seed(5)
    assert torch.equal(ops.sample_rows(table, mask)[mask], wanted)


@pytest.mark.parametrize(("samples", "masked"), [(12, 5), (6, 5), (4, 7)])
def test_the_device_form_draws_distinct_rows_while_there_are_enough(samples: int, masked: int) -> None:
    table = torch.arange(samples * 2.0).reshape(samples, 2)
    mask = torch.arange(8) < masked
    with ops.device_forms():
        rows = ops.sample_rows(table, mask)
    assert rows.shape == (8, 2)
    assert torch.isin(rows[:, 0], table[:, 0]).all()
    assert len(set(rows[mask][:, 0].tolist())) == masked or samples < masked


@pytest.mark.xla
@pytest.mark.parametrize("samples", [12, 6])
def test_sampling_stays_on_the_device(samples: int) -> None:
    table = utils.constant(torch.randn(samples, 2), device())
    mask = utils.constant(torch.arange(8) % 2 == 0, device())
    assert_stays_on_device(lambda: ops.sample_rows(table, mask), random_seeds=1)
    utils.manual_seed(3)
    assert len(set(ops.sample_rows(table, mask).cpu()[::2, 0].tolist())) == 4
