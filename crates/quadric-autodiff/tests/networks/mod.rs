//! The four networks of the examples, small.

#![allow(dead_code)]

#[path = "../../examples/autodiff/programs.rs"]
pub(crate) mod programs;

use programs::Network;
use quadric_autodiff::Program;

/// The sizes are those of `testdata/autodiff/make.py`.
pub(crate) fn small_networks() -> Vec<(&'static str, Network)> {
    let all = [
        ("mlp", programs::mlp(6, &[5, 7, 4, 10])),
        ("resnet", programs::resnet(2, 8, 1, 2)),
        ("lstm", programs::lstm(3, 4, 2, 5)),
        ("transformer", programs::transformer(2, 3, 8, 2, 1)),
    ];
    all.into_iter()
        .map(|(name, n)| (name, n.expect("shapes fit")))
        .collect()
}

impl Network {
    pub(crate) fn names(&self) -> Vec<&str> {
        self.parameters.iter().map(String::as_str).collect()
    }

    /// Hessian products of the loss.
    pub(crate) fn product(&self) -> Program {
        let (wrt, gradient) = (self.names(), self.loss.grad(&self.names()));
        let product = gradient.and_then(|g| g.linearize(&wrt));
        product.expect("its own parameters")
    }
}
