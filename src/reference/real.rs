//! The numbers.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

/// What the reference computes in: `f32` or `f64`, with the standard library's functions.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Into<f64>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + sealed::Sealed
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The number nearest to `x`.
    fn from_f64(x: f64) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// eˣ.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;

    /// σ(x) = 1 / (1 + e⁻ˣ) = eˣ / (1 + eˣ): of either side of 0 the form whose power cannot overflow. A NaN stays one.
    fn sigmoid(self) -> Self {
        if self < Self::ZERO {
            let power = self.exp();
            power / (Self::ONE + power)
        } else {
            Self::ONE / (Self::ONE + (Self::ZERO - self).exp())
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! real {
    ($float:ident: $($function:ident)*) => {
        impl sealed::Sealed for $float {}
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            fn from_f64(x: f64) -> Self { x as $float }
            $(fn $function(self) -> Self { $float::$function(self) })*
        }
    };
}

real!(f32: tanh exp ln);
real!(f64: tanh exp ln);
