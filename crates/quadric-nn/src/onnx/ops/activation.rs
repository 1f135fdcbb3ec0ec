//! Activations.

use super::super::site::Site;
use super::elementwise::map;
use super::{Entry, Results, entry, one};
use quadric_autodiff::Tensor;

pub(super) const TABLE: &[Entry] = &[
    entry("Relu", &[], |s| map(s, |x| x.relu())),
    entry("Sigmoid", &[], |s| map(s, |x| x.sigmoid())),
    entry("Softplus", &[], |s| map(s, |x| x.softplus())),
    entry("Softsign", &[], |s| map(s, softsign)),
    entry("HardSwish", &[], |s| {
        map(s, |x| x * clamp(x * (1.0 / 6.0) + 0.5))
    }),
    entry("Mish", &[], |s| map(s, |x| x * x.softplus().tanh())),
    entry("Swish", &["alpha"], |s| {
        let alpha = s.float("alpha", 1.0)?;
        map(s, |x| x * (x * alpha).sigmoid())
    }),
    entry("LeakyRelu", &["alpha"], |s| {
        let alpha = s.float("alpha", 0.01)?;
        map(s, |x| below_zero(x, x * alpha))
    }),
    entry("Elu", &["alpha"], |s| {
        let alpha = s.float("alpha", 1.0)?;
        map(s, |x| below_zero(x, (lower(x).exp() - 1.0) * alpha))
    }),
    entry("Celu", &["alpha"], |s| {
        let alpha = s.float("alpha", 1.0)?;
        map(s, |x| {
            below_zero(x, ((lower(x) / alpha).exp() - 1.0) * alpha)
        })
    }),
    entry("Selu", &["alpha", "gamma"], |s| {
        let alpha = s.float("alpha", 1.673_263_192_176_818_8)?;
        let gamma = s.float("gamma", 1.050_701_022_148_132)?;
        map(s, |x| below_zero(x, (lower(x).exp() - 1.0) * alpha) * gamma)
    }),
    entry("HardSigmoid", &["alpha", "beta"], |s| {
        let (alpha, beta) = (s.float("alpha", 0.2)?, s.float("beta", 0.5)?);
        map(s, |x| clamp(x * alpha + beta))
    }),
    entry("ThresholdedRelu", &["alpha"], |s| {
        let alpha = s.float("alpha", 1.0)?;
        map(s, |x| {
            x.less_equal(x.fill_like(alpha)).select(x.fill_like(0.0), x)
        })
    }),
    entry("Shrink", &["bias", "lambd"], |s| {
        let (bias, bound) = (s.float("bias", 0.0)?, s.float("lambd", 0.5)?);
        map(s, |x| {
            let zero = x.fill_like(0.0);
            let above = x.fill_like(bound).less(x).select(x - bias, zero);
            x.less(x.fill_like(-bound)).select(x + bias, above)
        })
    }),
    entry("Gelu", &["approximate"], |s| {
        match s.text("approximate", "none")? {
            "none" => map(s, |x| x.gelu()),
            "tanh" => map(s, |x| x.gelu_tanh()),
            other => Err(format!("the approximation `{other}` is unknown")),
        }
    }),
    entry("PRelu", &[], prelu),
];

/// Between 0 and 1.
fn clamp(x: Tensor<'_>) -> Tensor<'_> {
    x.maximum(x.fill_like(0.0)).minimum(x.fill_like(1.0))
}

pub(super) fn softsign(x: Tensor<'_>) -> Tensor<'_> {
    x / (x.abs() + 1.0)
}

/// x where it is positive or NaN, else `other`.
fn below_zero<'t>(x: Tensor<'t>, other: Tensor<'t>) -> Tensor<'t> {
    x.less_equal(x.fill_like(0.0)).select(other, x)
}

/// x where it is not positive, else 0, so that exponentials do not overflow where nobody takes them.
fn lower(x: Tensor<'_>) -> Tensor<'_> {
    let zero = x.fill_like(0.0);
    x.less_equal(zero).select(x, zero)
}

fn prelu<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (x, slope) = (s.floats(0)?, s.floats(1)?);
    one(below_zero(x, x * slope))
}
