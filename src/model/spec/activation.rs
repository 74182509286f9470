//! Functions of the elements of a layer's output, or of a cell's gates.

use crate::layer::Nonlinearity;

/// A function of each element; of the features of a step where it says so. Those with numbers have constructors.
///
/// ```
/// use elman::{Activation, Model, ModelSpec};
///
/// let spec = ModelSpec::new(3).layer("", Activation::leaky_relu(0.01)).layer("", Activation::Softmax);
/// let model = Model::new(spec)?;
/// assert_eq!(model.outputs(), 3);
/// assert_eq!(Activation::hard_sigmoid(0.2, 0.5).to_string(), "hard-sigmoid(0.2,0.5)");
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Activation {
    /// x.
    Identity,
    /// The hyperbolic tangent.
    Tanh,
    /// max(0, x).
    Relu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// exp(x_i - max x) / Σ_j exp(x_j - max x) over the features of a step.
    Softmax,
    /// max(0, min(1, alpha·x + beta)).
    #[non_exhaustive]
    HardSigmoid {
        /// The slope: 0.2 in ONNX and Keras 2, 1/6 in Keras 3.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// x where it is above 0, else alpha·x.
    #[non_exhaustive]
    LeakyRelu {
        /// The slope below 0.
        alpha: f32,
    },
    /// x where it is above 0, else alpha·(exp(x) - 1).
    #[non_exhaustive]
    Elu {
        /// The limit below 0, negated.
        alpha: f32,
    },
    /// x / (1 + |x|).
    Softsign,
    /// ln(1 + exp(x)).
    Softplus,
    /// alpha·tanh(beta·x).
    #[non_exhaustive]
    ScaledTanh {
        /// The factor outside.
        alpha: f32,
        /// The factor inside.
        beta: f32,
    },
    /// alpha·x + beta.
    #[non_exhaustive]
    Affine {
        /// The factor.
        alpha: f32,
        /// What is added.
        beta: f32,
    },
    /// x where it is above alpha, else 0.
    #[non_exhaustive]
    ThresholdedRelu {
        /// The threshold.
        alpha: f32,
    },
}

impl Activation {
    /// max(0, min(1, alpha·x + beta)).
    #[must_use]
    pub const fn hard_sigmoid(alpha: f32, beta: f32) -> Self {
        Self::HardSigmoid { alpha, beta }
    }

    /// x where it is above 0, else alpha·x.
    #[must_use]
    pub const fn leaky_relu(alpha: f32) -> Self {
        Self::LeakyRelu { alpha }
    }

    /// x where it is above 0, else alpha·(exp(x) - 1).
    #[must_use]
    pub const fn elu(alpha: f32) -> Self {
        Self::Elu { alpha }
    }

    /// alpha·tanh(beta·x).
    #[must_use]
    pub const fn scaled_tanh(alpha: f32, beta: f32) -> Self {
        Self::ScaledTanh { alpha, beta }
    }

    /// alpha·x + beta.
    #[must_use]
    pub const fn affine(alpha: f32, beta: f32) -> Self {
        Self::Affine { alpha, beta }
    }

    /// x where it is above alpha, else 0.
    #[must_use]
    pub const fn thresholded_relu(alpha: f32) -> Self {
        Self::ThresholdedRelu { alpha }
    }
}

impl From<Nonlinearity> for Activation {
    fn from(nonlinearity: Nonlinearity) -> Self {
        match nonlinearity {
            Nonlinearity::Tanh => Self::Tanh,
            Nonlinearity::Relu => Self::Relu,
        }
    }
}
