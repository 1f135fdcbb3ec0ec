//! All methods by name. One row here gives a method to the command line, the documentation, the configuration schema and
//! the conformance tests.

use crate::config::{self, Config};
use crate::{first_order, newton, quasi_newton};
use quadric_core::config::nearest;
use quadric_core::{AnyMethod, Error, ErrorKind, Method, Problem, Result, Scalar, Smooth, need};
use serde_json::Value;
use std::any::Any;

/// What kind of information a method uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Gradients.
    FirstOrder,
    /// Curvature learned from gradients.
    QuasiNewton,
    /// Hessians.
    SecondOrder,
}

impl Family {
    /// The name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstOrder => "first order",
            Self::QuasiNewton => "quasi-Newton",
            Self::SecondOrder => "second order",
        }
    }
}

/// One method.
pub struct Entry {
    /// The name users write.
    pub name: &'static str,
    /// What kind of information it uses.
    pub family: Family,
    /// One sentence.
    pub summary: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// The capability that a problem must offer; several are joined by ` + `.
    pub needs: &'static str,
    /// The JSON schema of its options.
    pub schema: fn() -> Value,
    /// The default options.
    pub defaults: fn() -> Value,
    build_f32: fn(&Value) -> Result<Box<dyn AnyMethod<f32>>>,
    build_f64: fn(&Value) -> Result<Box<dyn AnyMethod<f64>>>,
}

impl Entry {
    /// True if the problem offers what the method needs.
    pub fn applies<T: Scalar>(&self, problem: &dyn Problem<T>) -> bool {
        self.needs.split(" + ").all(|need| match need {
            "SelfConcordant" => problem.as_self_concordant().is_some(),
            "TwiceSmooth" => problem.as_twice_smooth().is_some(),
            "FiniteSum" => problem.as_finite_sum().is_some(),
            "Smooth" => problem.as_smooth().is_some(),
            _ => problem.as_objective().is_some(),
        })
    }

    /// The method with these options; null takes the defaults.
    ///
    /// # Errors
    /// All unknown names, wrong types and values out of range in one error.
    pub fn build<T: Scalar>(&self, options: &Value) -> Result<Box<dyn AnyMethod<T>>> {
        let boxed: Box<dyn Any> = if T::NAME == f32::NAME {
            Box::new((self.build_f32)(options)?)
        } else {
            Box::new((self.build_f64)(options)?)
        };
        let method = boxed
            .downcast::<Box<dyn AnyMethod<T>>>()
            .expect("there are two scalar types, told apart by name");
        Ok(*method)
    }
}

/// Work on a method whose type is known, for callers that step by hand.
pub trait Visit<T: Scalar> {
    /// What comes out.
    type Output;

    /// Does the work.
    fn visit<M: Method<T>>(self, method: M) -> Self::Output;
}

fn boxed<T: Scalar, C: Config<Method: AnyMethod<T> + 'static>>(
    options: &Value,
) -> Result<Box<dyn AnyMethod<T>>> {
    Ok(Box::new(config::read::<C>(options)?.method()))
}

/// `name: Config, Family, needs, summary, paper;` for every method.
macro_rules! methods {
    ($($name:literal: $config:ty, $family:ident, $needs:literal, $summary:literal, $paper:literal;)*) => {
        static METHODS: &[Entry] = &[$(Entry {
            name: $name,
            family: Family::$family,
            summary: $summary,
            paper: $paper,
            needs: $needs,
            schema: || schemars::schema_for!($config).to_value(),
            defaults: || serde_json::to_value(<$config>::default())
                .expect("options are plain numbers, names and switches"),
            build_f32: boxed::<f32, $config>,
            build_f64: boxed::<f64, $config>,
        }),*];

        /// Calls `visitor` with the method called `name`, its type known. Null options take the defaults.
        ///
        /// # Errors
        /// Those of [`find`] and [`Entry::build`].
        pub fn visit<T: Scalar, V: Visit<T>>(
            name: &str,
            options: &Value,
            visitor: V,
        ) -> Result<V::Output> {
            match find(name)?.name {
                $($name => Ok(visitor.visit(config::read::<$config>(options)?.method())),)*
                _ => unreachable!("every entry has an arm"),
            }
        }
    };
}

methods! {
    "gradient-descent": first_order::GradientDescentConfig, FirstOrder, "Smooth",
        "Steepest descent from a Barzilai-Borwein step with backtracking.",
        "Barzilai, Borwein, IMA J. Numer. Anal. 8, 1988";
    "accelerated-gradient": first_order::AcceleratedGradientConfig, FirstOrder, "Smooth",
        "Nesterov's momentum with an estimated curvature and restarts.",
        "O'Donoghue, Candès, Found. Comput. Math. 15, 2015, arXiv 1204.3982";
    "svrg": first_order::SvrgConfig, FirstOrder, "FiniteSum",
        "Stochastic gradients whose variance vanishes at the optimum, on mini-batches.",
        "Johnson, Zhang, NIPS 2013";
    "l-bfgs": quasi_newton::LbfgsConfig, QuasiNewton, "Smooth",
        "Curvature from the last gradients, for any number of unknowns.",
        "Liu, Nocedal, Math. Prog. 45, 1989";
    "bfgs": quasi_newton::BfgsConfig, QuasiNewton, "Smooth",
        "A dense inverse Hessian learned from gradients, up to some thousand unknowns.",
        "Broyden; Fletcher; Goldfarb; Shanno, 1970";
    "newton": newton::GscNewton, SecondOrder, "SelfConcordant",
        "Globally convergent Newton for generalised linear models, by Cholesky or preconditioned conjugate gradients.",
        "Marteau-Ferey, Bach, Rudi, NeurIPS 2019, arXiv 1907.01771";
    "trust-region-newton": newton::TrustRegionNewton, SecondOrder, "TwiceSmooth",
        "Newton within a trust region, for functions that need not be convex.",
        "Conn, Gould, Toint, Trust-Region Methods, SIAM 2000";
    "cubic-newton": newton::CubicNewton, SecondOrder, "TwiceSmooth",
        "Newton with adaptive cubic regularisation: one reduction of the Hessian serves all trial steps.",
        "Cartis, Gould, Toint, Math. Prog. 127, 2011";
    "regularized-newton": newton::RegularizedNewton, SecondOrder, "TwiceSmooth",
        "Newton with a multiple of the identity that falls with the gradient, for convex functions of unknown smoothness.",
        "Doikov, Mishchenko, Nesterov, SIAM J. Optim. 34, 2024, arXiv 2208.05888";
    "newton-mr": newton::NewtonMr, SecondOrder, "TwiceSmooth",
        "Newton by minimum residuals, for Hessians that are singular: steps of least norm, no regularisation.",
        "Roosta, Liu, Xu, Mahoney, EURO J. Comput. Optim. 10, 2022, arXiv 1810.00303";
    "sketched-newton": newton::SketchedNewton, SecondOrder, "FiniteSum + TwiceSmooth",
        "Newton for many rows and few unknowns: Hessians estimated from a few rows, more when they serve badly.",
        "Roosta, Mahoney, Math. Prog. 174, 2019; Pilanci, Wainwright, SIAM J. Optim. 27, 2017; Lacotte, Wang, Pilanci, ICML 2021";
}

/// All methods, first order first.
pub fn registry() -> &'static [Entry] {
    METHODS
}

/// The method called `name`.
///
/// # Errors
/// An unknown name; the error lists the names and the nearest one.
pub fn find(name: &str) -> Result<&'static Entry> {
    METHODS.iter().find(|e| e.name == name).ok_or_else(|| {
        let names: Vec<&str> = METHODS.iter().map(|e| e.name).collect();
        let error = Error::new(
            ErrorKind::Argument,
            format!(
                "there is no method `{name}`; there are auto, {}",
                names.join(", ")
            ),
        );
        match nearest(name, names) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

/// The method called `name` with these options; null takes the defaults.
///
/// # Errors
/// Those of [`find`] and [`Entry::build`].
pub fn build<T: Scalar>(name: &str, options: &Value) -> Result<Box<dyn AnyMethod<T>>> {
    find(name)?.build(options)
}

/// What `auto` prefers, best first.
const PREFERRED: &[&str] = &["newton", "trust-region-newton", "l-bfgs"];

/// The method that suits what the problem offers: the first of the preferred ones whose needs it meets.
///
/// # Errors
/// A problem without gradients, and those of [`Entry::build`].
pub fn auto<T: Scalar>(
    problem: &dyn Problem<T>,
    options: &Value,
) -> Result<(&'static Entry, Box<dyn AnyMethod<T>>)> {
    for name in PREFERRED {
        let entry = find(name)?;
        if entry.applies(problem) {
            return Ok((entry, entry.build(options)?));
        }
    }
    // Names what is missing.
    need::<T, dyn Smooth<T>>(problem)?;
    Err(Error::new(
        ErrorKind::Capability,
        format!("no method suits the problem `{}`", problem.name()),
    ))
}
