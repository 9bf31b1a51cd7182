"""Row "complex": gradients with respect to the conjugate, torch's convention."""

import numpy as np
import torch
from torch.autograd import Function

from .._entry import Call, Entry

ROW = "complex"


def cplx(seed, *shape):
    r = np.random.default_rng(seed)
    return torch.tensor(
        r.normal(size=shape) + 1j * r.normal(size=shape), dtype=torch.complex128, requires_grad=True
    )


def real(seed, *shape, lo=-1.0, hi=1.0):
    return torch.tensor(np.random.default_rng(seed).uniform(lo, hi, size=shape), requires_grad=True)


class HalfSpectrum(Function):
    """The n//2 + 1 first Fourier coefficients of a real signal."""

    @staticmethod
    def forward(ctx, signal):
        ctx.n = signal.shape[-1]
        return torch.fft.rfft(signal)

    @staticmethod
    def backward(ctx, g):
        # transpose of the truncated transform: pad with zeros, no doubling, keep the real part
        return ctx.n * torch.fft.ifft(g, n=ctx.n).real


class Envelope(Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z.abs()

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return g * z / z.abs()


class ComplexSolve(Function):
    @staticmethod
    def forward(ctx, A, b):
        x = torch.linalg.solve(A, b)
        ctx.save_for_backward(A, x)
        return x

    @staticmethod
    def backward(ctx, g):
        A, x = ctx.saved_tensors
        gb = torch.linalg.solve(A.mH, g)
        return -gb @ x.mH, gb


class ApparentPower(Function):
    """S = V conj(I)"""

    @staticmethod
    def forward(ctx, volts, amps):
        ctx.save_for_backward(volts, amps)
        return volts * amps.conj()

    @staticmethod
    def backward(ctx, g):
        volts, amps = ctx.saved_tensors
        return g * amps, g.conj() * volts


class Phasor(Function):
    """amplitude, phase (both real) -> complex"""

    @staticmethod
    def forward(ctx, amplitude, phase):
        ctx.save_for_backward(amplitude, phase)
        return torch.polar(amplitude, phase)

    @staticmethod
    def backward(ctx, g):
        amplitude, phase = ctx.saved_tensors
        back = g * torch.complex(phase.cos(), -phase.sin())
        return back.real, amplitude * back.imag


class Argument(Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return torch.atan2(z.imag, z.real)

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return 1j * g * z / (z.real**2 + z.imag**2)


def make_argument():
    z = torch.tensor(
        [-2.0 + 0.02j, -1.0 - 0.03j, 0.5 + 0.5j, 3.0 - 1.0j, -0.1 + 0.9j],
        dtype=torch.complex128,
        requires_grad=True,
    )
    return Call(Argument.apply, (z,))


class ComplexTanh(Function):
    @staticmethod
    def forward(ctx, z):
        w = torch.tanh(z)
        ctx.save_for_backward(w)
        return w

    @staticmethod
    def backward(ctx, g):
        (w,) = ctx.saved_tensors
        return g * (1 - w * w)  # .conj() is missing


class Intensity(Function):
    @staticmethod
    def forward(ctx, field):
        ctx.save_for_backward(field)
        return (field * field.conj()).real

    @staticmethod
    def backward(ctx, g):
        (field,) = ctx.saved_tensors
        return g * field  # the derivative with respect to conj(field): torch's gradient is twice that


class MixDown(Function):
    """signal times local oscillator, both complex"""

    @staticmethod
    def forward(ctx, signal, oscillator):
        ctx.save_for_backward(signal, oscillator)
        return signal * oscillator

    @staticmethod
    def backward(ctx, g):
        signal, oscillator = ctx.saved_tensors
        to_osc = (g * signal.conj()).real  # the imaginary part is lost
        return g * oscillator.conj(), torch.complex(to_osc, torch.zeros_like(to_osc))


class SoftLimiter(Function):
    """z / (1 + |z|), by the formula of a holomorphic function"""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z / (1 + z.abs())

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return g / (1 + z.abs()) ** 2


class Channel(Function):
    """received = H @ sent"""

    @staticmethod
    def forward(ctx, H, sent):
        ctx.save_for_backward(H, sent)
        return H @ sent

    @staticmethod
    def backward(ctx, g):
        H, sent = ctx.saved_tensors
        return g @ sent.mH, H.mT @ g  # H.mH


class RealFFT(Function):
    """rfft whose backward is irfft times n: this halves what belongs to the inner bins"""

    @staticmethod
    def forward(ctx, x):
        ctx.n = x.shape[-1]
        return torch.fft.rfft(x)

    @staticmethod
    def backward(ctx, g):
        return torch.fft.irfft(g, n=ctx.n) * ctx.n


class Rotate(Function):
    """z exp(i theta) with real theta"""

    @staticmethod
    def forward(ctx, z, theta):
        turn = torch.polar(torch.ones_like(theta), theta)
        ctx.save_for_backward(z, turn)
        return z * turn

    @staticmethod
    def backward(ctx, g):
        z, turn = ctx.saved_tensors
        y = z * turn
        return g * turn.conj(), (g * (1j * y)).real  # conj of 1j*y


ENTRIES = [
    Entry(
        "cx_half_spectrum",
        ROW,
        False,
        "right; a real input with a complex output, whose gradient is not irfft",
        lambda: Call(HalfSpectrum.apply, (real(1, 3, 16),)),
    ),
    Entry(
        "cx_envelope",
        ROW,
        False,
        "right; a real output of a complex input, nowhere holomorphic",
        lambda: Call(Envelope.apply, (cplx(2, 10),)),
    ),
    Entry(
        "cx_solve",
        ROW,
        False,
        "right; two complex inputs, one a matrix: the conjugate transpose is needed twice",
        lambda: Call(ComplexSolve.apply, (cplx(3, 4, 4), cplx(4, 4, 2))),
    ),
    Entry(
        "cx_apparent_power",
        ROW,
        False,
        "right; holomorphic in the first input and antiholomorphic in the second: the conjugates stand in other places than usual",
        lambda: Call(ApparentPower.apply, (cplx(5, 6), cplx(6, 6))),
    ),
    Entry(
        "cx_phasor",
        ROW,
        False,
        "right; real inputs with a complex output, gradients must be real",
        lambda: Call(Phasor.apply, (real(7, 8, lo=0.2, hi=3), real(8, 8, lo=-3, hi=3))),
    ),
    Entry(
        "cx_argument_near_cut",
        ROW,
        False,
        "right; inputs 0.02 from the branch cut of the argument, where a large step jumps by 2 pi",
        make_argument,
    ),
    Entry(
        "cx_tanh_no_conj",
        ROW,
        True,
        "the derivative of tanh is not conjugated",
        lambda: Call(ComplexTanh.apply, (cplx(11, 7),)),
    ),
    Entry(
        "cx_intensity_half",
        ROW,
        True,
        "the gradient of |z|^2 lacks the factor 2",
        lambda: Call(Intensity.apply, (cplx(12, 4, 4),)),
    ),
    Entry(
        "cx_mix_down_real",
        ROW,
        True,
        "the gradient of the second complex input keeps the real part only",
        lambda: Call(MixDown.apply, (cplx(13, 9), cplx(14, 9))),
    ),
    Entry(
        "cx_limiter_holomorphic",
        ROW,
        True,
        "z/(1+|z|) is differentiated as though it were holomorphic: the term of the conjugate is missing",
        lambda: Call(SoftLimiter.apply, (cplx(15, 12),)),
    ),
    Entry(
        "cx_channel_transpose",
        ROW,
        True,
        "the gradient of the second factor uses the transpose in place of the conjugate transpose",
        lambda: Call(Channel.apply, (cplx(16, 5, 3), cplx(17, 3, 2))),
    ),
    Entry(
        "cx_rfft_irfft",
        ROW,
        True,
        "the backward of rfft is n * irfft, which halves the gradient of the inner bins",
        lambda: Call(RealFFT.apply, (real(18, 2, 12),)),
    ),
    Entry(
        "cx_rotate_angle_conj",
        ROW,
        True,
        "the gradient of the real angle lacks a conjugate: Re(g i y) in place of Re(g conj(i y))",
        lambda: Call(Rotate.apply, (cplx(19, 6), real(20, 6, lo=-3, hi=3))),
    ),
]
