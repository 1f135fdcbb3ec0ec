//! Beyond-first-order optimization for machine learning.
//!
//! Three nouns: a **Problem** knows how to be evaluated and gives its curvature as an **Operator**; a **Method** consumes
//! both; a [`Driver`](crate::core::Driver) runs a method on a problem and returns an outcome with a certificate.
//!
//! ```
//! use quadric::prelude::*;
//!
//! let data = quadric::data::embedded("iris")?;
//! let options = GlmOptions { loss: Loss::Softmax, l2: 1e-3, ..GlmOptions::default() };
//! let problem = Glm::<f64>::new(data.x, &data.target, None, &options)?;
//! let (_, method) = quadric::opt::registry::auto::<f64>(&problem, &serde_json::Value::Null)?;
//! let outcome = method.run(&mut Driver::default(), problem.start(), &problem)?;
//! assert_eq!(outcome.status, Status::Converged);
//! let model = problem.model(&outcome.x);
//! assert_eq!(model.coef.len(), 3); // one row of weights per class
//! # Ok::<(), Error>(())
//! ```
//!
//! # Minimising a function of your own
//!
//! ```
//! use quadric::prelude::*;
//!
//! // Rosenbrock's function from closures; without `with_hessian`, methods that need gradients only apply.
//! let f = Function::new(2, |x, g| {
//!     let (a, b) = (x[0] - 1.0, x[1] - x[0] * x[0]);
//!     g[0] = 2.0 * a - 400.0 * b * x[0];
//!     g[1] = 200.0 * b;
//!     a * a + 100.0 * b * b
//! })
//! .with_hessian(|x, h| {
//!     h.copy_from_slice(&[
//!         2.0 - 400.0 * (x[1] - 3.0 * x[0] * x[0]), -400.0 * x[0],
//!         -400.0 * x[0], 200.0,
//!     ]);
//! });
//! let (_, method) = quadric::opt::registry::auto::<f64>(&f, &serde_json::Value::Null)?;
//! let outcome = method.run(&mut Driver::default(), vec![-1.2, 1.0], &f)?;
//! assert_eq!(outcome.status, Status::Converged);
//! assert!((outcome.x[0] - 1.0).abs() < 1e-8 && (outcome.x[1] - 1.0).abs() < 1e-8);
//! # Ok::<(), Error>(())
//! ```
//!
//! # A network
//!
//! ```
//! use quadric::autodiff::Array;
//! use quadric::nn::layers::Activation;
//! use quadric::nn::{Examples, Loss, Supervised, models};
//! use quadric::prelude::*;
//!
//! // Exclusive or, by a network of one hidden layer; one from ONNX (`quadric::nn::onnx::read`) is a problem just as well.
//! let network = models::mlp(&[2, 3, 1], Activation::Tanh)?;
//! let start: Vec<f64> = network.initial(1);
//! let examples = Examples {
//!     count: 4,
//!     inputs: vec![Array::Float(vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])],
//!     targets: Array::Float(vec![0.0, 1.0, 1.0, 0.0]),
//! };
//! let problem = Supervised::new(network, Loss::Squared, examples)?;
//! let (_, method) = quadric::opt::registry::auto::<f64>(&problem, &serde_json::Value::Null)?;
//! let outcome = method.run(&mut Driver::default(), start, &problem)?;
//! assert_eq!(outcome.status, Status::Converged);
//! assert!(outcome.value.is_some_and(|loss| loss < 1e-8));
//! # Ok::<(), Error>(())
//! ```
//!
//! # How to choose a method
//!
//! | problem | method |
//! |---|---|
//! | a generalised linear model, up to a few thousand unknowns or few rows | `auto` (= `newton`) |
//! | the same with very many unknowns | `auto`, which turns to preconditioned conjugate gradients, or `l-bfgs` |
//! | smooth with Hessian products, possibly not convex | `trust-region-newton`, or `cubic-newton` up to some hundred unknowns |
//! | smooth with gradients only | `l-bfgs`; `bfgs` up to about a thousand unknowns |
//! | a rough answer on very many rows | `svrg` |

pub use quadric_autodiff as autodiff;
pub use quadric_core as core;
pub use quadric_curvature as curvature;
pub use quadric_data as data;
pub use quadric_linalg as linalg;
pub use quadric_models as models;
pub use quadric_nn as nn;
pub use quadric_opt as opt;
pub use quadric_report as report;

/// What most programs need.
pub mod prelude {
    pub use quadric_core::{
        AnyMethod, Budget, DataMatrix, Driver, Error, LinearOperator, Method, Objective, Outcome,
        Problem, Result, Scalar, SelfConcordant, Smooth, Status, Tolerance, TwiceSmooth,
    };
    pub use quadric_models::{Function, Glm, GlmOptions, LinearModel, Loss};
}
