//! Dropout.

use crate::{Mode, Scope};
use quadric_autodiff::Tensor;

/// In [`Mode::Train`] each entry with probability `1 - rate` divided by that, else 0 (Srivastava et al. 2014), as
/// [`Tensor::dropout`] draws it by the key of the call. In [`Mode::Evaluate`] nothing happens.
///
/// Ends the trace if the rate is not at least 0 and less than 1, or if there is no key where one is needed.
#[track_caller]
pub fn dropout<'t>(scope: &Scope<'t>, x: Tensor<'t>, rate: f64) -> Tensor<'t> {
    let t = scope.tracer();
    if !(0.0..1.0).contains(&rate) {
        let message = format!("the rate is {rate}; it must be at least 0 and less than 1");
        t.fail("dropout", &message);
    }
    if rate == 0.0 {
        return x;
    }
    match (scope.mode(), scope.key()) {
        (Mode::Evaluate, _) => x,
        (Mode::Train, Some(key)) => x.dropout(rate, key),
        (Mode::Train, None) => t.fail("dropout", "the network is called without a key"),
    }
}
