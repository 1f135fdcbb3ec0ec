//! Functions between layers.

use quadric_autodiff::Tensor;
use quadric_linalg::{Error, Result};
use std::str::FromStr;

/// A function of one entry at a time, named as in [`Activation::NAMES`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// x Φ(x), with the distribution function Φ of the normal distribution.
    Gelu,
    /// x / (1 + e⁻ˣ).
    Silu,
    /// log(1 + eˣ).
    Softplus,
    /// x.
    Identity,
}

impl Activation {
    /// All names.
    pub const NAMES: [&'static str; 7] = [
        "relu", "tanh", "sigmoid", "gelu", "silu", "softplus", "identity",
    ];

    const ALL: [Self; 7] = [
        Self::Relu,
        Self::Tanh,
        Self::Sigmoid,
        Self::Gelu,
        Self::Silu,
        Self::Softplus,
        Self::Identity,
    ];

    /// The function of each entry.
    #[track_caller]
    pub fn apply(self, x: Tensor<'_>) -> Tensor<'_> {
        match self {
            Self::Relu => x.relu(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => x.sigmoid(),
            Self::Gelu => x.gelu(),
            Self::Silu => x.silu(),
            Self::Softplus => x.softplus(),
            Self::Identity => x,
        }
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// # Errors
    ///
    /// If there is none of this name.
    fn from_str(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().position(|n| *n == name);
        let unknown = || Error::argument("activation", name, &Self::NAMES.join(", "));
        found.map(|i| Self::ALL[i]).ok_or_else(unknown)
    }
}
