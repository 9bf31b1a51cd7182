"""Complex numbers: gradients as each framework means them, held to differences of real and imaginary parts."""

import numpy as np
import pytest

from gradlab import check_jax, check_torch

RNG = np.random.default_rng(0)
Z = RNG.standard_normal((2, 3)) + 1j * RNG.standard_normal((2, 3))
W = RNG.standard_normal((3, 2)) + 1j * RNG.standard_normal((3, 2))


def product(torch, conjugates):
    """Return z @ w; torch's gradient is that with respect to the conjugate, so both factors come conjugated."""

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z, w):
            ctx.save_for_backward(z, w)
            return z @ w

        @staticmethod
        def backward(ctx, g):
            z, w = ctx.saved_tensors
            return g @ (w.mH if conjugates else w.mT), z.mH @ g

    return Product.apply


def test_torch():
    torch = pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")
    z, w = torch.tensor(Z), torch.tensor(W)
    assert check_torch(product(torch, True), z, w).ok
    report = check_torch(product(torch, False), z, w)
    assert {row.primal for row in report.rows if row.verdict == "wrong" and row.primal} == {"z"}
    row = next(row for row in report.rows if row.check == "matches_numerical")
    assert "the last axis has the real and the imaginary part of z" in row.note
    assert check_torch(torch.abs, z).ok
    assert check_torch(lambda x: torch.fft.fft(x).abs() ** 2, torch.tensor(Z.real)).ok
    assert check_torch(torch.abs, z.to(torch.complex64)).ok
    # what torch hands on as it came: its cotangent may be read-only, or lie anyhow
    assert check_torch(lambda x: x.roll(1), z).ok
    assert check_torch(lambda z, c: (z * c).real, z, settings={"c": w.mT.conj()}, order=2).ok


def test_a_module_with_complex_parameters():
    torch = pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")
    module = torch.nn.Linear(3, 2, dtype=torch.complex128)
    report = check_torch(module, torch.tensor(Z))
    assert report.ok
    assert {row.primal for row in report.rows} >= {"weight", "bias"}


def modulus_squared(jax, factor):
    @jax.custom_vjp
    def square(z):
        return (z * z.conj()).real

    # JAX gives the conjugate of what torch gives
    square.defvjp(lambda z: (square(z), z), lambda z, g: (factor * g * z.conj(),))
    return square


def test_jax():
    jax = pytest.importorskip("jax", reason="gradients in JAX are checked: pip install jax")
    assert check_jax(modulus_squared(jax, 2), Z).ok
    assert not check_jax(modulus_squared(jax, 1), Z).ok
    assert check_jax(jax.numpy.abs, Z).ok
    assert check_jax(jax.numpy.fft.fft, Z.real).ok
    assert check_jax(lambda z, c: z * c, Z, settings={"c": W.T}).ok
    assert check_jax(jax.numpy.exp, Z.astype(np.complex64)).ok


def hermitian(n):
    a = RNG.standard_normal((n, n)) + 1j * RNG.standard_normal((n, n))
    return a @ a.conj().T + n * np.eye(n)


def test_hermitian_matrices_in_torch():
    torch = pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")
    a = torch.tensor(hermitian(4))
    for function in (
        torch.linalg.cholesky,
        torch.linalg.eigvalsh,
        lambda a: torch.linalg.pinv(a, hermitian=True),
    ):
        report = check_torch(function, a)
        assert report.ok, report.faults[0].sentence
    assert any("one triangle" in row.note for row in report.rows)

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            with torch.enable_grad():
                leaf = a.detach().requires_grad_()
                ctx.y, ctx.leaf = torch.linalg.cholesky(leaf), leaf
            return ctx.y.detach()

        @staticmethod
        def backward(ctx, g):
            (d,) = torch.autograd.grad(ctx.y, ctx.leaf, g, retain_graph=True)
            return d + 0.1 * d.diagonal().diag()

    assert not check_torch(Doubled, a, explore=False).ok


def test_hermitian_matrices_in_jax():
    jax = pytest.importorskip("jax", reason="gradients in JAX are checked: pip install jax")
    for function in (jax.numpy.linalg.cholesky, jax.numpy.linalg.eigvalsh):
        report = check_jax(function, hermitian(4))
        assert report.ok, report.faults[0].sentence


def test_eigenvectors_whose_phase_is_anybodys_choice_are_refused():
    torch = pytest.importorskip("torch", reason="gradients in torch are checked: pip install torch")
    a = torch.tensor(hermitian(3))
    with pytest.raises(TypeError, match=r"torch has no derivative of .*ill-defined: "):
        check_torch(torch.linalg.eigh, a)
    assert check_torch(lambda a: torch.linalg.eigh(a)[1].abs(), a).ok
